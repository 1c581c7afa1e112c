"""A quantity by layer, measured as dots and predicted by theory as a line."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trainlab.errors import RequestError
from trainlab.figures.style import COLOURS, GREY, chart_title, import_altair

if TYPE_CHECKING:
    import altair
    from altair import Axis, Scale

    from trainlab.figures.style import Chart


def theory_profile_plot(
    measured: Mapping[str, Sequence[float]],
    predicted: Mapping[str, Sequence[float]],
    quantity: str,
    title: str,
    subtitle: str = "",
) -> "Chart":
    """The chart of values by layer (1 is the first), dots measured, lines predicted, on a log scale.

    Raises:
        RequestError: nothing was measured.
    """
    alt = import_altair()
    rows = [
        {"arm": arm, "layer": i, "value": value, "which": which}
        for which, arms in (("measured", measured), ("theory", predicted))
        for arm, values in arms.items()
        for i, value in enumerate(values, start=1)
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
    points = base.mark_point(filled=True, size=55, opacity=1).encode(
        shape=alt.Shape("arm:N", sort=names, legend=None)
    )
    marks = {"theory": base.mark_line(strokeWidth=2), "measured": points}
    layers = _layers_with_rows(marks, rows)
    return alt.layer(*layers).properties(width=480, height=300, title=chart_title(title, subtitle))


def _layers_with_rows(
    marks: Mapping[str, "altair.Chart"], rows: Sequence[Mapping[str, object]]
) -> "list[altair.Chart]":
    """Each mark with its rows, none without any: an empty layer makes the scale infinite."""
    alt = import_altair()
    return [
        mark.properties(data=alt.Data(values=own))
        for which, mark in marks.items()
        if (own := [row for row in rows if row["which"] == which])
    ]


QUANTITIES = {
    "scale": ("Signal", "root mean square of what enters the activation", "log"),
    "correlation": (
        "Images told apart",
        "correlation of different images: at 1 they look the same",
        "linear",
    ),
    "gradient": ("Gradient", "norm at the layer, over that at the last hidden one", "log"),
}
"""A quantity of `LayerReport`: its title, what it is, its scale."""
LOG_AXIS_MIN, LOG_AXIS_MAX = 1e-30, 1e30
"""Values beyond these are drawn at the edge of a log axis."""

ProfileRow = Mapping[str, str | float | None]
"""A layer: its `name`, and its quantities by their names; None where there is none."""


def forecast_profile_plot(
    theory: Sequence[ProfileRow], measured: Sequence[ProfileRow], quantity: str
) -> "Chart":
    """The chart of `quantity` by layer (1 is the first); theory and measurement are matched by layers' names.

    Where neither has a value, the axes are drawn alone.
    """
    alt = import_altair()
    title, subtitle, scale = QUANTITIES[quantity]
    order = [row["name"] for row in measured] or [row["name"] for row in theory]
    rows = [
        {"layer": order.index(row["name"]) + 1, "name": row["name"], "value": value, "which": which}
        for which, layers in (("theory", theory), ("measured", measured))
        for row in layers
        if row["name"] in order and (value := _value_on_axis(row.get(quantity), scale)) is not None
    ]
    x = alt.X(
        "layer:Q",
        title="layer (1 is the first)",
        scale=alt.Scale(domain=[1, max(len(order), 2)], nice=False, padding=8),
        axis=alt.Axis(tickMinStep=1, format="d", grid=False),
    )
    values = [float(row["value"]) for row in rows]
    y = alt.Y("value:Q", title=None, scale=_value_scale(values, scale), axis=_value_axis(values, scale))
    tooltip = ["name:N", "which:N", alt.Tooltip("value:Q", format=".3g")]
    base = alt.Chart().encode(x=x, y=y, tooltip=tooltip)
    marks = {
        "theory": base.mark_line(color=COLOURS[0], strokeWidth=2.5),
        "measured": base.mark_point(filled=True, size=60, opacity=1, color=COLOURS[1]),
    }
    # at least one layer, which draws the axes
    layers = _layers_with_rows(marks, rows) or [base.mark_point().properties(data=alt.Data(values=[]))]
    if scale == "log":
        rule = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(color=GREY, strokeDash=[3, 3])
        layers.insert(0, rule.encode(y="one:Q"))
    return alt.layer(*layers).properties(
        width="container", height=210, title=alt.TitleParams(title, subtitle=[subtitle])
    )


def _value_on_axis(value: str | float | None, scale: str) -> float | None:
    """The value within the range of the axis; None where there is none, or none that a log axis can show."""
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    if scale == "linear":
        return max(-1.0, min(1.0, value))
    return max(LOG_AXIS_MIN, min(LOG_AXIS_MAX, value)) if value > 0 else None


def _value_scale(values: Sequence[float], scale: str) -> "Scale":
    alt = import_altair()
    if scale == "linear":
        return alt.Scale(domain=[min(0.0, *values, 0.0), 1])
    low, high = _decades(values or [1.0])
    return alt.Scale(type="log", domain=[10.0**low, 10.0**high])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values, at least two apart, so that a flat line looks flat."""
    return math.floor(math.log10(min(*values, 0.1))), math.ceil(math.log10(max(*values, 10.0)))


def _value_axis(values: Sequence[float], scale: str) -> "Axis":
    alt = import_altair()
    if scale == "linear":
        return alt.Axis(format=".1f", tickCount=5)
    low, high = _decades(values or [1.0])
    step = max(1, math.ceil((high - low) / 5))
    return alt.Axis(format="~e", values=[10.0**power for power in range(low, high + 1, step)])
