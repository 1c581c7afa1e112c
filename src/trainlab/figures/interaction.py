"""Does what one factor does depend on the other? A line per level of the one, the other along the x axis."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.analysis.intervals import mean_interval
from trainlab.errors import RequestError
from trainlab.figures.style import altair, axis_title, number_format, within_reach

SEPARATOR = " / "
"""Between the two levels in an arm's name: `relu / kaiming`."""


def figure(
    values: Mapping[str, Sequence[float]],
    names: tuple[str, str],
    title: str,
    subtitle: str = "",
    unit: str = "",
    name: str = "value",
) -> Any:
    """The chart of means with 95% intervals; parallel lines are no interaction.

    Arms are called `LINE / X`; `names` are what the lines and the x axis are.

    Raises:
        RequestError: an arm whose name has not two parts.
    """
    alt = altair()
    rows = []
    for arm, of in values.items():
        line, separator, x = arm.partition(SEPARATOR)
        if not separator:
            raise RequestError(f"interaction: arm '{arm}', expected a name like 'relu{SEPARATOR}kaiming'")
        interval = within_reach(mean_interval(of), unit)
        if interval.value is not None:
            rows.append(
                {"line": line, "x": x, "mean": interval.value, "low": interval.low, "high": interval.high}
            )
    order = list(dict.fromkeys(row["x"] for row in rows))
    lines = list(dict.fromkeys(row["line"] for row in rows))
    axis = alt.Axis(format=number_format(unit))
    colour = alt.Color("line:N", sort=lines, legend=alt.Legend(title=names[0], orient="top"))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:N", sort=order, title=names[1], axis=alt.Axis(labelAngle=0, grid=False)),
        color=colour,
    )
    title_y = axis_title(name, unit)
    y = alt.Y("mean:Q", title=title_y, axis=axis, scale=alt.Scale(zero=unit == "share"))
    layers = [
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=title_y), y2="high:Q"),
        base.mark_line(strokeWidth=2.5).encode(
            y=y, strokeDash=alt.StrokeDash("line:N", sort=lines, legend=None)
        ),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            y=y, shape=alt.Shape("line:N", sort=lines, legend=None)
        ),
    ]
    return alt.layer(*layers).properties(
        width=max(260, 110 * len(order)),
        height=280,
        title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else []),
    )
