"""Which settings differ among runs, and the label of each run: `activation=relu depth=8`."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from trainlab.errors import RequestError
from trainlab.runs.run_table import IDENTITY_COLUMNS, OUTCOME_COLUMNS
from trainlab.units import format_value

COMMON_SHARE = 0.75
"""A value that so many of the runs share is said once, below, and not in their lines."""
MIN_RUNS_FOR_COMMON = 4
"""Of so many runs and fewer every difference is said in each line."""


def describe_differences(runs: pl.DataFrame) -> tuple[list[list[str]], dict[str, str]]:
    """For each run its own `k=v`; and what holds where a line does not say it.

    A single run, and runs that differ in nothing, are told by their axes.
    """
    names = [*varying_settings(runs), *(["seed"] if runs["seed"].n_unique() > 1 else [])]
    if not names:
        names = [name for name in setting_columns(runs) if "." not in name and name != "data_copy"]
        return setting_labels(runs, names), {}
    usual = {name: value for name in names if (value := _common_value(runs[name])) is not None}
    return setting_labels(runs, names, usual), usual


def setting_labels(
    runs: pl.DataFrame, names: Sequence[str], usual: dict[str, str] | None = None
) -> list[list[str]]:
    """For each run `name=value` of these settings, but those that have the usual value, and those without."""
    rows = []
    for values in runs.select(names).iter_rows():
        texts = [
            (name, format_value(value))
            for name, value in zip(names, values, strict=True)
            if value is not None
        ]
        rows.append([f"{name}={value}" for name, value in texts if (usual or {}).get(name) != value])
    return rows


def _common_value(values: pl.Series) -> str | None:
    """The value that nearly all of many runs have, as text; None where there is none such."""
    if len(values) <= MIN_RUNS_FOR_COMMON:
        return None
    (value, count), *_ = Counter(values.to_list()).most_common(1)
    return format_value(value) if value is not None and count >= COMMON_SHARE * len(values) else None


MAX_COMPARED = 100
"""Settings that are compared at once, where nobody names them."""


def setting_columns(runs: pl.DataFrame) -> list[str]:
    """The columns that hold axes and settings; two copies of a data set count as two settings."""
    outcome = {*IDENTITY_COLUMNS, *OUTCOME_COLUMNS} - {"data_copy"}
    return [name for name in runs.columns if name not in outcome and "/" not in name]


def varying_settings(runs: pl.DataFrame) -> list[str]:
    """The settings that differ, but those that an axis brings with it, as an optimizer its learning rate."""
    varying = [name for name in setting_columns(runs) if runs[name].n_unique() > 1]
    axes = [name for name in varying if not _is_detail(name)]
    details = [name for name in varying if _is_detail(name)]
    kept = list(axes)
    for name in details:
        if not any(_determines(runs, other, name) for other in kept):
            kept.append(name)
    return kept


def compared_settings(runs: pl.DataFrame) -> list[str]:
    """As `varying_settings`; RequestError where they are so many that no table of them can be read."""
    names = varying_settings(runs)
    if len(names) > MAX_COMPARED:
        raise RequestError(
            f"these runs differ in {len(names):,} settings, expected at most {MAX_COMPARED}: "
            "name those to compare, as in --by activation,init"
        )
    return names


def _is_detail(name: str) -> bool:
    return "." in name or name == "data_copy"


def _determines(runs: pl.DataFrame, first: str, second: str) -> bool:
    """Whether each value of `first` comes with one value of `second` only."""
    return runs.select(pl.struct(first, second).n_unique()).item() == runs[first].n_unique()
