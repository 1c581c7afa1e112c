"""Does the remedy help? The training loss of a run and of the same run with it, against the step."""

import math
from collections.abc import Mapping
from typing import Any

from trainlab.figures.style import altair

LARGEST = 1.5
"""Times the chance loss that the axis goes up to: a loss that leaves it is drawn at its edge."""


def figure(curves: Mapping[str, Mapping[int, float]], chance_loss: float, title: str) -> Any:
    """The chart of losses (nats) by step, a line per name; `chance_loss` is the level of guessing.

    Raises RequestError where Altair is not installed.
    """
    alt = altair()
    rows = [
        {"run": name, "step": step, "loss": loss}
        for name, losses in curves.items()
        for step, loss in losses.items()
        if math.isfinite(loss)
    ]
    scale = alt.Scale(domain=[0, LARGEST * chance_loss], clamp=True)
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format="d", grid=False)),
            y=alt.Y("loss:Q", title="training loss (nats)", scale=scale),
            color=alt.Color("run:N", sort=list(curves), legend=alt.Legend(title=None, orient="top")),
        )
    )
    level = alt.Chart(alt.Data(values=[{"loss": chance_loss, "text": "guessing"}])).encode(y="loss:Q")
    guessing = level.mark_rule(color="#777", strokeDash=[2, 3])
    named = level.mark_text(align="left", dx=4, dy=10, color="#555", fontSize=11).encode(
        x=alt.value(0), text="text:N"
    )
    return alt.layer(lines, guessing, named).properties(width=520, height=280, title=title)
