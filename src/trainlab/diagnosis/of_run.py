"""A run's folder becomes evidence, and its verdict; for a run that is over, and for one that is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis, diagnose
from trainlab.diagnosis.setup import Setup
from trainlab.runs import Result, RunFolder, Verdict, confusion, metrics, signals
from trainlab.runs.result import DONE


@dataclass(frozen=True)
class Judged:
    """A run as it was judged when it ended, and as today's rules judge it.

    `recorded` is None where no verdict was recorded (the run goes on, or failed), `status` and `result` as in
    the record. The one place that decides which of the two is told: see `differs`.
    """

    status: str
    result: Result | None
    evidence: Evidence
    recorded: Verdict | None
    today: Diagnosis

    @property
    def recorded_version(self) -> int | None:
        """The version of the rules that the recorded verdict was made by."""
        return None if self.recorded is None else self.recorded.version or 1

    @property
    def differs(self) -> bool:
        """Whether today's rules say something else than what was recorded: then both are shown."""
        if self.recorded is None or self.recorded.learned is None:
            return False
        said, today = self.recorded, self.today.record()
        same = all(getattr(said, name) == today.get(name) for name in ("learned", "cause", "layer"))
        # a verdict of the first version has no level: that alone is no difference
        return not same or said.level not in (None, today["level"])


def judged(folder: RunFolder) -> Judged:
    """The recorded verdict of a run and today's. Raises BrokenRun for a record that cannot be read."""
    status, result, evidence = folder.status(), folder.result(), evidence_of(folder)
    recorded = result.verdict if result and result.status in DONE else None
    return Judged(status, result, evidence, recorded, diagnose(evidence))


def evidence_of(folder: RunFolder) -> Evidence:
    """What is recorded of a run, whatever its status. Raises BrokenRun for a record that cannot be read."""
    result = folder.result()
    return _evidence(
        folder,
        folder.settings(),
        as_matrix(confusion(folder.path)),
        (result.stopped or {}).get("step") if result and result.status == "diverged" else None,
        result.verdict.reference if result else None,
        running=result is None and folder.status() == "running",
    )


def diagnose_end(
    folder: RunFolder,
    settings: Mapping[str, Any],
    confusion_KK: Sequence[Sequence[int]] | None,
    diverged: int | None,
    reference: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """The verdict at a run's end, before its result is written."""
    return diagnose(_evidence(folder, settings, confusion_KK, diverged, reference))


def _evidence(
    folder: RunFolder,
    settings: Mapping[str, Any],
    confusion_KK: Sequence[Sequence[int]] | None,
    diverged: int | None,
    reference: Mapping[str, Any] | None,
    running: bool = False,
) -> Evidence:
    return Evidence.of(
        signals(folder.path).iter_rows(),
        metrics(folder.path).iter_rows(),
        confusion_KK,
        Setup.of(settings),
        diverged,
        reference,
        running,
    )


def as_matrix(table: pl.DataFrame) -> list[list[int]] | None:
    """confusion_KK of the rows (true, predicted, count); None where there are none."""
    if table.is_empty():
        return None
    classes = 1 + max(max(true, predicted) for true, predicted, _ in table.iter_rows())
    counts_KK = [[0] * classes for _ in range(classes)]
    for true, predicted, count in table.iter_rows():
        counts_KK[true][predicted] = count
    return counts_KK
