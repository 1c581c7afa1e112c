"""The run folder of a watched loop: the same files as those of a run of the platform, written as it goes."""

import hashlib
import os
import platform
import time
import traceback
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import torch

from trainlab.diagnosis.evidence import MetricRow, SignalRow
from trainlab.json_types import JsonObject
from trainlab.process_limits import available_cores
from trainlab.runs import Result, RunFolder, Verdict
from trainlab.runs.identity import ID_LENGTH
from trainlab.runs.provenance import processor_name, versions


def new_run_id() -> str:
    """A name that no other loop has: what decides its result is not known, so that it cannot be hashed."""
    here = f"{platform.node()} {os.getpid()} {time.time_ns()}"
    return hashlib.sha256(here.encode()).hexdigest()[:ID_LENGTH]


class WatchRecord:
    """Locks the folder from its making to `finish`; a process that is killed leaves it interrupted. It stays
    where it was made, whatever folder the script changes to.

    Raises RequestError where nothing can be written.
    """

    def __init__(self, runs: Path | str, run_id: str, settings: JsonObject) -> None:
        self.folder = RunFolder(Path(runs).absolute() / run_id)
        self._began = time.time()
        self._held = ExitStack()
        self._held.enter_context(self.folder.lock())
        self.folder.begin()
        self.write_settings(settings)
        self._metrics, self._signals = self.folder.metrics_log(), self.folder.signals_log()
        self._held.callback(self._signals.close)
        self._held.callback(self._metrics.close)
        self.is_open = True

    def write_settings(self, settings: JsonObject) -> None:
        """What is known of the loop, anew."""
        self._settings = settings
        self.folder.write_settings(settings)

    def append(self, signals: Iterable[SignalRow], metrics: Iterable[MetricRow]) -> None:
        """The rows of a measured step, and the losses up to it."""
        self._signals.append(signals)
        self._metrics.append(metrics)

    def finish(
        self,
        status: str,
        verdict: Verdict,
        steps: int,
        parameters: int,
        metrics: dict[str, float],
        error: BaseException | None = None,
        diverged_step: int | None = None,
        warnings: Sequence[str] = (),
        device: str = "cpu",
    ) -> None:
        """Writes the result, last, and releases the folder. Once only."""
        if not self.is_open:
            return
        self.is_open = False
        axes = self._settings["axes"]
        data = self._settings["data"]
        assert isinstance(axes, dict) and isinstance(data, dict)
        with self._held:
            self._signals.close()
            self._metrics.close()
            seconds = time.time() - self._began
            self.folder.finish(
                Result(
                    run_id=self.folder.run_id,
                    status=status,
                    verdict=verdict,
                    metrics=metrics,
                    parameters=parameters,
                    steps=steps,
                    seconds=seconds,
                    seed=self._settings["seed"],  # type: ignore[arg-type]
                    axes={
                        axis: value if isinstance(value, int | float) else str(value)
                        for axis, value in axes.items()
                    },
                    data=data,
                    group=self._settings["group"],  # type: ignore[arg-type]
                    machine=_machine(device),
                    versions=versions(),
                    started=_iso(self._began),
                    finished=_iso(self._began + seconds),
                    error=_describe(error),
                    stopped=None if diverged_step is None else {"step": diverged_step, "quantity": "loss"},
                    warnings=tuple(warnings),
                )
            )


def _machine(device: str) -> JsonObject:
    return {
        "device": device,
        "name": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "processor": processor_name(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "devices": 1,
    }


def _describe(error: BaseException | None) -> JsonObject | None:
    if error is None:
        return None
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {
        "type": type(error).__name__,
        "message": str(error),
        "frames": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames],
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
