"""A run's folder becomes evidence, and its verdict; for a run that is over, and for one that is not."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from trainlab.diagnosis import verdict
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis, diagnose
from trainlab.diagnosis.setup import Setup
from trainlab.runs import RunFolder, confusion, metrics, signals


def evidence_of(folder: RunFolder) -> Evidence:
    """What is recorded of a run, whatever its status. Raises BrokenRun for a record that cannot be read."""
    result = folder.result()
    return _evidence(
        folder,
        folder.settings(),
        as_matrix(confusion(folder.path)),
        (result.stopped or {}).get("step") if result and result.status == "diverged" else None,
    )


def diagnose_end(
    folder: RunFolder,
    settings: Mapping[str, Any],
    confusion_KK: Sequence[Sequence[int]] | None,
    diverged: int | None,
) -> Diagnosis:
    """The verdict at a run's end, before its result is written. The tables are read only where it failed."""
    if confusion_KK is not None and verdict.learned(confusion_KK):
        return diagnose(Evidence(confusion_KK=confusion_KK))
    return diagnose(_evidence(folder, settings, confusion_KK, diverged))


def _evidence(
    folder: RunFolder,
    settings: Mapping[str, Any],
    confusion_KK: Sequence[Sequence[int]] | None,
    diverged: int | None,
) -> Evidence:
    return Evidence.of(
        signals(folder.path).iter_rows(),
        metrics(folder.path).iter_rows(),
        confusion_KK,
        Setup.of(settings),
        diverged,
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
