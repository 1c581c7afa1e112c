"""What a run counts with that ended without a result: one rule for claims, tables, effects and grids.

A run that diverged or failed is no missing value: it was tried, and did not work. Leaving it out would
compare the survivors, and a setting of which one run in two explodes would look as good as its better half.
It counts with the worst value of the metric:

- accuracy: that of guessing, the share of the most common class in the run's own test split (where that was
  not recorded, that of another run of the same data, else 1/K). A network whose outputs are not numbers tells
  nothing of an image, and who knows nothing can always give the same answer.
- learned: no.
- loss: infinite. There is no largest loss: any number in its place would be invented, and decide the mean. A
  mean over such a run is infinite too and has no interval: what shows it says so, and of how many runs.
- a logarithm of an exact zero: that of the smallest number of float32 (2⁻¹⁴⁹, −44.9 decades). What vanished
  altogether is the clearest case, not a missing one; the true value is at most this.

What every run has however it ended (seconds, steps, parameters) is counted as it was recorded.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from trainlab.units import pluralize

if TYPE_CHECKING:
    import polars as pl

    from trainlab.runs.result import Result

WorstReason = Literal["diverged", "failed", "not a number", "exact zero", "not reached"]
"""Why a value is the worst one; `not reached`: of steps to a goal, counted as those of the longest run."""

COUNTED_STATUSES = ("diverged", "failed")
"""The statuses of a run that was tried and came to nothing. Others are not over, or were not run."""

GUESSING = "guessing"
"""The accuracy of guessing: its name in a record's `data`, and of the column of a table of runs."""

DATA, CLASSES = "data_fingerprint", "data.num_classes"
"""The columns of a table of runs that tell their data sets apart, and the numbers of their classes."""

IS_WORST = "worst"
"""The column of `with_worst_values`."""

SMALLEST = 2.0**-149
"""The smallest number of float32 above 0, in which networks compute."""


def worst_value(metric: str, guessing: float | None) -> float | None:
    """The worst value of a metric; None for one that has none, or an accuracy whose guessing is not known."""
    name = metric.rpartition("/")[2]
    if name.startswith("acc"):
        return guessing
    if name == "loss":
        return math.inf
    return 0.0 if metric == "learned" else None


def guessing_accuracy(data: Mapping[str, object], num_classes: int | None = None) -> float | None:
    """The accuracy of guessing, by a record's `data`; 1/K where it is of an older version."""
    recorded = data.get(GUESSING)
    if isinstance(recorded, int | float) and 0 < recorded <= 1:
        return float(recorded)
    return 1 / num_classes if num_classes else None


def worst_reason(status: str, value: float | None) -> WorstReason | None:
    """Why a run of this status with this recorded value counts with the worst; None where it does not."""
    if status == "diverged":
        return "diverged"
    if status == "failed":
        return "failed"
    return "not a number" if value is not None and not math.isfinite(value) else None


def shared_guessing(results: Iterable["Result"]) -> float | None:
    """The accuracy of guessing that the records of runs of one data set have; None where none has it."""
    return next((known for result in results if (known := guessing_accuracy(result.data)) is not None), None)


def counted_value(
    result: "Result", metric: str, num_classes: int | None = None, guessing: float | None = None
) -> tuple[float | None, WorstReason | None]:
    """The metric that a run counts with, and why it is the worst one where it is; None where it has none.

    guessing: that of other runs of the same data, for a run that ended before its images were counted.
    """
    recorded = result.metrics.get(metric)
    reason = worst_reason(result.status, recorded)
    own = guessing_accuracy(result.data)
    known = next((one for one in (own, guessing) if one is not None), guessing_accuracy({}, num_classes))
    worst = worst_value(metric, known) if reason else None
    return (recorded, None) if worst is None else (worst, reason)


def with_worst_values(runs: "pl.DataFrame", metric: str) -> "pl.DataFrame":
    """A table of runs, with `guessing` as `load_runs` has it, in which each counts as in `counted_value`.

    The accuracy of guessing is the run's own, else that of another run of the same data (all, where the table
    does not tell data apart), else 1/K by a column `data.num_classes`. The column `IS_WORST` says of which
    runs it is the worst value.
    """
    import polars as pl

    value = pl.col(metric).cast(pl.Float64)
    is_worst = pl.col("status").is_in(COUNTED_STATUSES) | value.is_finite().not_()
    guessing = _guessing_column(runs.columns)
    worst = worst_value(metric, 1.0)
    if worst is None:
        return runs.with_columns(pl.lit(False).alias(IS_WORST))
    replacement = guessing if metric.rpartition("/")[2].startswith("acc") else pl.lit(worst)
    is_worst = (is_worst & replacement.is_not_null()).fill_null(False)
    counted = pl.when(is_worst).then(replacement).otherwise(value)
    return runs.with_columns(counted.alias(metric), is_worst.alias(IS_WORST))


def _guessing_column(columns: Collection[str]) -> "pl.Expr":
    """The accuracy of guessing of each run of a table with these columns; null where nothing tells it."""
    import polars as pl

    known = []
    if GUESSING in columns:
        own = pl.col(GUESSING)
        known += [own, own.drop_nulls().first().over(DATA) if DATA in columns else own.drop_nulls().first()]
    if CLASSES in columns:
        known.append(1 / pl.col(CLASSES).cast(pl.Float64, strict=False))
    return pl.coalesce(*known, pl.lit(None, pl.Float64))


def describe_worst(metric: str, count: int, guessing: float | None = None) -> str:
    """`3 runs diverged or failed; each counts as guessing (11.4 %)`; empty for none."""
    if not count:
        return ""
    name = metric.rpartition("/")[2]
    if name.startswith("acc"):
        share = "" if guessing is None else f" ({guessing:.1%})"
        says = f"as always guessing the most common class{share}"
    else:
        says = {"loss": "with an infinite loss: a mean over it is infinite"}.get(name, "as not learned")
    return f"{pluralize(count, 'run')} diverged or failed; each counts {says}"


def log10_ratio(value: float, divisor: float = 1.0) -> float:
    """log₁₀(value / divisor), in which an exact zero counts as `SMALLEST`.

    NaN for the ratio of two zeros, of two infinite numbers, and for one that is negative.
    """
    if value == 0 == divisor:
        return math.nan
    ratio = (value or SMALLEST) / (divisor or SMALLEST)
    return math.log10(ratio) if ratio > 0 else math.nan
