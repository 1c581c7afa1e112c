"""Runs as a table of settings: one row per setting, seeds folded, best first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from trainlab.analysis.varying_settings import compared_settings, setting_columns
from trainlab.errors import RequestError, unknown_name
from trainlab.runs.result import WEAK_LEVELS
from trainlab.stats.intervals import Interval, mean_interval

STANDARD_METRICS = ("test/acc", "test/loss", "val/acc", "val/loss", "train/acc", "train/loss")
OTHER_METRICS = ("learned", "samples_per_second", "seconds", "parameters", "epochs", "steps")
_LOWER_IS_BETTER = ("loss", "seconds", "parameters", "epochs", "steps")

# Statuses that are counted per setting, besides finished.
STATUS_COUNTS = {
    "diverged": ("diverged",),
    "failed": ("failed",),
    "unfinished": ("interrupted", "running"),
    "pruned": ("pruned",),
}


@dataclass(frozen=True)
class Comparison:
    """One row per setting.

    `table` has the columns `by`, then runs, n (runs that have the metric), mean, low, high (95% t interval
    over them), learned and judged (runs that learned, and runs with a verdict), diverged, failed,
    unfinished, pruned, and cause (the most frequent). `constant` are the settings that all runs share.
    """

    metric: str
    by: tuple[str, ...]
    table: pl.DataFrame
    constant: dict[str, object]

    @property
    def has_single_seeds(self) -> bool:
        """Whether no setting was run twice: then seed variance is unknown."""
        return "seed" not in self.by and self.table["runs"].max() == 1 and self.table["n"].max() == 1


def compare(runs: pl.DataFrame, by: Sequence[str] | None = None, metric: str = "test/acc") -> Comparison:
    """Fold runs (a table of `load_runs`) into settings, sorted by the metric, best first.

    `by` are the columns that define a setting; by default all that differ except the seed. Whatever else
    differs is averaged over. A diverged run counts with the metric that it has; missing and non-finite values
    are left out of the mean, and the run is still counted.

    Raises RequestError for no runs, and for a column or metric that does not exist.
    """
    runs = ensure_metric(runs, metric)
    by = compared_settings(runs) if by is None else list(dict.fromkeys(by))
    for name in by:
        if name not in runs.columns or "/" in name:
            raise unknown_name(
                "column to compare by", name, [*setting_columns(runs), "seed", "group", "cause"]
            )
    table = _fold(runs, by, metric).sort(
        "mean", descending=not lower_is_better(metric), nulls_last=True, maintain_order=True
    )
    constant = {
        name: runs[name][0]
        for name in setting_columns(runs)
        if runs[name].n_unique() == 1 and runs[name][0] is not None
    }
    return Comparison(metric, tuple(by), table, constant)


def ensure_metric(runs: pl.DataFrame, metric: str) -> pl.DataFrame:
    """`runs` with a column for the metric. Raises RequestError where there are no runs, or no such metric."""
    if runs.is_empty():
        raise RequestError("no runs to compare: `trainlab train` makes one")
    if metric in runs.columns and ("/" in metric or metric in OTHER_METRICS):
        return runs
    if metric in STANDARD_METRICS:  # no run has got that far
        return runs.with_columns(pl.lit(None, pl.Float64).alias(metric))
    measured = [name for name in runs.columns if "/" in name]
    raise unknown_name("metric", metric, {*measured, *STANDARD_METRICS, *OTHER_METRICS})


def lower_is_better(metric: str) -> bool:
    return metric.rpartition("/")[2] in _LOWER_IS_BETTER


def is_fraction(metric: str) -> bool:
    """Whether the metric is a fraction of images or of runs, shown in percent."""
    return metric.endswith("/acc") or metric == "learned"


def clip_to_range(metric: str, interval: Interval) -> Interval:
    """The interval, clipped to the range of the metric: a t interval of few values reaches far beyond it."""
    if interval.low is None or interval.high is None:
        return interval
    highest = 1.0 if is_fraction(metric) else math.inf
    return replace(interval, low=max(0.0, interval.low), high=min(highest, interval.high))


def with_finite_metric(runs: pl.DataFrame, metric: str) -> pl.DataFrame:
    return runs.filter(pl.col(metric).cast(pl.Float64).is_finite().fill_null(False))


def _count_level(runs: pl.DataFrame, level: str) -> pl.Expr:
    """Number of runs with this level; 0 where levels are not recorded."""
    if "level" not in runs.columns:
        return pl.lit(0, pl.Int64)
    return (pl.col("level") == level).sum().cast(pl.Int64)


def _fold(runs: pl.DataFrame, by: Sequence[str], metric: str) -> pl.DataFrame:
    value = pl.col(metric).cast(pl.Float64)
    columns = [
        pl.len().cast(pl.Int64).alias("runs"),
        value.filter(value.is_finite()).alias("values"),
        pl.col("learned").sum().cast(pl.Int64).alias("n_learned"),
        pl.col("learned").count().cast(pl.Int64).alias("judged"),
        *(_count_level(runs, level).alias(level) for level in WEAK_LEVELS),
        *(
            pl.col("status").is_in(kinds).sum().cast(pl.Int64).alias(name)
            for name, kinds in STATUS_COUNTS.items()
        ),
        pl.col("cause").drop_nulls().mode().sort().first().alias("mode_cause"),
    ]
    folded = runs.group_by(by or pl.lit(0), maintain_order=True).agg(columns)
    intervals = [mean_interval(values) for values in folded["values"].to_list()]
    means = pl.DataFrame(
        [(interval.n, interval.value, interval.low, interval.high) for interval in intervals],
        schema={"n": pl.Int64, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64},
        orient="row",
    )
    causes = [] if "cause" in by else [folded["mode_cause"].alias("cause")]
    verdicts = [pl.col("n_learned").alias("learned"), "judged", *WEAK_LEVELS] if "learned" not in by else []
    parts = [folded.select(*by, "runs"), means, folded.select(*verdicts, *STATUS_COUNTS, *causes)]
    return pl.concat(parts, how="horizontal")
