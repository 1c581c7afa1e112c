"""Will it learn? Said before any training, of any network with any optimizer.

Legend: N images, C channels, H × W pixels, K classes.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from trainlab.diagnosis.forecast import certain
from trainlab.diagnosis.forecast.calibration import probability, threshold
from trainlab.diagnosis.forecast.features import features
from trainlab.diagnosis.forecast.measure import Budget, measure
from trainlab.diagnosis.forecast.outcome import Forecast
from trainlab.diagnosis.forecast.push import MakeOptimizer
from trainlab.diagnosis.forecast.reasons import reason
from trainlab.diagnosis.forecast.sample import Batches, take
from trainlab.diagnosis.forecast.subject import Subject
from trainlab.diagnosis.forecast.theory import theory_of
from trainlab.diagnosis.forecast.view import measured_layers, plain_theory
from trainlab.diagnosis.setup import Setup
from trainlab.errors import RequestError

Schedule = Callable[[Optimizer, int], Any]
"""`schedule(optimizer, steps)` gives a torch scheduler that is advanced once a step, or None."""


def preflight(
    model: nn.Module,
    batches: Batches,
    optimizer: MakeOptimizer,
    steps: int = 2000,
    *,
    schedule: Schedule | None = None,
    gradient_clip: float | None = None,
    setup: Setup | None = None,
) -> Forecast:
    """The probability that `model` learns within `steps` steps of `optimizer`, and why not.

        preflight(model, loader, optimizer=lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), steps=2000)

    batches: an iterable of (x_NCHW float, already normalized; y_N int64), of which about 256 images are
    taken. `optimizer` makes an optimizer of given parameters. `schedule` and `gradient_clip` are those of the
    training; `setup` is what is known of it, for the remedies. It costs some passes forward and backward, and
    the optimizer is asked on copies: the model, its statistics and gradients, its mode and all random states
    stay as they were.

    Raises RequestError for batches or an optimizer that are none, or fewer than one step.
    """
    if steps < 1:
        raise RequestError(f"preflight: steps={steps}, expected at least 1")
    subject = Subject(model)
    with subject.held():
        sample = take(batches, subject)
        known = certain.answer(subject, sample)
        if known is not None:
            return known
        budget = budget_of(steps, schedule)
        measured = measure(subject, sample, optimizer, budget, gradient_clip)
        theory = plain_theory(theory_of(subject, sample.first.x_NCHW))
    found = features(measured)
    chance = probability(found)
    view = {"features": found, "layers": measured_layers(measured), "theory": theory}
    if chance >= threshold():
        return Forecast(chance, "expected to learn", **view)
    setup = setup or Setup(lr=_rate_of(optimizer), max_steps=steps)
    finding, remedy = reason(measured, found, sample, setup)
    return Forecast(chance, finding.says, finding.cause, finding.layer, dict(finding.numbers), remedy, **view)


def budget_of(steps: int, schedule: Schedule | None) -> Budget:
    """Mean and largest factor of a schedule, found by running it alone."""
    alone = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = schedule(alone, steps) if schedule else None
    if scheduler is None:
        return Budget(steps)
    factors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer makes no step
        for _ in range(steps):
            factors.append(float(alone.param_groups[0]["lr"]))
            scheduler.step()
    return Budget(steps, math.fsum(factors) / steps, max(factors))


def _rate_of(make: MakeOptimizer) -> float | None:
    rate = make([nn.Parameter(torch.zeros(1))]).param_groups[0].get("lr")
    return float(rate) if rate is not None else None
