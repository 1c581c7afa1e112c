"""Layers as HTML: the layer table with maps to scale and cost bars; three layer types side by side.

Everything from outside is escaped. Colours are those of the figures; text and lines take the page's own, so
that light and dark both hold. On a narrow screen a row wraps: the bars stand below the names. Drawings are
images, since Streamlit removes inline SVG.
"""

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from trainlab.figures.style import COLOURS

if TYPE_CHECKING:
    from trainlab.models.anatomy import LayerRow

PARAMETERS, MULTIPLY_ADDS = COLOURS[0], COLOURS[1]
MAX_SQUARE = 46
"""Pixels of the side of the largest map; the others to the same scale, at least `MIN_SQUARE`."""
MIN_SQUARE = 2
MAX_SHEETS = 5
"""Sheets drawn behind one another for many channels: one for each factor of four."""
LAYER_TABLE_CSS = """
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


def layer_table_html(rows: Sequence["LayerRow"]) -> str:
    """The layer table (rows of `models.anatomy`) as HTML."""
    side = max((row.out_shape[1] for row in rows if len(row.out_shape) == 3), default=1)
    most_parameters = max((row.parameters for row in rows), default=0)
    most_products = max((row.multiply_adds for row in rows), default=0)
    body = "".join(_layer_row(row, side, most_parameters, most_products) for row in rows)
    head = (
        "<tr><th>output, to scale</th><th>layer</th><th>kernel</th><th>output</th><th>sees</th>"
        "<th style='width:21%'>parameters</th><th style='width:21%'>multiply-adds</th></tr>"
    )
    return f"{LAYER_TABLE_CSS}<table class='lp'><thead>{head}</thead><tbody>{body}</tbody></table>"


def _layer_row(row: "LayerRow", side: int, most_parameters: int, most_products: int) -> str:
    parameters = _bar("parameters", row.parameters, most_parameters, PARAMETERS)
    products = _bar("multiply-adds", row.multiply_adds, most_products, MULTIPLY_ADDS)
    idle = "" if row.parameters or row.kernel else " class='idle'"
    name = f"{_breakable_name(row.name)}<br><span class='k'>{escape(row.kind)}</span>"
    return (
        f"<tr{idle}><td class='map'>{_output_drawing(row.out_shape, side)}</td><td class='name'>{name}</td>"
        f"<td class='k'>{_describe_kernel(row)}</td>"
        f"<td class='n'>{_format_shape(row.out_shape)}</td>"
        f"<td class='n k'>{_format_shape(row.receptive_field or ())}</td>"
        f"<td class='wide'>{parameters}</td><td class='wide'>{products}</td></tr>"
    )


def _breakable_name(name: str) -> str:
    """A dotted name that may be broken after a dot."""
    return escape(name).replace(".", ".<wbr>")


def _bar(name: str, value: int, most: int, colour: str) -> str:
    """A count, and a bar of its share of the largest; nothing for 0."""
    if not value:
        return ""
    share = max(100 * value / most, 0.5)
    return (
        f"<span class='n' data-is='{name}'>{format_count(value)}</span>"
        f"<div class='bar' style='width:{share:.1f}%;background:{colour}'></div>"
    )


def format_count(count: int) -> str:
    """138357544 as `138.4 M`; up to 9,999 as it is."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if count >= max(size, 1e4):
            return f"{count / size:.4g} {unit}"
    return f"{count:,}"


def _describe_kernel(row: "LayerRow") -> str:
    if row.kernel is None:
        return ""
    parts = [_format_shape(row.kernel)]
    if row.stride and set(row.stride) != {1}:
        parts.append(f"stride {_format_size(row.stride)}")
    if row.padding and set(row.padding) != {0}:
        parts.append(f"padding {_format_size(row.padding)}")
    return ", ".join(parts)


def _format_size(size: Sequence[int]) -> str:
    return str(size[0]) if len(set(size)) == 1 else _format_shape(size)


def _format_shape(size: Iterable[int]) -> str:
    """A size as `6 × 28 × 28`."""
    return " × ".join(f"{n:,}" for n in size)


def _output_drawing(shape: Sequence[int], side: int) -> str:
    """Maps as squares to scale, stacked by their number; features as a bar of their number."""
    if len(shape) != 3:
        height = min(MAX_SQUARE, max(3, round(6 * math.log2(math.prod(shape) + 1))))
        shapes = _square(0, 0, 7, height, 1.0)
        return _svg_image(8, height, shapes)
    channels, height, width = shape
    scale = MAX_SQUARE / max(side, 1)
    h, w = (max(MIN_SQUARE, n * scale) for n in (height, width))
    sheets = min(MAX_SHEETS, 1 + round(math.log(channels, 4)))
    shift = 4
    shapes = "".join(
        _square((sheets - 1 - i) * shift, i * shift, w, h, 0.25 + 0.75 * i / max(sheets - 1, 1))
        for i in range(sheets)
    )
    return _svg_image(w + (sheets - 1) * shift, h + (sheets - 1) * shift, shapes)


