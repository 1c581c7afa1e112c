"""Which combinations learn? Every setting of a grid on one picture: tables within a table."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from trainlab.analysis.choose import text
from trainlab.analysis.compare import varying_settings
from trainlab.errors import RequestError
from trainlab.figures.style import altair

CELL = (46, 24)
NOTHING, ALL = "#e4e4e4", "#56B4E9"
"""Colours of settings of which no run learned, and all did."""


def cells(runs: pl.DataFrame, axes: Sequence[str] | None = None) -> pl.DataFrame:
    """A row a setting: its levels, learned (share of its runs), text (mean test accuracy in %, or `div.`).

    `axes` are all that differ, those with the most levels first.

    Raises RequestError for runs that differ in fewer than two axes, or of which none has ended.
    """
    runs = runs.filter(pl.col("learned").is_not_null())
    axes = list(axes or sorted(varying_settings(runs), key=lambda axis: -runs[axis].n_unique()))
    if runs.is_empty() or len(axes) < 2:
        raise RequestError("combinations: expected runs with a verdict that differ in two axes at least")
    accuracy = pl.col("test/acc") if "test/acc" in runs.columns else pl.lit(None, pl.Float64)
    folded = runs.group_by(axes).agg(
        learned=pl.col("learned").cast(pl.Float64).mean(), accuracy=accuracy.mean(), runs=pl.len()
    )
    said = (100 * pl.col("accuracy")).round(0).cast(pl.Int64, strict=False).cast(pl.String)
    return folded.with_columns(text=said.fill_null("div.")).sort(axes, nulls_last=True)


def figure(table: pl.DataFrame, title: str, subtitle: str = "") -> Any:
    """The chart of `cells`: the first two axes inside, the third in rows of tables, all others in columns."""
    alt = altair()
    axes = [name for name in table.columns if name not in ("learned", "accuracy", "runs", "text")]
    y, x, rows, columns = axes[0], axes[1], axes[2:3], axes[3:]
    shown = table.select(
        "learned", "text",
        y=_text(y), x=_text(x),
        row=_named(rows), column=_named(columns),
    )  # fmt: skip
    base = alt.Chart().encode(
        x=alt.X("x:N", title=x, sort=_order(table[x]), axis=alt.Axis(labelAngle=-40, grid=False)),
        y=alt.Y("y:N", title=y, sort=_order(table[y]), axis=alt.Axis(grid=False)),
    )
    colour = alt.Color(
        "learned:Q",
        scale=alt.Scale(domain=[0, 1], range=[NOTHING, ALL]),
        legend=alt.Legend(title="share of runs that learned", format="%", orient="top", gradientLength=160,
                          values=[0, 0.5, 1]),
    )  # fmt: skip
    layers = alt.layer(
        base.mark_rect(stroke="white").encode(color=colour),
        base.mark_text(fontSize=11).encode(text="text:N"),
        data=alt.Data(values=shown.to_dicts()),
    ).properties(width=CELL[0] * table[x].n_unique(), height=CELL[1] * table[y].n_unique())
    facets: dict[str, Any] = {}
    for channel, names, header in (
        (alt.Row, rows, alt.Header(title=rows[0] if rows else None, labelFontSize=12)),
        (alt.Column, columns, alt.Header(title=None, labelFontSize=12)),
    ):
        if names:
            name = channel.__name__.lower()
            levels = table.select(names).unique().sort(names, nulls_last=True)
            order = levels.select(_named(names)).to_series().to_list()
            facets[name] = channel(f"{name}:N", sort=order, header=header)
    chart = layers.facet(**facets) if facets else layers
    return chart.properties(title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else []))


def _named(axes: Sequence[str]) -> pl.Expr:
    """A level, or several as `depth=4, norm_layer=none`."""
    levels = [_text(axis) for axis in axes]
    if len(levels) < 2:
        return levels[0] if levels else pl.lit("")
    parts = [pl.concat_str([pl.lit(f"{axis}="), level]) for axis, level in zip(axes, levels, strict=True)]
    return pl.concat_str(parts, separator=", ")


def _order(values: pl.Series) -> list[str]:
    return [text(value) for value in sorted(set(values.to_list()), key=lambda v: (v is None, v))]


def _text(axis: str) -> pl.Expr:
    """The levels of an axis as people write them, `–` where there is none: a chart drops what is null."""
    return pl.col(axis).map_elements(text, return_dtype=pl.String, skip_nulls=False)
