"""What do the best settings have in common? A line for each setting, a vertical axis for each swept axis."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from trainlab.figures.style import GREY, chart_title, import_altair, number_format

if TYPE_CHECKING:
    from trainlab.figures.style import Chart

HEIGHT = 420
VISIBLE = [0.2, 0.92]
"""The part of viridis that is visible on white and on nearly black."""
METRIC_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Where the metric's axis has numbers: shares of its height."""
MOST_LEVELS = 12
"""An axis with more levels shows the numbers at some of them only."""


def parallel_coordinates_plot(
    table: pl.DataFrame, axes: Sequence[str], metric: str, title: str, subtitle: str = ""
) -> "Chart":
    """The chart of `table`: columns `axes`, and `mean` of the metric, which colours the lines.

    Levels stand at equal distances, numbers in their order; the last vertical axis is the metric itself.
    """
    alt = import_altair()
    rows = table.filter(pl.col("mean").is_finite())
    vertical_axes = [*axes, metric]
    places = {axis: _places(rows[axis].to_list()) for axis in axes}
    low, high = _span(rows["mean"].to_list())
    lines = [
        {
            "line": number,
            "axis": axis,
            "height": (row["mean"] - low) / (high - low) if axis == metric else places[axis][row[axis]],
            "mean": row["mean"],
            "setting": ", ".join(f"{name}={_text(row[name])}" for name in axes),
        }
        for number, row in enumerate(rows.sort("mean").iter_rows(named=True))
        for axis in vertical_axes
    ]
    unit = number_format("share" if metric.endswith("acc") else "") or ".3g"
    x = alt.X("axis:N", sort=vertical_axes, title=None, scale=alt.Scale(padding=0.4),
              axis=alt.Axis(labelAngle=0, orient="top", grid=True, domain=False, ticks=False))  # fmt: skip
    y = alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.04, 1.1]))
    colour = alt.Color(
        "mean:Q", scale=alt.Scale(scheme=alt.SchemeParams("viridis", extent=VISIBLE)),
        legend=alt.Legend(
            title=metric, orient="bottom", gradientLength=220, gradientOpacity=1, format=unit, offset=16
        ),
    )  # fmt: skip
    tooltip = [alt.Tooltip("setting:N"), alt.Tooltip("mean:Q", title=metric, format=unit)]
    levels = alt.Chart(alt.Data(values=_ticks(places, metric, low, high))).encode(x=x, y=y)
    layers = [
        alt.Chart(alt.Data(values=lines))
        .mark_line(strokeWidth=1.6, opacity=_opacity(rows.height), interpolate="monotone")
        .encode(x=x, y=y, detail="line:N", color=colour, tooltip=tooltip),
        levels.mark_point(filled=True, size=22, color=GREY, opacity=1),
        levels.mark_text(align="left", dx=6, fontSize=11, color=GREY).encode(text="text:N"),
    ]  # fmt: skip
    return alt.layer(*layers).properties(width=600, height=HEIGHT, title=chart_title(title, subtitle))


def _ticks(
    places: Mapping[str, dict[object, float]], metric: str, low: float, high: float
) -> list[dict[str, object]]:
    """The texts beside the vertical axes: levels of settings, and numbers of the metric from low to high."""
    ticks: list[dict[str, object]] = [
        {"axis": axis, "height": place, "text": _text(level)}
        for axis, of_axis in places.items()
        for level, place in _spread(of_axis)
    ]
    of_metric: list[dict[str, object]] = [
        {"axis": metric, "height": share, "text": _number(low + share * (high - low), metric)}
        for share in METRIC_TICKS
    ]
    return ticks + of_metric


def _places(values: Sequence[object]) -> dict[object, float]:
    """Where each level of an axis stands, 0 at the bottom, 1 at the top; none at all is below the numbers."""
    levels = sorted(set(values), key=lambda value: (value is not None, isinstance(value, str), value))
    return {level: i / max(1, len(levels) - 1) for i, level in enumerate(levels)}


def _spread(places: dict[object, float]) -> list[tuple[object, float]]:
    """Of many levels some, the ends among them."""
    every = max(1, -(-len(places) // MOST_LEVELS))
    return [item for i, item in enumerate(places.items()) if i % every == 0 or i == len(places) - 1]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _opacity(lines: int) -> float:
    return max(0.15, min(0.9, 30 / max(1, lines)))


def _number(value: float, metric: str) -> str:
    return f"{value:.1%}" if metric.endswith("acc") else f"{value:.3g}"


def _text(level: object) -> str:
    return "–" if level is None else f"{level:g}" if isinstance(level, float) else str(level)
