"""What does the network take it for? A bar for each class; what it would say otherwise as a mark on it."""

from collections.abc import Sequence
from typing import Any

from trainlab.figures.style import COLOURS, GREY, altair

MOST = 20
"""Classes shown, of more the likeliest."""
AXIS = 34
"""Pixels below the bars."""


def figure(classes: Sequence[str], shares: Sequence[float], instead: Sequence[float] | None = None) -> Any:
    """The chart of probabilities 0..1 in the order of `classes`, the likeliest in colour.

    `instead`: other probabilities of the same classes, as a vertical mark each.
    """
    alt = altair()
    best = max(range(len(shares)), key=lambda i: shares[i])
    kept = sorted(sorted(range(len(shares)), key=lambda i: -shares[i])[:MOST])
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
    height = (26 if len(rows) <= 10 else 20) * len(rows) + AXIS
    return alt.layer(*layers).properties(width="container", height=height)
