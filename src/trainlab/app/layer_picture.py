"""The layer table as a picture: maps to scale, and a bar for what each layer costs. HTML, one row a layer.

Everything from outside is escaped. Colours are those of the figures; text and lines take the page's own, so
that light and dark both hold. On a narrow screen a row wraps: the bars stand below the names. Drawings are
images, since the page takes no SVG from anyone.
"""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from trainlab.figures.style import COLOURS

PARAMETERS, PRODUCTS = COLOURS[0], COLOURS[1]
LARGEST_SQUARE = 46
"""Pixels of the side of the largest map; the others to the same scale, at least `SMALLEST_SQUARE`."""
SMALLEST_SQUARE = 2
SHEETS = 5
"""Sheets drawn behind one another for many channels: one for each factor of four."""
STYLE = """
<style>
.lp { width: 100%; border-collapse: collapse; font-size: 0.9rem; }
.lp th { text-align: left; font-weight: 600; padding: 0.3rem 0.6rem; border-bottom: 1px solid #80808060; }
.lp td { padding: 0.25rem 0.6rem; border-bottom: 1px solid #80808028; vertical-align: middle; }
.lp .n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.lp .k { opacity: 0.75; white-space: nowrap; }
.lp .bar { height: 9px; border-radius: 2px; min-width: 1px; }
.lp .name { font-weight: 500; overflow-wrap: break-word; }
.lp img { display: block; max-width: none; }
.lp tr.idle td { opacity: 0.75; }
.lp tr.idle .k { opacity: 1; }
@media (max-width: 640px) {
  .lp thead { display: none; }
  .lp tr { display: grid; grid-template-columns: 4.4rem 1fr auto; padding: 0.4rem 0; }
  .lp tbody tr { border-bottom: 1px solid #80808028; }
  .lp td { border: 0; padding: 0.1rem 0.3rem; }
  .lp .map { grid-row: 1 / span 3; }
  .lp .wide { grid-column: 2 / span 2; }
  .lp .wide span::after { content: ' ' attr(data-is); opacity: 0.75; }
}
</style>
"""


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of layers (rows of `models.anatomy` as plain values) as HTML."""
    side = max((row["out_shape"][1] for row in rows if len(row["out_shape"]) == 3), default=1)
    most = {key: max((row[key] for row in rows), default=0) or 1 for key in ("parameters", "multiply_adds")}
    body = "".join(_row(row, side, most) for row in rows)
    head = (
        "<tr><th>output, to scale</th><th>layer</th><th>kernel</th><th>output</th><th>sees</th>"
        "<th style='width:21%'>parameters</th><th style='width:21%'>multiply-adds</th></tr>"
    )
    return f"{STYLE}<table class='lp'><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(row: Mapping[str, Any], side: int, most: Mapping[str, int]) -> str:
    parameters = bar("parameters", row["parameters"], most["parameters"], PARAMETERS)
    products = bar("multiply-adds", row["multiply_adds"], most["multiply_adds"], PRODUCTS)
    idle = "" if row["parameters"] or row["kernel"] else " class='idle'"
    return (
        f"<tr{idle}><td class='map'>{_output(row['out_shape'], side)}</td>"
        f"<td class='name'>{_breakable(row['name'])}<br><span class='k'>{escape(row['kind'])}</span></td>"
        f"<td class='k'>{_kernel(row)}</td>"
        f"<td class='n'>{times(row['out_shape'])}</td>"
        f"<td class='n k'>{times(row['receptive_field'] or ())}</td>"
        f"<td class='wide'>{parameters}</td><td class='wide'>{products}</td></tr>"
    )


def _breakable(name: str) -> str:
    """A dotted name that may go on in the next line after a dot."""
    return escape(name).replace(".", ".<wbr>")


def bar(name: str, value: int, most: int, colour: str) -> str:
    """The number of what is named, and a bar of its share of the largest; nothing for 0."""
    if not value:
        return ""
    share = max(100 * value / most, 0.5)
    return (
        f"<span class='n' data-is='{name}'>{short(value)}</span>"
        f"<div class='bar' style='width:{share:.1f}%;background:{colour}'></div>"
    )


def short(count: int) -> str:
    """138357544 as `138.4 M`; up to 9,999 as it is."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= max(size, 1e4):
            return f"{count / size:.4g} {unit}"
    return f"{count:,}"


def _kernel(row: Mapping[str, Any]) -> str:
    if row["kernel"] is None:
        return ""
    said = times(row["kernel"])
    if set(row["stride"]) != {1}:
        said += f", stride {_once(row['stride'])}"
    if set(row["padding"]) != {0}:
        said += f", padding {_once(row['padding'])}"
    return said


def _once(size: Sequence[int]) -> str:
    return str(size[0]) if len(set(size)) == 1 else times(size)


def times(size: Iterable[int]) -> str:
    """A size as `6 × 28 × 28`."""
    return " × ".join(f"{n:,}" for n in size)


def _output(shape: Sequence[int], side: int) -> str:
    """Maps as squares to scale, one behind another the more there are; features as a bar of their number."""
    if len(shape) != 3:
        height = min(LARGEST_SQUARE, max(3, round(6 * math.log2(math.prod(shape) + 1))))
        shapes = _square(0, 0, 7, height, 1.0)
        return svg(8, height, shapes)
    channels, height, width = shape
    scale = LARGEST_SQUARE / max(side, 1)
    h, w = (max(SMALLEST_SQUARE, n * scale) for n in (height, width))
    sheets = min(SHEETS, 1 + round(math.log(channels, 4)))
    shift = 4
    shapes = "".join(
        _square((sheets - 1 - i) * shift, i * shift, w, h, 0.25 + 0.75 * i / max(sheets - 1, 1))
        for i in range(sheets)
    )
    return svg(w + (sheets - 1) * shift, h + (sheets - 1) * shift, shapes)


def _square(x: float, y: float, width: float, height: float, opacity: float) -> str:
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='1' fill='{COLOURS[5]}' "
        f"fill-opacity='{opacity:.2f}' stroke='{COLOURS[0]}' stroke-width='0.8'/>"
    )


def svg(width: float, height: float, shapes: str) -> str:
    """SVG shapes as an image that says nothing to who cannot see it: the numbers stand beside it."""
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-1 -1 {width + 2:.0f} {height + 2:.0f}' "
        f"width='{width + 2:.0f}' height='{height + 2:.0f}'>{shapes}</svg>"
    )
    coded = base64.b64encode(drawn.encode()).decode()
    return f"<img alt='' src='data:image/svg+xml;base64,{coded}'>"
