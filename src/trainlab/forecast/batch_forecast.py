"""The forecast of many recorded runs: each from its own frozen settings, in processes of their own."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from trainlab.errors import RequestError
from trainlab.instantiate import resolve_paths
from trainlab.runs import CorruptRunError, RunFolder


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

    from trainlab.forecast.run_forecast import forecast_run

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
