"""Where in the network, and when? A quantity of every layer at every measured step, one panel an arm."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from trainlab.errors import RequestError
from trainlab.figures.style import COLOURS, import_altair

SMALLEST_DECADE = -12.0
"""What is smaller (a gradient of exactly zero) is drawn as this power of ten."""
LEAST_SPAN = 1.0
"""Decades that a scale of colour spans at least: less is rounding and noise, drawn as stripes."""
SHARES = ("saturated", "dead")
"""Quantities between 0 and 1, drawn as they are where a run stands alone."""
PANELS_A_ROW = 2
TALLEST = 560
"""Of a panel; in deeper networks the names of some layers give way."""


def signal_cells(signals: pl.DataFrame, quantity: str) -> list[dict[str, Any]]:
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
) -> Any:
    """One run's quantity by layer and step, `step` framed; shares as they are, sizes by decade.

    decades: the ends of the colour scale of a size; the run's own when left out, a decade at least.

    Raises:
        RequestError: the run has not measured the quantity.
    """
    alt = import_altair()
    of = signal_cells(signals, quantity)
    if not of:
        raise RequestError(f"the run has not measured {quantity}")
    is_share = quantity in SHARES
    for cell in of:
        cell["value"] = 10 ** cell["decade"]
    scale = alt.Scale(scheme="viridis", domain=[0, 1] if is_share else decades or _decade_span(of))
    legend = alt.Legend(title=None, orient="right", gradientThickness=9, format="%" if is_share else "")
    colour = alt.Color("value:Q" if is_share else "decade:Q", scale=scale, legend=legend)
    tooltip = ["layer:N", "step:O", alt.Tooltip("value:Q", format=".3g", title=quantity.replace("_", " "))]
    places = _step_and_layer_axes(of)
    base = alt.Chart(alt.Data(values=of)).encode(**places)
    layers = [base.mark_rect().encode(color=colour, tooltip=tooltip)]
    at = [cell for cell in of if cell["step"] == str(step)]
    if at:
        framed = alt.Chart(alt.Data(values=at[:1])).encode(x=places["x"])  # over the whole height
        layers.append(framed.mark_rect(filled=False, stroke=COLOURS[1], strokeWidth=2))
    shown = "share of units" if is_share else "log10"
    return alt.layer(*layers).properties(
        height=110 + min(20 * len({cell["layer"] for cell in of}), TALLEST),
        title=alt.TitleParams(title, subtitle=[f"{shown}, by layer and training step"]),
    )


def _step_and_layer_axes(of: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Steps from left to right, layers from the input's side at the bottom to the output's at the top."""
    alt = import_altair()
    layers = list(dict.fromkeys(cell["layer"] for cell in of))
    steps = sorted({cell["step"] for cell in of}, key=int)
    below = alt.Axis(labelAngle=0, labelOverlap=True, grid=False)
    beside = alt.Axis(labelLimit=150, labelOverlap=True, grid=False)
    return {
        "x": alt.X("step:O", sort=steps, title="training step", axis=below),
        "y": alt.Y("layer:O", sort=layers[::-1], title=None, axis=beside),
    }


def decade_range(runs: Iterable[pl.DataFrame], quantity: str) -> tuple[float, float] | None:
    """The least and the largest decade of a quantity over the signals of runs, one apart at least.

    None where none has it.
    """
    every = [cell for signals in runs for cell in signal_cells(signals, quantity)]
    return _decade_span(every) if every else None


def _decade_span(of: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The ends of the scale of colour: a decade apart at least, so that what is nearly equal looks equal."""
    low, high = min(cell["decade"] for cell in of), max(cell["decade"] for cell in of)
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    return low - missing, high + missing


def decade(value: float) -> float:
    """log10 of a size, not below SMALLEST_DECADE."""
    return max(math.log10(value), SMALLEST_DECADE) if value > 0 else SMALLEST_DECADE


def signal_heatmap_grid(
    panels: Mapping[str, Sequence[Mapping[str, Any]]], quantity: str, title: str, subtitle: str = ""
) -> Any:
    """The chart of `cells` by arm, all on one colour scale; input side at the bottom, output at the top.

    Raises:
        RequestError: no arm has measured the quantity.
    """
    alt = import_altair()
    if not any(panels.values()):
        raise RequestError(f"no run has measured {quantity}")
    every = [cell for of in panels.values() for cell in of]
    # viridis is told apart by the colour-blind, and in grey; its ends are the least and the largest value
    scale = alt.Scale(scheme="viridis", domain=_decade_span(every))
    named = quantity.replace("_", " ").replace("grad ", "gradient ")
    legend = alt.Legend(title=f"log10 of {named}", orient="bottom", gradientLength=260, titleLimit=300)
    charts = []
    for arm, of in panels.items():
        height = min(max(90, 20 * len({cell["layer"] for cell in of})), TALLEST)
        charts.append(
            alt.Chart(alt.Data(values=[dict(cell) for cell in of]))
            .mark_rect()
            .encode(**_step_and_layer_axes(of), color=alt.Color("decade:Q", scale=scale, legend=legend))
            .properties(width=300, height=height, title=arm)
        )
    return alt.concat(*charts, columns=PANELS_A_ROW).properties(
        title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )
