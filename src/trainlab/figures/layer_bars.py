"""Where do the parameters lie? Parameters of each layer, on a log scale."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.figures.style import COLOURS, altair


def figure(rows: Sequence[Mapping[str, Any]], title: str, subtitle: str = "") -> Any:
    """The chart of `rows`: `layer`, `parameters` (1 or more), `shape` (as text, beside the bar)."""
    alt = altair()
    shown = [
        {**row, "one": 1, "text": f"{row['parameters']:,}  → {row['shape']}"}
        for row in rows
        if row["parameters"]
    ]
    largest = max(row["parameters"] for row in shown)
    scale = alt.Scale(type="log", domain=[1, 50 * largest])
    base = alt.Chart(alt.Data(values=shown)).encode(
        y=alt.Y(
            "layer:N",
            sort=[row["layer"] for row in shown],
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
    return alt.layer(*layers).properties(
        width=520, height=alt.Step(22), title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )
