"""What runs differ in, said run by run: `activation=relu depth=8`."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from trainlab.analysis.choose import text
from trainlab.analysis.compare import setting_columns, varying_settings

USUAL = 0.75
"""A value that so many of the runs share is said once, below, and not in their lines."""
FEW = 4
"""Of so many runs and fewer every difference is said in each line."""


def differences(runs: pl.DataFrame) -> tuple[list[list[str]], dict[str, str]]:
    """For each run its own `k=v`; and what holds where a line does not say it.

    A single run, and runs that differ in nothing, are told by their axes.
    """
    names = [*varying_settings(runs), *(["seed"] if runs["seed"].n_unique() > 1 else [])]
    if not names:
        names = [name for name in setting_columns(runs) if "." not in name and name != "data_copy"]
        return said(runs, names), {}
    usual = {name: value for name in names if (value := _usual(runs[name])) is not None}
    return said(runs, names, usual), usual


def said(runs: pl.DataFrame, names: Sequence[str], usual: dict[str, str] | None = None) -> list[list[str]]:
    """For each run `name=value` of these settings, but those that have the usual value, and those without."""
    rows = []
    for values in runs.select(names).iter_rows():
        texts = [(name, text(value)) for name, value in zip(names, values, strict=True) if value is not None]
        rows.append([f"{name}={value}" for name, value in texts if (usual or {}).get(name) != value])
    return rows


def _usual(values: pl.Series) -> str | None:
    """The value that nearly all of many runs have, as text; None where there is none such."""
    if len(values) <= FEW:
        return None
    (value, count), *_ = Counter(values.to_list()).most_common(1)
    return text(value) if value is not None and count >= USUAL * len(values) else None
