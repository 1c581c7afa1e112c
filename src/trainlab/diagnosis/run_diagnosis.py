"""From a run's folder to its evidence and its verdict, whether the run is over or goes on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from trainlab.diagnosis.evidence import Evidence, ReferenceScores, SettingsSummary
from trainlab.diagnosis.explain import Diagnosis, diagnose
from trainlab.errors import RequestError
from trainlab.runs import (
    CorruptRunError,
    Result,
    RunFolder,
    Verdict,
    read_confusion,
    read_metrics,
    read_signals,
)
from trainlab.runs.frozen_settings import read_settings
from trainlab.runs.resolve_runs import resolve_runs
from trainlab.runs.result import DONE_STATUSES
from trainlab.settings import Settings
from trainlab.stats.confusion import ConfusionMatrix


class RunTables(NamedTuple):
    """The recorded tables of a run."""

    signals: pl.DataFrame
    metrics: pl.DataFrame
    confusion: pl.DataFrame

    @classmethod
    def read(cls, folder: Path) -> "RunTables":
        """Raises CorruptRunError for a table that cannot be read."""
        return cls(read_signals(folder), read_metrics(folder), read_confusion(folder))


@dataclass(frozen=True)
class RunDiagnosis:
    """The verdict that was recorded when a run ended, and the one that today's rules give.

    `recorded` is None where no verdict was recorded (the run goes on, or failed), `status` and `result` as in
    the record. `differs` decides which of the two are shown.
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
        recorded, today = self.recorded, self.today.to_verdict()
        if (recorded.learned, recorded.cause, recorded.layer) != (today.learned, today.cause, today.layer):
            return True
        # a verdict of the first version has no level: that alone is no difference
        return recorded.level not in (None, today.level)


def explain(run: Path | str, runs: Path | str = "runs") -> Diagnosis:
    """Why a recorded run learned or did not, by today's rules: the verdict of `trainlab explain`.

    run: its folder; or its id, or the beginning of it, in the folder `runs`.
    Raises RequestError for a run that is not there or cannot be read.
    """
    folders = resolve_runs(runs, str(run))
    if len(folders) != 1:
        raise RequestError(f"{run} names {len(folders)} runs, expected one")
    try:
        return diagnose_run(RunFolder(folders[0])).today
    except CorruptRunError as error:
        raise RequestError(str(error)) from error


def diagnose_run(folder: RunFolder, tables: RunTables | None = None) -> RunDiagnosis:
    """The recorded verdict of a run and today's; `tables` where they have been read already.

    Raises CorruptRunError for a record that cannot be read.
    """
    status, result, evidence = folder.status(), folder.result(), load_evidence(folder, tables)
    recorded = result.verdict if result and result.status in DONE_STATUSES else None
    return RunDiagnosis(status, result, evidence, recorded, diagnose(evidence))


def load_evidence(folder: RunFolder, tables: RunTables | None = None) -> Evidence:
    """What is recorded of a run, whatever its status; `tables` where they have been read already.

    Raises CorruptRunError for a record that cannot be read.
    """
    result, tables = folder.result(), tables or RunTables.read(folder.path)
    return Evidence.from_tables(
        tables.signals.iter_rows(),
        tables.metrics.iter_rows(),
        confusion_matrix(tables.confusion),
        SettingsSummary.from_record(read_settings(folder.path)),
        result.diverged_step if result else None,
        ReferenceScores.from_record(result.verdict.reference if result else None),
        is_running=result is None and folder.status() == "running",
    )


def diagnose_at_end(
    folder: RunFolder,
    settings: Settings,
    confusion_KK: ConfusionMatrix | None,
    diverged_step: int | None,
    reference: Mapping[str, object] | None = None,
) -> Diagnosis:
    """The verdict at a run's end, before its result is written; `reference` as in `Verdict`."""
    evidence = Evidence.from_tables(
        read_signals(folder.path).iter_rows(),
        read_metrics(folder.path).iter_rows(),
        confusion_KK,
        SettingsSummary.from_settings(settings),
        diverged_step,
        ReferenceScores.from_record(reference),
    )
    return diagnose(evidence)


def confusion_matrix(table: pl.DataFrame) -> list[list[int]] | None:
    """Counts_KK from the rows (true, predicted, count); None where there are none."""
    if table.is_empty():
        return None
    classes = 1 + max(max(true, predicted) for true, predicted, _ in table.iter_rows())
    counts_KK = [[0] * classes for _ in range(classes)]
    for true, predicted, count in table.iter_rows():
        counts_KK[true][predicted] = count
    return counts_KK
