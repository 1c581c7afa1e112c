"""Where in the network, and when? A quantity of every layer at every measured step, one panel an arm."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from trainlab.errors import RequestError
from trainlab.figures.style import altair

SMALLEST_DECADE = -12.0
"""What is smaller (a gradient of exactly zero) is drawn as this power of ten."""
PANELS_A_ROW = 2
TALLEST = 560
"""Of a panel; in deeper networks the names of some layers give way."""


def cells(signals: pl.DataFrame, quantity: str) -> list[dict[str, Any]]:
    """step, layer and decade (log10 of the value) of a run's signals; layers in the network's order."""
    rows = signals.filter(pl.col("quantity") == quantity)
    return [
        {"step": str(step), "layer": layer, "decade": decade(value)}
        for step, layer, value in rows.select("step", "layer", "value").iter_rows()
        if math.isfinite(value)
    ]


def decade(value: float) -> float:
    """log10 of a size, not below SMALLEST_DECADE."""
    return max(math.log10(value), SMALLEST_DECADE) if value > 0 else SMALLEST_DECADE


def figure(
    panels: Mapping[str, Sequence[Mapping[str, Any]]], quantity: str, title: str, subtitle: str = ""
) -> Any:
    """The chart of `cells` by arm, all on one colour scale; input side at the bottom, output at the top.

    Raises:
        RequestError: no arm has measured the quantity.
    """
    alt = altair()
    if not any(panels.values()):
        raise RequestError(f"no run has measured {quantity}")
    every = [cell["decade"] for of in panels.values() for cell in of]
    # viridis is told apart by the colour-blind, and in grey; its ends are the least and the largest value
    scale = alt.Scale(scheme="viridis", domain=[min(every), max(every)])
    named = quantity.replace("_", " ").replace("grad ", "gradient ")
    legend = alt.Legend(title=f"log10 of {named}", orient="bottom", gradientLength=260, titleLimit=300)
    charts = []
    for arm, of in panels.items():
        layers = list(dict.fromkeys(cell["layer"] for cell in of))
        steps = sorted({cell["step"] for cell in of}, key=int)
        charts.append(
            alt.Chart(alt.Data(values=[dict(cell) for cell in of]))
            .mark_rect()
            .encode(
                x=alt.X(
                    "step:O",
                    sort=steps,
                    title="training step",
                    axis=alt.Axis(labelAngle=0, labelOverlap=True, grid=False),
                ),
                y=alt.Y(
                    "layer:O",
                    sort=layers[::-1],
                    title=None,
                    axis=alt.Axis(labelLimit=150, labelOverlap=True, grid=False),
                ),
                color=alt.Color("decade:Q", scale=scale, legend=legend),
            )
            .properties(width=300, height=min(max(90, 20 * len(layers)), TALLEST), title=arm)
        )
    return alt.concat(*charts, columns=PANELS_A_ROW).properties(
        title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )
