"""Which settings differ among runs, and the label of each run: `activation=relu depth=8`."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from trainlab.errors import RequestError
from trainlab.runs.run_table import IDENTITY_COLUMNS, OUTCOME_COLUMNS
from trainlab.runs.worst_values import IS_WORST
from trainlab.units import format_value

MAX_COMPARED = 100
"""Most settings that are compared unless they are named."""
COMMON_SHARE = 0.75
"""A value that this share of the runs has is noted once, below the lines."""
MIN_RUNS_FOR_COMMON = 4
"""With this many runs or fewer, each line has all differences."""


def setting_columns(runs: pl.DataFrame) -> list[str]:
    """The columns that hold axes and settings; two copies of a data set are two settings."""
    outcome = {*IDENTITY_COLUMNS, *OUTCOME_COLUMNS, IS_WORST} - {"data_copy"}
    return [name for name in runs.columns if name not in outcome and "/" not in name]


def varying_settings(runs: pl.DataFrame) -> list[str]:
    """The settings that differ, without those that an axis determines, as an optimizer its learning rate."""
    varying = [name for name in setting_columns(runs) if runs[name].n_unique() > 1]
    axes = [name for name in varying if not _is_detail(name)]
    details = [name for name in varying if _is_detail(name)]
    kept = list(axes)
    for name in details:
        if not any(_determines(runs, other, name) for other in kept):
            kept.append(name)
    return kept


def compared_settings(runs: pl.DataFrame) -> list[str]:
    """As `varying_settings`. Raises RequestError for more than `MAX_COMPARED`."""
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
    """Whether each value of `first` occurs with one value of `second` only."""
    return runs.select(pl.struct(first, second).n_unique()).item() == runs[first].n_unique()


def describe_differences(runs: pl.DataFrame) -> tuple[list[list[str]], dict[str, str]]:
    """For each run its own `k=v`; and the common values, which hold where a line has no other.

    A single run, and runs that do not differ, are described by their axes.
    """
    names = [*varying_settings(runs), *(["seed"] if runs["seed"].n_unique() > 1 else [])]
    if not names:
        names = [name for name in setting_columns(runs) if "." not in name and name != "data_copy"]
        return setting_labels(runs, names), {}
    common = {name: value for name in names if (value := _common_value(runs[name])) is not None}
    return setting_labels(runs, names, common), common


def setting_labels(
    runs: pl.DataFrame, names: Sequence[str], common: dict[str, str] | None = None
) -> list[list[str]]:
    """For each run `name=value` of these settings, without common values and absent settings."""
    rows = []
    for values in runs.select(names).iter_rows():
        texts = [
            (name, format_value(value))
            for name, value in zip(names, values, strict=True)
            if value is not None
        ]
        rows.append([f"{name}={value}" for name, value in texts if (common or {}).get(name) != value])
    return rows


def _common_value(values: pl.Series) -> str | None:
    """The value that most of many runs have, as text; None where there is none."""
    if len(values) <= MIN_RUNS_FOR_COMMON:
        return None
    (value, count), *_ = Counter(values.to_list()).most_common(1)
    return format_value(value) if value is not None and count >= COMMON_SHARE * len(values) else None
