"""A run's forecast: its own network, batches, optimizer, schedule and budget, and no step of training.

Of many recorded runs, each from its own frozen settings, in processes of their own (`forecast_runs`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainlab.build import networks
from trainlab.build.data import build_datamodule, load_data
from trainlab.build.dry_run import validate_build
from trainlab.build.optimizer import optimizer_factory, scheduler_factory, total_steps
from trainlab.data import ImageData
from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.errors import RequestError
from trainlab.forecast.answer import Forecast, TheoryReport
from trainlab.forecast.chain_theory import chain_theory, theory_report
from trainlab.forecast.functional_model import FunctionalModel
from trainlab.forecast.isolation import preserve_global_state
from trainlab.forecast.preflight import preflight
from trainlab.instantiate import resolve_paths
from trainlab.runs import CorruptRunError, RunFolder
from trainlab.settings import Settings

THEORY_IMAGES = 64
"""From which the theory takes the input's second moment and correlation."""


def forecast_run(settings: Settings) -> Forecast:
    """What will become of the run of these frozen settings: initialized as it would be, fed as it would be.

    Takes seconds, trains nothing, writes nothing.

    Raises:
        RequestError: the settings cannot be built, or the data are missing.
    """
    if settings.trainer.threads:
        torch.set_num_threads(settings.trainer.threads)
    validate_build(settings)
    images = load_data(settings)
    model = networks.build_initialized_model(settings, images)
    return preflight(
        model.network,
        normalized_batches(settings, images, model.normalization),
        optimizer=optimizer_factory(settings),
        steps=total_steps(settings, images),
        schedule=scheduler_factory(settings),
        gradient_clip=settings.trainer.gradient_clip,
        setup=SettingsSummary.from_settings(settings),
    )


def normalized_batches(
    settings: Settings, images: ImageData, normalization: nn.Module
) -> Iterator[tuple[Tensor, Tensor]]:
    """The run's first training batches as its network sees them; an epoch of them, then no more."""
    for x_NCHW, y_N in build_datamodule(settings, images).train_dataloader():
        with torch.no_grad():
            x_NCHW = normalization(x_NCHW)
        yield x_NCHW, y_N


def theory_for_run(settings: Settings) -> TheoryReport | None:
    """What mean-field theory says of this run's network, for its images; None where it is no chain of layers.

    Raises:
        RequestError: the settings cannot be built, or the data are missing.
    """
    validate_build(settings)
    images = load_data(settings)
    model = networks.build_initialized_model(settings, images)
    x_NCHW, _ = next(iter(normalized_batches(settings, images, model.normalization)))
    network = FunctionalModel(model.network)
    with preserve_global_state():
        return theory_report(chain_theory(network, x_NCHW[:THEORY_IMAGES]))


class RunForecast(NamedTuple):
    """The forecast of a run, before any of it is trained, and the processor time that it took."""

    learns: float
    cause: str | None
    seconds: float


def forecast_runs(
    folders: Iterable[Path],
    processes: int = 2,
    paths: Mapping[str, str] | None = None,
    on_done: Callable[[str, RunForecast | None], object] | None = None,
) -> dict[str, RunForecast]:
    """By run id, the forecast of each run that has one; a run whose data are gone has none.

    `paths` replaces `paths.data` and `paths.cache` of the settings. `on_done` is called with each run once it
    is done.
    """
    forecasts: dict[str, RunForecast] = {}
    # spawned: polars has threads by now, and they do not survive a fork
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for name, forecast in pool.map(_forecast, [(folder, dict(paths or {})) for folder in folders]):
            if forecast is not None:
                forecasts[name] = forecast
            if on_done is not None:
                on_done(name, forecast)
    return forecasts


def _forecast(task: tuple[Path, dict[str, str]]) -> tuple[str, RunForecast | None]:
    import time

    import torch

    folder, paths = task
    torch.set_num_threads(1)
    try:
        settings = RunFolder(folder).settings()
        places = resolve_paths(settings).replace(**{"data": settings.paths.data, **paths})
        settings = settings.replace(paths=places.trusted(), trainer=settings.trainer.replace(threads=1))
        start = time.process_time()
        forecast = forecast_run(settings)
    except (RequestError, CorruptRunError):
        return folder.name, None
    return folder.name, RunForecast(forecast.learns, forecast.cause, time.process_time() - start)
