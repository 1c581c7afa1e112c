"""A run's forecast: its own network, batches, optimizer, schedule and budget, and no step of training."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainlab.build import build, policy
from trainlab.data import ImageData
from trainlab.diagnosis import preflight
from trainlab.diagnosis.forecast.outcome import Forecast
from trainlab.diagnosis.forecast.subject import Subject
from trainlab.diagnosis.forecast.theory import theory_of
from trainlab.diagnosis.forecast.view import plain_theory
from trainlab.diagnosis.setup import Setup
from trainlab.training import assemble

THEORY_IMAGES = 64
"""From which the theory takes the input's second moment and correlation."""


def forecast_run(settings: Mapping[str, Any]) -> Forecast:
    """What will become of the run of these frozen settings: initialized as it would be, fed as it would be.

    Takes seconds, trains nothing, writes nothing.

    Raises:
        RequestError: the settings cannot be built, or the data are missing.
    """
    if settings["trainer"]["threads"]:
        torch.set_num_threads(settings["trainer"]["threads"])
    assemble.check(settings)
    images = assemble.images(settings)
    model = assemble.initialized_model(settings, images)
    return preflight(
        model.network,
        normalized_batches(settings, images, model.normalization),
        optimizer=assemble.optimizer(settings),
        steps=assemble.total_steps(settings, images),
        schedule=build(settings["scheduler"], policy.SCHEDULER),
        gradient_clip=settings["trainer"]["gradient_clip"],
        setup=Setup.of(settings),
    )


def normalized_batches(
    settings: Mapping[str, Any], images: ImageData, normalization: nn.Module
) -> Iterator[tuple[Tensor, Tensor]]:
    """The run's first training batches as its network sees them; an epoch of them, then no more."""
    for x_NCHW, y_N in assemble.loaders(settings, images).train_dataloader():
        with torch.no_grad():
            x_NCHW = normalization(x_NCHW)
        yield x_NCHW, y_N


def theory_of_run(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What mean-field theory says of this run's network, for its images; None where it is no chain of layers.

    Raises:
        RequestError: the settings cannot be built, or the data are missing.
    """
    assemble.check(settings)
    images = assemble.images(settings)
    model = assemble.initialized_model(settings, images)
    x_NCHW, _ = next(iter(normalized_batches(settings, images, model.normalization)))
    subject = Subject(model.network)
    with subject.held():
        return plain_theory(theory_of(subject, x_NCHW[:THEORY_IMAGES]))
