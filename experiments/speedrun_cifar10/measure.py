"""Runs of the preset, one seed after the other in one process → a report of this device.

Legend: n seeds.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TypedDict, cast

import torch
from scipy.stats import ttest_1samp

from trainlab.config import compose, identify
from trainlab.runs import Result, RunFolder
from trainlab.runs.result import DONE_STATUSES
from trainlab.settings import RunSettings

PRESET = "experiment=speedrun_cifar10"
TARGET = 0.94
ACCURACY = "test/acc_tta"
"""Of logits averaged over mirrored and shifted views: what the records report."""

ON_GPU = ("trainer=gpu", "trainer.precision=bf16-mixed")
ON_CPU = (
    "trainer=cpu", "width=32", "trainer.max_epochs=6", "data.batch_size=500", "optimizer.lr=0.12",
    "optimizer.output_lr=0.33", "optimizer.vector_lr=26.5", "optimizer.sgd_decay_per_step=1e-3",
    "checkpoint=last",
)  # fmt: skip
"""What one core does within an hour: a quarter of the weights, smaller batches, their rates smaller too."""

GUESSING = 0.1
"""What a run that diverged counts as."""

SEEDS_ON_GPU, SEEDS_ON_CPU = 10, 1


class SeedRow(TypedDict):
    """One run. `seconds` is all of it but reading the data; `training_seconds` its steps alone."""

    seed: int
    run_id: str
    accuracy: float
    accuracy_one_view: float
    seconds: float
    training_seconds: float
    is_first: bool
    commit: str | None


class Report(TypedDict):
    """The runs of one device. `p_value` is one-sided, of a mean above the target; None for one run."""

    device: str
    processor: str
    threads: int
    copy: str
    precision: str
    cuda_graph: str
    overrides: list[str]
    epochs: float
    rows: list[SeedRow]
    n: int
    mean: float
    std: float | None
    p_value: float | None
    seconds_first: float | None
    seconds_later: float | None
    training_seconds_later: float | None


def run_seeds(runs: Path, seeds: int, overrides: Sequence[str] = ()) -> Report:
    """Trains what is not done yet, and reports all seeds.

    The first run of the process pays for what is done once: libraries that start, kernels that are chosen.
    A run that was done before, by another process, has no place in that order.

    Raises:
        RequestError: settings that cannot be, data that are missing.
    """
    on_device = ON_GPU if torch.cuda.is_available() else ON_CPU
    lines = [PRESET, *on_device, *overrides]
    rows: list[SeedRow] = []
    results: list[Result] = []
    trained = 0
    for seed in range(seeds):
        own = [f"seed={seed}", "logger=none", "group=speedrun-cifar10", f"paths.runs={runs}"]
        settings = identify(compose([*lines, *own]))
        result = RunFolder(runs / settings.run_id).result()
        is_done = result is not None and result.status in DONE_STATUSES
        if result is None or not is_done:
            result = _train(settings)
            trained += 1
        results.append(result)
        rows.append(_row(settings, result, is_first=not is_done and trained == 1))
        print(f"seed {seed}: {rows[-1]['accuracy']:.2%} in {rows[-1]['seconds']:.1f} s", flush=True)
    return summarize(rows, results[-1], [*on_device, *overrides])


def _train(settings: RunSettings) -> Result:
    from trainlab.training.environment import configure_process
    from trainlab.training.run import train

    configure_process()
    return train(settings)


def _row(settings: RunSettings, result: Result, *, is_first: bool) -> SeedRow:
    samples = (result.steps or 0) * settings.data.batch_size
    return {
        "seed": settings.seed,
        "run_id": settings.run_id,
        "accuracy": _accuracy(result, ACCURACY),
        "accuracy_one_view": _accuracy(result, "test/acc"),
        "seconds": result.seconds or math.nan,
        "training_seconds": samples / result.samples_per_second if result.samples_per_second else math.nan,
        "is_first": is_first,
        "commit": cast(str | None, result.git.get("commit")),
    }


def _accuracy(result: Result, metric: str) -> float:
    value = result.metrics.get(metric)
    return GUESSING if value is None else value


def summarize(rows: Sequence[SeedRow], last: Result, overrides: Sequence[str]) -> Report:
    """Mean, standard deviation and test over the rows; seconds of the first run and of those after it."""
    accuracies = [row["accuracy"] for row in rows]
    later = [row for row in rows if not row["is_first"]] if len(rows) > 1 else []
    machine = last.machine
    return {
        "device": str(machine["device"]),
        "processor": str(machine["name"] if machine["device"] == "cuda" else machine["processor"]),
        "threads": cast(int, machine["threads"]),
        "copy": str(last.data["copy"]),
        "precision": _precision(overrides),
        "cuda_graph": str(machine.get("cuda_graph", "not used")),
        "overrides": list(overrides),
        "epochs": last.epochs or 0.0,
        "rows": list(rows),
        "n": len(rows),
        "mean": mean(accuracies),
        "std": stdev(accuracies) if len(rows) > 1 else None,
        "p_value": p_above(accuracies, TARGET),
        "seconds_first": next((row["seconds"] for row in rows if row["is_first"]), None),
        "seconds_later": mean(row["seconds"] for row in later) if later else None,
        "training_seconds_later": mean(row["training_seconds"] for row in later) if later else None,
    }


def p_above(values: Sequence[float], target: float) -> float | None:
    """One-sided p of Student's t test: how likely such a mean or a higher one is where the true one is it.

    None where there are not two different values.
    """
    if len(values) < 2 or len(set(values)) == 1:
        return None
    return float(ttest_1samp(values, target, alternative="greater").pvalue)


def _precision(overrides: Sequence[str]) -> str:
    chosen = [line.partition("=")[2] for line in overrides if line.startswith("trainer.precision=")]
    return chosen[-1] if chosen else "32-true"
