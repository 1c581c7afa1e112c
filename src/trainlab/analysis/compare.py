"""Runs as a table of settings: one row per setting, seeds folded, best first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from trainlab.analysis.varying_settings import compared_settings, setting_columns
from trainlab.errors import RequestError, unknown_name
from trainlab.runs.result import WEAK_LEVELS
from trainlab.runs.worst_values import IS_WORST, describe_worst, with_worst_values
from trainlab.stats.intervals import FEWEST_VALUES, Interval, mean_interval
from trainlab.units import pluralize

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
    over them), values (of two or three, which have no interval; else null), worst (those of them that count
    with the worst value, `runs.worst_values`), learned and judged (runs that learned, and runs with a
    verdict), diverged, failed, unfinished, pruned, and cause (the most frequent). `constant` are the settings
    that all runs share. `guessing` is what diverged and failed runs count with as an accuracy, where it is
    the same for all of them.
    """

    metric: str
    by: tuple[str, ...]
    table: pl.DataFrame
    constant: dict[str, object]
    guessing: float | None = None

    @property
    def worst_note(self) -> str:
        """How many runs diverged or failed, and with what they count; empty where none did."""
        return describe_worst(self.metric, int(self.table["worst"].sum()), self.guessing)

    @property
    def has_single_seeds(self) -> bool:
        """Whether no setting was run twice: then seed variance is unknown."""
        return "seed" not in self.by and self.table["runs"].max() == 1 and self.table["n"].max() == 1


def compare(runs: pl.DataFrame, by: Sequence[str] | None = None, metric: str = "test/acc") -> Comparison:
    """Fold runs (a table of `load_runs`) into settings, sorted by the metric, best first.

    `by` are the columns that define a setting; by default all that differ except the seed. Whatever else
    differs is averaged over. A run that diverged or failed counts with the worst value of the metric; a run
    that is not over has none, is left out of the mean, and is still counted.

    Raises RequestError for no runs, and for a column or metric that does not exist.
    """
    runs = with_worst_values(ensure_metric(runs, metric), metric)
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
    worst = runs.filter(IS_WORST)[metric].unique()
    return Comparison(metric, tuple(by), table, constant, worst[0] if len(worst) == 1 else None)


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


def counted_runs(runs: pl.DataFrame, metric: str) -> pl.DataFrame:
    """The runs that have the metric, in which those that diverged or failed have the worst value.

    Raises RequestError where that is infinite: such a metric has no variance and no mean to compare.
    """
    runs = with_worst_values(ensure_metric(runs, metric), metric)
    counted = runs.filter(pl.col(metric).cast(pl.Float64).is_not_nan().fill_null(False))
    if infinite := counted.filter(pl.col(metric).cast(pl.Float64).is_infinite()).height:
        raise RequestError(
            f"{metric} of {pluralize(infinite, 'run')} that diverged or failed is infinite: "
            "test/acc and learned count such runs, --where status=finished leaves them out"
        )
    return counted


def _count_level(runs: pl.DataFrame, level: str) -> pl.Expr:
    """Number of runs with this level; 0 where levels are not recorded."""
    if "level" not in runs.columns:
        return pl.lit(0, pl.Int64)
    return (pl.col("level") == level).sum().cast(pl.Int64)


def _mean_of_counted(values: Sequence[float]) -> Interval:
    """The mean with its interval; infinite and without one where a value is."""
    if any(map(math.isinf, values)):
        return Interval(math.inf, None, None, len(values))
    return mean_interval(values)


def _few_values(values: list[float]) -> list[float] | None:
    """Several values that are too few for an interval: these are shown."""
    return sorted(values, reverse=True) if 1 < len(values) < FEWEST_VALUES else None


def _fold(runs: pl.DataFrame, by: Sequence[str], metric: str) -> pl.DataFrame:
    value = pl.col(metric).cast(pl.Float64)
    columns = [
        pl.len().cast(pl.Int64).alias("runs"),
        value.filter(value.is_not_nan()).drop_nulls().alias("values"),
        pl.col(IS_WORST).sum().cast(pl.Int64).alias("n_worst"),
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
    intervals = [_mean_of_counted(values) for values in folded["values"].to_list()]
    means = pl.DataFrame(
        [(interval.n, interval.value, interval.low, interval.high) for interval in intervals],
        schema={"n": pl.Int64, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64},
        orient="row",
    ).with_columns(values=pl.Series(map(_few_values, folded["values"].to_list()), dtype=pl.List(pl.Float64)))
    causes = [] if "cause" in by else [folded["mode_cause"].alias("cause")]
    verdicts = [pl.col("n_learned").alias("learned"), "judged", *WEAK_LEVELS] if "learned" not in by else []
    worst = folded["n_worst"].alias("worst").to_frame()
    parts = [folded.select(*by, "runs"), means, worst, folded.select(*verdicts, *STATUS_COUNTS, *causes)]
    return pl.concat(parts, how="horizontal")
