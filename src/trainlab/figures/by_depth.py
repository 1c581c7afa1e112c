"""Does theory say what happens? A quantity by depth: measured at the first step, and as mean-field has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.errors import RequestError
from trainlab.figures.style import altair


def figure(
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
    alt = altair()
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
