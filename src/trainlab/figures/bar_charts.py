"""Horizontal bars: class probabilities of one image, parameters of each layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from trainlab.figures.style import COLOURS, GREY, chart_title, import_altair

if TYPE_CHECKING:
    from trainlab.figures.style import Chart

MAX_CLASSES = 20
"""With more classes only the likeliest are shown."""
AXIS_HEIGHT = 34
"""Pixels below the bars."""


def class_probability_bars(
    classes: Sequence[str], shares: Sequence[float], instead: Sequence[float] | None = None
) -> "Chart":
    """The chart of probabilities 0..1 in the order of `classes`, the likeliest in colour.

    `instead`: other probabilities of the same classes, as a vertical mark each.
    """
    alt = import_altair()
    best = max(range(len(shares)), key=lambda i: shares[i])
    kept = sorted(sorted(range(len(shares)), key=lambda i: -shares[i])[:MAX_CLASSES])
    rows = [
        {
            "class": classes[i],
            "share": shares[i],
            "text": f"{shares[i]:.1%}" if shares[i] >= 0.001 else "",
            "best": i == best,
            "instead": None if instead is None else instead[i],
        }
        for i in kept
    ]
    names = [row["class"] for row in rows]
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("class:N", sort=names, title=None, axis=alt.Axis(grid=False, ticks=False, domain=False)),
        tooltip=["class:N", alt.Tooltip("share:Q", format=".2%")],
    )
    x = alt.X(
        "share:Q",
        title=None,
        scale=alt.Scale(domain=[0, 1.12]),
        axis=alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=False),
    )
    colour = alt.condition("datum.best", alt.value(COLOURS[0]), alt.value("#80808090"))
    layers = [
        base.mark_bar(cornerRadiusEnd=2).encode(x=x, color=colour),
        base.mark_text(align="left", dx=4, fontSize=12, color=GREY).encode(x="share:Q", text="text:N"),
    ]
    if instead is not None:
        layers.append(base.mark_tick(thickness=3, color=COLOURS[1]).encode(x="instead:Q"))
    height = (26 if len(rows) <= 10 else 20) * len(rows) + AXIS_HEIGHT
    return alt.layer(*layers).properties(width="container", height=height)


class LayerParameters(TypedDict):
    """A layer, its number of parameters, and its output's shape, which is written beside the bar."""

    layer: str
    parameters: int
    shape: str


def parameter_bars(rows: Sequence[LayerParameters], title: str, subtitle: str = "") -> "Chart":
    """The chart of each layer's parameters on a log scale; layers without any are left out."""
    alt = import_altair()
    rows = [row for row in rows if row["parameters"]]
    bars = [{**row, "one": 1, "text": f"{row['parameters']:,}  → {row['shape']}"} for row in rows]
    largest = max(row["parameters"] for row in rows)
    scale = alt.Scale(type="log", domain=[1, 50 * largest])
    base = alt.Chart(alt.Data(values=bars)).encode(
        y=alt.Y(
            "layer:N",
            sort=[row["layer"] for row in rows],
            title=None,
            axis=alt.Axis(grid=False, labelLimit=260),
        )
    )
    x = alt.X(
        "parameters:Q", title="parameters (log scale)", scale=scale, axis=alt.Axis(format="~s", tickCount=8)
    )
    layers = [
        base.mark_bar(color=COLOURS[0]).encode(x=alt.X("one:Q", scale=scale), x2="parameters:Q"),
        base.mark_text(align="left", dx=5, fontSize=11).encode(x=x, text="text:N"),
    ]
    return alt.layer(*layers).properties(width=520, height=alt.Step(22), title=chart_title(title, subtitle))
