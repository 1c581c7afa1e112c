"""Choosing among runs by the values of their axes, as text: what a filter offers, and what it leaves."""

from collections.abc import Mapping, Sequence

import polars as pl

from trainlab.analysis.compare import setting_columns

MOST_LEVELS = 60
"""A setting with more values than this is not offered as a filter."""
OTHERS = ("status", "cause")
"""What a filter offers besides settings."""


def choices(runs: pl.DataFrame) -> dict[str, list[str]]:
    """For each column in which runs differ, its values in order, as text; `–` where there is none."""
    offered = {}
    for name in [*setting_columns(runs), "seed", *OTHERS]:
        values = runs[name].unique().to_list()
        if 1 < len(values) <= MOST_LEVELS:
            offered[name] = [text(value) for value in sorted(values, key=_order)]
    return offered


def keep(runs: pl.DataFrame, wanted: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """The runs whose value of every column in `wanted` is among those given; an empty list asks nothing."""
    for name, texts in wanted.items():
        if texts and name in runs.columns:
            runs = runs.filter(pl.Series([text(value) in texts for value in runs[name]], dtype=pl.Boolean))
    return runs


def text(value: object) -> str:
    """A value as people write it: 0.001, relu, true."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _order(value: object) -> tuple[bool, bool, object]:
    return value is None, isinstance(value, str), value
