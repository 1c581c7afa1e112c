"""The run folder of a watched loop: the same files as those of a run of the platform, written as it goes."""

import hashlib
import os
import platform
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from trainlab.diagnosis.evidence import MetricRow, SignalRow
from trainlab.json_types import JsonObject
from trainlab.runs import Result, RunFolder, Verdict
from trainlab.runs.identity import ID_LENGTH
from trainlab.runs.provenance import describe_error, describe_machine, versions


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
                    machine=describe_machine(device),
                    versions=versions(),
                    started=_iso(self._began),
                    finished=_iso(self._began + seconds),
                    error=None if error is None else describe_error(error),
                    stopped=None if diverged_step is None else {"step": diverged_step, "quantity": "loss"},
                    warnings=tuple(warnings),
                )
            )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
