"""Which claims hold, and by how much? Estimate and interval of each expectation, and its minimum effect."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.figures.style import altair

VERDICTS = {"supported": "#009E73", "refuted": "#D55E00", "not enough evidence": "#777777"}
"""The colour of each verdict; shapes tell the same."""


def figure(rows: Sequence[Mapping[str, Any]], title: str, subtitle: str = "") -> Any:
    """The chart of `rows`: `name`, `estimate`, `low`, `high`, `bound`, `verdict`, all in one unit.

    The tick is the bound that the interval has to leave on the right side.
    """
    alt = altair()
    data = alt.Data(values=[dict(row) for row in rows])
    y = alt.Y(
        "name:N", sort=[row["name"] for row in rows], title=None, axis=alt.Axis(grid=False, labelLimit=420)
    )
    names = list(VERDICTS)
    colour = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=names, range=list(VERDICTS.values())),
        legend=alt.Legend(title=None, orient="top"),
    )
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=names, range=["circle", "triangle-up", "diamond"]))
    base = alt.Chart(data).encode(y=y)
    title_x = "accuracy, or difference of accuracies (percentage points); 95% interval; tick: the bound"
    axis = alt.Axis(format="%", labelExpr="replace(datum.label, '%', '')")

    def x(field: str) -> Any:
        return alt.X(field, title=title_x, axis=axis)

    layers = [
        alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color="#bbb").encode(x=x("zero:Q")),
        base.mark_rule(strokeWidth=2.5).encode(x=x("low:Q"), x2="high:Q", color=colour),
        base.mark_tick(color="#000", thickness=2, size=16).encode(x=x("bound:Q")),
        base.mark_point(filled=True, size=85, opacity=1).encode(x=x("estimate:Q"), color=colour, shape=shape),
    ]
    return alt.layer(*layers).properties(
        width=460, height=alt.Step(26), title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )
