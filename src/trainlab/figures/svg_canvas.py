"""A small SVG made of images of pixels, boxes and words: for figures that show arrays and not charts.

Its colours are those that `trainlab.app.theme` knows how to turn for a dark page; what stands on the pixels
of an image or of a coloured box (`ON_LIGHT_CELL`, `ON_DARK_CELL`) stays as it is.
"""

import base64
import html
import io
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from trainlab.figures.image_tiles import apply_colormap, enlarge
from trainlab.figures.style import COLOURS, FONT

INK, QUIET = "#333", "#555"
ON_LIGHT_CELL, ON_DARK_CELL = "#111111", "#FEFEFE"
DARK_BELOW = 140
"""Luminance (0..255) of a cell below which its number is white."""


def decimal(value: float, digits: int) -> str:
    """A number with so many digits after the point and a real minus sign; zero has none."""
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


@dataclass
class SvgCanvas:
    """Shapes in the order in which they were added; lengths are points, y points down."""

    width: int
    height: int
    _parts: list[str] = field(default_factory=list)

    def text(
        self, x: float, y: float, words: str, size: int = 12, colour: str = INK, anchor: str = "start",
        weight: str = "normal",
    ) -> None:  # fmt: skip
        """One line; (x, y) is its start, middle or end (`anchor`) on the base line."""
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{html.escape(words)}</text>'
        )

    def title(self, words: str, subtitle: str = "") -> None:
        """The title at the top left, and a line below it."""
        self.text(12, 24, words, size=15, weight="bold")
        self.text(12, 42, subtitle, colour=QUIET)

    def pixels(self, x: float, y: float, side: float, pixels_HWC: np.ndarray, description: str) -> None:
        """uint8 pixels (grey, RGB or RGBA) of which the longer side takes `side` points."""
        shown = pixels_HWC[..., 0] if pixels_HWC.shape[2] == 1 else pixels_HWC
        scale = side / max(shown.shape[:2])
        buffer = io.BytesIO()
        Image.fromarray(enlarge(shown, round(2 * side))).save(buffer, "PNG", optimize=True)
        data = base64.b64encode(buffer.getvalue()).decode()
        self._parts.append(
            f'<image x="{x:g}" y="{y:g}" width="{scale * shown.shape[1]:g}" '
            f'height="{scale * shown.shape[0]:g}" href="data:image/png;base64,{data}">'
            f"<title>{html.escape(description)}</title></image>"
        )

    def cells(
        self, x: float, y: float, cell: float, values_HW: np.ndarray, digits: int = 1,
        largest: float | None = None,
    ) -> None:  # fmt: skip
        """Numbers in coloured cells; `largest` is the absolute value of full colour."""
        colours_HW4 = apply_colormap(values_HW, largest)
        for (row, column), value in np.ndenumerate(values_HW):
            red, green, blue = (int(part) for part in colours_HW4[row, column, :3])
            left, top = x + column * cell, y + row * cell
            is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < DARK_BELOW
            self._parts.append(
                f'<rect x="{left:g}" y="{top:g}" width="{cell:g}" height="{cell:g}" '
                f'fill="#{red:02x}{green:02x}{blue:02x}" stroke="#808080" stroke-width="0.5"/>'
            )
            self.text(
                left + cell / 2, top + cell / 2 + 4, decimal(float(value), digits), 11,
                ON_DARK_CELL if is_dark else ON_LIGHT_CELL, "middle",
            )  # fmt: skip

    def box(
        self, x: float, y: float, width: float, height: float, colour: str = COLOURS[1],
        fill: str = "none", line: float = 2, opacity: float = 1,
    ) -> None:  # fmt: skip
        """A frame, filled or not."""
        self._parts.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" '
            f'fill-opacity="{opacity:g}" stroke="{colour}" stroke-width="{line:g}"/>'
        )

    def arrow(self, x: float, y: float, to_x: float) -> None:
        """A horizontal arrow to the right."""
        self._parts.append(
            f'<path d="M{x:g} {y:g}H{to_x - 5:g}" stroke="#808080" stroke-width="1.5" fill="none"/>'
            f'<path d="M{to_x:g} {y:g}l-7 -4v8z" fill="#808080"/>'
        )

    def render(self) -> str:
        """The SVG."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="{FONT}">\n'
            f'<rect width="{self.width}" height="{self.height}" fill="white"/>\n'
            + "\n".join(self._parts)
            + "\n</svg>\n"
        )