def _square(x: float, y: float, width: float, height: float, opacity: float) -> str:
    return (
        f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='1' fill='{COLOURS[5]}' "
        f"fill-opacity='{opacity:.2f}' stroke='{COLOURS[0]}' stroke-width='0.8'/>"
    )


def _svg_image(width: float, height: float, shapes: str) -> str:
    """SVG shapes as an image without alternative text: the numbers are beside it."""
    image = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-1 -1 {width + 2:.0f} {height + 2:.0f}' "
        f"width='{width + 2:.0f}' height='{height + 2:.0f}'>{shapes}</svg>"
    )
    coded = base64.b64encode(image.encode()).decode()
    return f"<img alt='' src='data:image/svg+xml;base64,{coded}'>"


@dataclass(frozen=True)
class LayerType:
    """One of the three layers that are compared."""

    name: str
    sentence: str
    is_dense: bool = False
    shares_kernel: bool = False


LAYER_TYPES = (
    LayerType("Dense", "every unit sees all pixels, each through a weight of its own", is_dense=True),
    LayerType("Locally connected", "every unit sees a window, through a kernel of its own"),
    LayerType(
        "Convolution", "every unit of a map sees a window, through the same kernel", shares_kernel=True
    ),
)
COMPARISON_CSS = """
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


def layer_comparison_html(rows: Sequence["LayerRow"]) -> str:
    """Dense, locally connected and convolution layer side by side: what is connected, what it costs.

    Bars are logarithmic: the numbers differ by factors of thousands.
    """
    most = max(max(row.parameters, row.multiply_adds) for row in rows)
    cards = "".join(
        _layer_type_card(row, layer_type, most) for row, layer_type in zip(rows, LAYER_TYPES, strict=True)
    )
    return f"{COMPARISON_CSS}<div class='ways'>{cards}</div>"


def _layer_type_card(row: "LayerRow", layer_type: LayerType, most: int) -> str:
    costs = (
        (row.parameters, "parameters", PARAMETERS),
        (row.multiply_adds, "multiply-adds", MULTIPLY_ADDS),
    )
    bars = "".join(
        f"<span class='n'><b>{count:,}</b> {label} <small>(log scale)</small></span>"
        f"<div class='bar' style='width:{_log_share(count, most):.1f}%;background:{colour}'></div>"
        for count, label, colour in costs
    )
    return (
        f"<div><h3>{layer_type.name}</h3><p>{layer_type.sentence}</p>{_connections_drawing(layer_type)}{bars}"
        f"<span class='n' style='opacity:.75'>output {_format_shape(row.out_shape)}</span></div>"
    )


def _log_share(value: int, most: int) -> float:
    """Percent of a bar of the length of `most`, both by their logarithm."""
    return 100 * math.log(value + 1) / math.log(most + 1)


PIXELS, WINDOW = 9, 3


def _connections_drawing(layer_type: LayerType) -> str:
    """Nine pixels below, the units above, and lines between them: one colour for each weight."""
    units = PIXELS if layer_type.is_dense else PIXELS - WINDOW + 1
    pixel_places = [(15 + 26 * i, 92) for i in range(PIXELS)]
    unit_places = [(15 + 26 * (i + (PIXELS - units) / 2), 16) for i in range(units)]
    opacity = 0.22 if layer_type.is_dense else 0.9
    lines = []
    for unit, (x, y) in enumerate(unit_places):
        for tap in range(PIXELS if layer_type.is_dense else WINDOW):
            px, py = pixel_places[tap if layer_type.is_dense else unit + tap]
            lines.append(
                f"<line x1='{x:.0f}' y1='{y}' x2='{px}' y2='{py}' "
                f"stroke='{_weight_colour(layer_type, unit, tap)}' stroke-width='1.6' "
                f"stroke-opacity='{opacity}'/>"
            )
    dots = "".join(f"<circle cx='{x:.0f}' cy='{y}' r='5.5' fill='{COLOURS[0]}'/>" for x, y in unit_places)
    squares = "".join(
        f"<rect x='{x - 6}' y='{y - 6}' width='12' height='12' rx='2' fill='#808080'/>"
        for x, y in pixel_places
    )
    return _svg_image(238, 106, f"{''.join(lines)}{dots}{squares}")


def _weight_colour(layer_type: LayerType, unit: int, tap: int) -> str:
    if layer_type.is_dense:
        return PARAMETERS
    return COLOURS[tap] if layer_type.shares_kernel else COLOURS[unit % 6]
