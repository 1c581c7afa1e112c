"""How much does each axis matter, and which level is best? Shares of variance, means of levels."""

from typing import TYPE_CHECKING

import polars as pl

from trainlab.analysis.effects import Effects
from trainlab.errors import RequestError
from trainlab.figures.style import COLOURS, GREY, chart_title, import_altair, number_format

if TYPE_CHECKING:
    from altair import Y

    from trainlab.figures.style import Chart

NUMBER_MARGIN = 1.15
"""The x axis in units of the longest bar: its number is written beside it."""
AXES_HEIGHT, LEGEND_HEIGHT = 92, 24
"""Pixels of title and axis, and of the legend: a page counts them into the height."""
MAX_PAIRS = 6
"""Interactions shown, the largest first."""


def variance_share_bars(effects: Effects, title: str, subtitle: str = "") -> "Chart":
    """The chart of what share of the metric's variance each axis explains, and each pair beyond its two axes.

    Raises:
        RequestError: no share could be estimated.
    """
    alt = import_altair()
    pairs = effects.interactions.select(
        axis=pl.col("first") + " × " + pl.col("second"), share="share", kind=pl.lit("two together")
    ).head(MAX_PAIRS)
    axes = effects.shares.select("axis", "share", kind=pl.lit("one axis"))
    rows = pl.concat([axes, pairs]).drop_nulls("share").to_dicts()
    if not rows:
        raise RequestError(
            f"no share of {effects.metric} to tell: each axis needs to change by itself, and seeds to say "
            "what is chance"
        )
    y = _name_axis("axis:N", [row["axis"] for row in rows])
    largest = max(max(row["share"] for row in rows), 0.0) or 1.0
    smallest = min(0.0, *(row["share"] for row in rows))
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, x=alt.X(
        "share:Q", title=f"share of the variance of {effects.metric}", axis=alt.Axis(format="%", tickCount=5),
        scale=alt.Scale(domain=[smallest, NUMBER_MARGIN * largest], nice=False),
    ))  # fmt: skip
    colour = alt.Color(
        "kind:N", sort=["one axis", "two together"], scale=alt.Scale(range=[COLOURS[0], COLOURS[4]]),
        legend=alt.Legend(title=None, orient="top"),
    )  # fmt: skip
    layers = [
        base.mark_bar(height=13, cornerRadiusEnd=2).encode(color=colour),
        base.mark_text(align="left", dx=5, fontSize=11, color=GREY).encode(
            text=alt.Text("share:Q", format=".1%")
        ),
    ]  # fmt: skip
    return alt.layer(*layers).properties(
        width=460,
        height=24 * len(rows) + AXES_HEIGHT + LEGEND_HEIGHT,
        title=chart_title(title, subtitle),
    )


def level_mean_plot(effects: Effects, title: str, subtitle: str = "") -> "Chart":
    """The chart of the mean of each level with its 95% interval, axis by axis."""
    alt = import_altair()
    rows = [
        {**row, "name": f"{row['axis']} = {_level_label(row['level'])}"}
        for row in effects.levels.filter(pl.col("mean").is_not_null()).to_dicts()
    ]
    unit = number_format("share" if effects.metric.endswith("acc") else "")
    ends = [float(row[key]) for row in rows for key in ("mean", "low", "high") if row[key] is not None]
    x = alt.X(
        "mean:Q", title=effects.metric, scale=alt.Scale(domain=_axis_domain(ends), zero=False),
        axis=alt.Axis(format=unit, tickCount=5, labelOverlap="greedy"),
    )  # fmt: skip
    y = _name_axis("name:N", [row["name"] for row in rows])
    base = alt.Chart(alt.Data(values=rows)).encode(y=y, color=alt.Color("axis:N", sort=None, legend=None))
    layers = [
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2.5)
        .encode(x=alt.X("low:Q", title=effects.metric), x2="high:Q"),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x),
    ]
    return alt.layer(*layers).properties(
        width=460,
        height=22 * len(rows) + AXES_HEIGHT,
        title=chart_title(title, subtitle),
    )


def _level_label(level: str) -> str:
    """What runs without this setting have is no level called null."""
    return "–" if level == "null" else level


def _axis_domain(values: list[float]) -> list[float]:
    """The ends of an axis that has all these values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    return [low, high] if high > low else [low - 0.5, high + 0.5]


def _name_axis(field: str, names: list[str]) -> "Y":
    alt = import_altair()
    return alt.Y(field, sort=names, title=None, axis=alt.Axis(grid=False, labelLimit=230))
