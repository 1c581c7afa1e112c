"""Edges first, parts later: the pieces of images to which maps of each layer respond most.

Legend: F maps, h × w a map, H × W pixels, C channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainlab.figures.image_tiles import gray_image
from trainlab.figures.svg_canvas import QUIET, SvgCanvas

PATCHES, MAPS, SIDE = 6, 3, 46


@dataclass(frozen=True)
class TopPatch:
    """A piece of an image, cut at the image's edge, and how strongly the map responds there."""

    pixels_HWC: np.ndarray
    response: float


@dataclass(frozen=True)
class LayerPatches:
    """Of one layer, the strongest pieces of each shown map; `field`: how many pixels a unit sees, (H, W)."""

    name: str
    field: tuple[int, int]
    maps: Sequence[Sequence[TopPatch]]


def top_patches_figure(layers: Sequence[LayerPatches], subtitle: str) -> str:
    """SVG: a row a layer, from the first to the last; in it the pieces of some of its maps, a line each."""
    row_height = MAPS * (SIDE + 6) + 40
    canvas = SvgCanvas(12 + 190 + PATCHES * (SIDE + 6) + 12, 64 + row_height * len(layers))
    canvas.title("From edges to parts: what each layer responds to", subtitle)
    for number, layer in enumerate(layers):
        top = 72 + number * row_height
        height, width = layer.field
        canvas.text(12, top + 16, layer.name, size=13, weight="bold")
        canvas.text(12, top + 36, f"a unit sees {height} × {width} pixels", colour=QUIET)
        for line, patches in enumerate(layer.maps):
            for place, patch in enumerate(patches):
                x, y = 202 + place * (SIDE + 6), top + line * (SIDE + 6)
                description = f"response {patch.response:.2f}"
                canvas.pixels(x, y, SIDE, gray_image(patch.pixels_HWC, 2 * SIDE), description)
    return canvas.render()
