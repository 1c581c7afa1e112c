"""A quantity by layer, measured as dots and predicted by theory as a line."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.errors import RequestError
from trainlab.figures.style import COLOURS, GREY, import_altair


def theory_profile_plot(
    measured: Mapping[str, Sequence[float]],
    predicted: Mapping[str, Sequence[float]],
    quantity: str,
    title: str,
    subtitle: str = "",
) -> Any:
    """The chart of values by layer (1 is the first), dots measured, lines predicted, on a log scale.

    Raises:
        RequestError: nothing was measured.
    """
    alt = import_altair()
    rows = [
        {"arm": arm, "layer": i, "value": value, "which": which}
        for which, arms in (("measured", measured), ("theory", predicted))
        for arm, of in arms.items()
        for i, value in enumerate(of, start=1)
        if value and value > 0
    ]
    if not any(row["which"] == "measured" for row in rows):
        raise RequestError(f"no run has measured {quantity or subtitle}")
    names = list(measured)
    legend = alt.Legend(title="line: theory, dots: measured", orient="top", labelLimit=260)
    base = alt.Chart().encode(
        x=alt.X(
            "layer:Q", title="layer (1 is the first)", axis=alt.Axis(tickMinStep=1, format="d", grid=False)
        ),
        y=alt.Y(
            "value:Q",
            title=quantity or None,
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~g", tickCount=5, labelOverlap=True),
        ),
        color=alt.Color(
            "arm:N",
            sort=names,
            legend=legend,
        ),
    )
    # each with rows of its own, and none without: an empty layer makes the scale infinite
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        shape=alt.Shape("arm:N", sort=names, legend=legend)
    )
    marks = {"theory": base.mark_line(strokeWidth=2), "measured": points}
    layers = [
        mark.properties(data=alt.Data(values=of))
        for which, mark in marks.items()
        if (of := [row for row in rows if row["which"] == which])
    ]
    return alt.layer(*layers).properties(
        width=480, height=300, title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )


QUANTITIES = {
    "scale": ("Signal", "root mean square of what enters the activation", "log"),
    "correlation": (
        "Images told apart",
        "correlation of different images: at 1 they look the same",
        "linear",
    ),
    "gradient": ("Gradient", "norm at the layer, over that at the last hidden one", "log"),
}
"""A quantity of `LayerView`: its title, what it is, its scale."""
LEAST, LARGEST = 1e-30, 1e30
"""Beyond these a log axis says no more than that it is beyond."""


def forecast_profile_plot(
    theory: Sequence[Mapping[str, Any]], measured: Sequence[Mapping[str, Any]], quantity: str
) -> Any:
    """The chart of `quantity` by layer (1 is the first); both are rows with `name` and the quantity, or None.

    Layers of the two are matched by name. Where neither has a value, the axes stand alone.
    """
    alt = import_altair()
    title, subtitle, scale = QUANTITIES[quantity]
    order = [row["name"] for row in measured] or [row["name"] for row in theory]
    rows = [
        {"layer": order.index(row["name"]) + 1, "name": row["name"], "value": value, "which": which}
        for which, of in (("theory", theory), ("measured", measured))
        for row in of
        if row["name"] in order and (value := _value_on_axis(row.get(quantity), scale)) is not None
    ]
    x = alt.X(
        "layer:Q",
        title="layer (1 is the first)",
        scale=alt.Scale(domain=[1, max(len(order), 2)], nice=False, padding=8),
        axis=alt.Axis(tickMinStep=1, format="d", grid=False),
    )
    y = alt.Y("value:Q", title=None, scale=_value_scale(rows, scale), axis=_value_axis(rows, scale))
    tooltip = ["name:N", "which:N", alt.Tooltip("value:Q", format=".3g")]
    base = alt.Chart().encode(x=x, y=y, tooltip=tooltip)
    marks = {
        "theory": base.mark_line(color=COLOURS[0], strokeWidth=2.5),
        "measured": base.mark_point(filled=True, size=60, opacity=1, color=COLOURS[1]),
    }
    # none without rows: an empty layer makes the scale infinite; and one at least, which draws the axes
    layers = [
        mark.properties(data=alt.Data(values=of))
        for which, mark in marks.items()
        if (of := [row for row in rows if row["which"] == which])
    ] or [base.mark_point().properties(data=alt.Data(values=[]))]
    if scale == "log":
        rule = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(color=GREY, strokeDash=[3, 3])
        layers.insert(0, rule.encode(y="one:Q"))
    return alt.layer(*layers).properties(
        width="container", height=210, title=alt.TitleParams(title, subtitle=[subtitle])
    )


def _value_on_axis(value: float | None, scale: str) -> float | None:
    """The value as the axis can have it; None where there is none, or none that a log axis has."""
    if value is None or value != value:
        return None
    if scale == "linear":
        return max(-1.0, min(1.0, value))
    return max(LEAST, min(LARGEST, value)) if value > 0 else None


def _value_scale(rows: Sequence[Mapping[str, Any]], scale: str) -> Any:
    alt = import_altair()
    if scale == "linear":
        return alt.Scale(domain=[min(0.0, *(row["value"] for row in rows), 0.0), 1])
    values = [row["value"] for row in rows] or [1.0]
    low, high = _decades(values)
    return alt.Scale(type="log", domain=[10.0**low, 10.0**high])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Whole powers of ten around the values; at least two of them, so that a flat line looks flat."""
    return math.floor(math.log10(min(*values, 0.1))), math.ceil(math.log10(max(*values, 10.0)))


def _value_axis(rows: Sequence[Mapping[str, Any]], scale: str) -> Any:
    alt = import_altair()
    if scale == "linear":
        return alt.Axis(format=".1f", tickCount=5)
    low, high = _decades([row["value"] for row in rows] or [1.0])
    step = max(1, math.ceil((high - low) / 5))
    return alt.Axis(format="~e", values=[10.0**power for power in range(low, high + 1, step)])
