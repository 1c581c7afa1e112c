"""Dense, locally connected and convolution layer side by side: what is connected, and what it costs. HTML."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.app.layer_picture import PARAMETERS, PRODUCTS, svg, times
from trainlab.figures.style import COLOURS

WAYS = (
    ("Dense", "every unit sees all pixels, each through a weight of its own"),
    ("Locally connected", "every unit sees a window, through a kernel of its own"),
    ("Convolution", "every unit of a map sees a window, through the same kernel"),
)


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Dense, locally connected and convolution layer side by side: what is connected, what it costs.

    Bars are logarithmic: the numbers differ by factors of thousands.
    """
    most = max(max(row["parameters"], row["multiply_adds"]) for row in rows)
    cards = "".join(
        _way(row, name, says, i, most) for i, (row, (name, says)) in enumerate(zip(rows, WAYS, strict=True))
    )
    return f"{CARDS}<div class='ways'>{cards}</div>"


CARDS = """
<style>
.ways { display: grid; grid-template-columns: repeat(auto-fit, minmax(250px, 1fr)); gap: 0.9rem; }
.ways > div { border: 1px solid #80808050; border-radius: 6px; padding: 0.9rem 1rem; }
.ways h3 { margin: 0; padding: 0; font-size: 1.05rem; }
.ways p { margin: 0.2rem 0 0.7rem; opacity: 0.75; font-size: 0.9rem; min-height: 3.2em; }
.ways .bar { height: 9px; border-radius: 2px; margin: 0.1rem 0 0.55rem; }
.ways .n { font-variant-numeric: tabular-nums; }
.ways img { display: block; margin: 0.2rem auto 0.8rem; max-width: 100%; }
</style>
"""


def _way(row: Mapping[str, Any], name: str, says: str, way: int, most: int) -> str:
    costs = (("parameters", "parameters", PARAMETERS), ("multiply_adds", "multiply-adds", PRODUCTS))
    bars = "".join(
        f"<span class='n'><b>{row[key]:,}</b> {label} <small>(log scale)</small></span>"
        f"<div class='bar' style='width:{_log_share(row[key], most):.1f}%;background:{colour}'></div>"
        for key, label, colour in costs
    )
    return (
        f"<div><h3>{name}</h3><p>{says}</p>{_wires(way)}{bars}"
        f"<span class='n' style='opacity:.75'>output {times(row['out_shape'])}</span></div>"
    )


def _log_share(value: int, most: int) -> float:
    """Percent of a bar of the length of `most`, both by their logarithm."""
    return 100 * math.log(value + 1) / math.log(most + 1)


PIXELS, WINDOW = 9, 3


def _wires(way: int) -> str:
    """Nine pixels below, the units above, and lines between them: a colour for each weight."""
    units = PIXELS if way == 0 else PIXELS - WINDOW + 1
    low = [(15 + 26 * i, 92) for i in range(PIXELS)]
    high = [(15 + 26 * (i + (PIXELS - units) / 2), 16) for i in range(units)]
    lines = []
    for unit, (x, y) in enumerate(high):
        for tap in range(PIXELS if way == 0 else WINDOW):
            px, py = low[tap if way == 0 else unit + tap]
            own = PARAMETERS if way == 0 else COLOURS[unit % 6] if way == 1 else COLOURS[tap]
            opacity = 0.22 if way == 0 else 0.9
            lines.append(
                f"<line x1='{x:.0f}' y1='{y}' x2='{px}' y2='{py}' stroke='{own}' stroke-width='1.6' "
                f"stroke-opacity='{opacity}'/>"
            )
    dots = "".join(f"<circle cx='{x:.0f}' cy='{y}' r='5.5' fill='{COLOURS[0]}'/>" for x, y in high)
    squares = "".join(
        f"<rect x='{x - 6}' y='{y - 6}' width='12' height='12' rx='2' fill='#808080'/>" for x, y in low
    )
    return svg(238, 106, f"{''.join(lines)}{dots}{squares}")
