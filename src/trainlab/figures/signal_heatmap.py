"""Where in the network, and when? A quantity of every layer at every measured step; a panel for each arm."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

import polars as pl

from trainlab.errors import RequestError
from trainlab.figures.style import COLOURS, chart_title, import_altair

if TYPE_CHECKING:
    from altair import X, Y

    from trainlab.figures.style import Chart

MIN_DECADE = -12.0
"""Smaller values (a gradient of exactly zero) are drawn as this power of ten."""
MIN_SPAN = 1.0
"""Decades that a colour scale spans at least: over fewer, rounding and noise would be drawn as stripes."""
SHARES = ("saturated", "dead")
"""Quantities between 0 and 1, drawn on a linear scale where there is one run."""
PANELS_PER_ROW = 2
MAX_PANEL_HEIGHT = 560
"""In deeper networks the names of some layers are left out."""


class SignalCell(TypedDict):
    """A layer at a step, with log10 of the value; `value` itself only where it is drawn."""

    step: str
    layer: str
    decade: float
    value: NotRequired[float]


def signal_cells(signals: pl.DataFrame, quantity: str) -> list[SignalCell]:
    """step, layer and decade (log10 of the value) of a run's signals; layers in the network's order."""
    rows = signals.filter(pl.col("quantity") == quantity)
    return [
        {"step": str(step), "layer": layer, "decade": decade(value)}
        for step, layer, value in rows.select("step", "layer", "value").iter_rows()
        if math.isfinite(value)
    ]


def signal_heatmap(
    signals: pl.DataFrame,
    quantity: str,
    title: str,
    step: int | None = None,
    decades: tuple[float, float] | None = None,
) -> "Chart":
    """One run's quantity by layer and step, `step` framed; shares as they are, sizes by decade.

    decades: the ends of the colour scale of a size; the run's own when left out, a decade at least.

    Raises:
        RequestError: the run has not measured the quantity.
    """
    alt = import_altair()
    drawn = signal_cells(signals, quantity)
    if not drawn:
        raise RequestError(f"the run has not measured {quantity}")
    is_share = quantity in SHARES
    for cell in drawn:
        cell["value"] = 10 ** cell["decade"]
    scale = alt.Scale(scheme="viridis", domain=[0, 1] if is_share else decades or _decade_span(drawn))
    legend = alt.Legend(title=None, orient="right", gradientThickness=9, format="%" if is_share else "")
    colour = alt.Color("value:Q" if is_share else "decade:Q", scale=scale, legend=legend)
    tooltip = ["layer:N", "step:O", alt.Tooltip("value:Q", format=".3g", title=quantity.replace("_", " "))]
    axes = _step_and_layer_axes(drawn)
    base = alt.Chart(alt.Data(values=drawn)).encode(**axes)
    layers = [base.mark_rect().encode(color=colour, tooltip=tooltip)]
    at_step = [cell for cell in drawn if cell["step"] == str(step)]
    if at_step:
        framed = alt.Chart(alt.Data(values=at_step[:1])).encode(x=axes["x"])  # over the whole height
        layers.append(framed.mark_rect(filled=False, stroke=COLOURS[1], strokeWidth=2))
    shown = "share of units" if is_share else "log10"
    return alt.layer(*layers).properties(
        height=110 + min(20 * len({cell["layer"] for cell in drawn}), MAX_PANEL_HEIGHT),
        title=alt.TitleParams(title, subtitle=[f"{shown}, by layer and training step"]),
    )


def _step_and_layer_axes(cells: Sequence[SignalCell]) -> "dict[str, X | Y]":
    """Steps from left to right, layers from the input's side at the bottom to the output's at the top."""
    alt = import_altair()
    layers = list(dict.fromkeys(cell["layer"] for cell in cells))
    steps = sorted({cell["step"] for cell in cells}, key=int)
    x_axis = alt.Axis(labelAngle=0, labelOverlap=True, grid=False)
    y_axis = alt.Axis(labelLimit=150, labelOverlap=True, grid=False)
    return {
        "x": alt.X("step:O", sort=steps, title="training step", axis=x_axis),
        "y": alt.Y("layer:O", sort=layers[::-1], title=None, axis=y_axis),
    }


def decade_range(runs: Iterable[pl.DataFrame], quantity: str) -> tuple[float, float] | None:
    """The least and the largest decade of a quantity over the signals of runs, at least one apart.

    None where no run has measured it.
    """
    cells = [cell for signals in runs for cell in signal_cells(signals, quantity)]
    return _decade_span(cells) if cells else None


def _decade_span(cells: Sequence[SignalCell]) -> tuple[float, float]:
    """The ends of the colour scale: at least a decade apart, so that nearly equal values look equal."""
    low, high = min(cell["decade"] for cell in cells), max(cell["decade"] for cell in cells)
    missing = max(0.0, MIN_SPAN - (high - low)) / 2
    return low - missing, high + missing


def decade(value: float) -> float:
    """log10 of a size, not below MIN_DECADE."""
    return max(math.log10(value), MIN_DECADE) if value > 0 else MIN_DECADE


def signal_heatmap_grid(
    panels: Mapping[str, Sequence[SignalCell]], quantity: str, title: str, subtitle: str = ""
) -> "Chart":
    """The chart of `cells` by arm, all on one colour scale; input side at the bottom, output at the top.

    Raises:
        RequestError: no arm has measured the quantity.
    """
    alt = import_altair()
    if not any(panels.values()):
        raise RequestError(f"no run has measured {quantity}")
    # colour-blind people can read viridis, and so can grey print; its ends are the least and largest value
    scale = alt.Scale(
        scheme="viridis", domain=_decade_span([cell for cells in panels.values() for cell in cells])
    )
    named = quantity.replace("_", " ").replace("grad ", "gradient ")
    legend = alt.Legend(title=f"log10 of {named}", orient="bottom", gradientLength=260, titleLimit=300)
    charts = []
    for arm, cells in panels.items():
        height = min(max(90, 20 * len({cell["layer"] for cell in cells})), MAX_PANEL_HEIGHT)
        charts.append(
            alt.Chart(alt.Data(values=[dict(cell) for cell in cells]))
            .mark_rect()
            .encode(**_step_and_layer_axes(cells), color=alt.Color("decade:Q", scale=scale, legend=legend))
            .properties(width=300, height=height, title=arm)
        )
    return alt.concat(*charts, columns=PANELS_PER_ROW).properties(title=chart_title(title, subtitle))
