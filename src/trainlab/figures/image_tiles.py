"""Arrays as images: the input of a network, and feature maps and kernels side by side.

Colours: grey for pixels; viridis for what is never negative; blue through white to orange about zero for the
rest, so that sign is colour and strength is depth. Each pixel of the input becomes a square of several.

Legend: H × W pixels, F maps, C channels.
"""

import math
from collections.abc import Sequence

import numpy as np

from trainlab.figures.style import COLOURS

GAP = 2
"""Pixels between two maps; they are transparent, so that the page's background shows."""
VIRIDIS = (
    "#440154", "#482878", "#3E4A89", "#31688E", "#26828E",
    "#1F9E89", "#35B779", "#6DCD59", "#B4DE2C", "#FDE725",
)  # fmt: skip
FRAME = COLOURS[1]
DIVERGING = (COLOURS[0], "#FFFFFF", COLOURS[1])


def gray_image(pixels_HWC: np.ndarray, side: int) -> np.ndarray:
    """uint8 pixels of one or three channels as RGBA, enlarged in whole steps to about `side`."""
    rgb_HW3 = np.repeat(pixels_HWC, 3, axis=2) if pixels_HWC.shape[2] == 1 else pixels_HWC
    return enlarge(_add_alpha(rgb_HW3), side)


def heatmap_image(values_HW: np.ndarray, side: int, largest: float | None = None) -> np.ndarray:
    """One map as RGBA: about zero where it has negative values, viridis where it has none."""
    return enlarge(apply_colormap(values_HW, largest), side)


def apply_colormap(values: np.ndarray, largest: float | None = None) -> np.ndarray:
    """Values of any shape as RGBA; `largest` is the absolute value of full colour (of the values if None).

    Values that are not finite are black.
    """
    finite = np.isfinite(values)
    known = np.where(finite, values, 0.0).astype(np.float64)
    top = largest or _largest(known)
    has_negative = bool((known < 0).any())
    share = np.clip((known / top + 1) / 2 if has_negative else known / top, 0, 1)
    rgb = _ramp(share, DIVERGING if has_negative else VIRIDIS)
    rgb[~finite] = 0
    return _add_alpha(rgb)


def montage(maps_FHW: np.ndarray, columns: int, side: int) -> np.ndarray:
    """Maps side by side in rows of `columns`, each enlarged to about `side`, as one RGBA image.

    All share one colour scale, so that maps with small values look faint.
    """
    coloured_FHW4 = apply_colormap(maps_FHW)
    return _tile_rows([enlarge(map_HW4, side) for map_HW4 in coloured_FHW4], columns)


def kernel_montage(kernels_FCkk: np.ndarray, columns: int, side: int) -> np.ndarray:
    """Kernels side by side on one scale: of three channels in colour, of others the mean over channels."""
    if kernels_FCkk.shape[1] == 3:
        largest = _largest(kernels_FCkk)
        pixels = np.clip(127.5 * (kernels_FCkk / largest + 1), 0, 255).astype(np.uint8)
        return _tile_rows([gray_image(kernel.transpose(1, 2, 0), side) for kernel in pixels], columns)
    means_Fkk = kernels_FCkk.mean(axis=1)
    largest = _largest(means_Fkk)
    return _tile_rows([enlarge(_about_zero(kernel, largest), side) for kernel in means_Fkk], columns)


def enlarge(pixels_HWC: np.ndarray, side: int) -> np.ndarray:
    """Each pixel as a square, so that the longer side is about `side`, and never smaller than it was."""
    step = max(1, round(side / max(pixels_HWC.shape[:2])))
    return pixels_HWC.repeat(step, axis=0).repeat(step, axis=1)


def gray_image_with_box(pixels_HWC: np.ndarray, box: tuple | None, side: int) -> np.ndarray:
    """As `grey`, with a frame around ((first row, column), (those after the last)) of the image."""
    picture = gray_image(pixels_HWC, side)
    if box is None:
        return picture
    step = picture.shape[0] // pixels_HWC.shape[0]
    (top, left), (bottom, right) = ((step * row, step * column) for row, column in box)
    line = max(2, side // 80)
    colour = [int(FRAME[i : i + 2], 16) for i in (1, 3, 5)] + [255]
    for rows, columns in (
        (slice(top, top + line), slice(left, right)),
        (slice(bottom - line, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + line)),
        (slice(top, bottom), slice(right - line, right)),
    ):
        picture[rows, columns] = colour
    return picture


def _largest(values: np.ndarray) -> float:
    """The largest absolute value that is finite; 1 where all are 0."""
    return float(np.abs(np.where(np.isfinite(values), values, 0.0)).max(initial=0.0)) or 1.0


def _about_zero(values: np.ndarray, largest: float) -> np.ndarray:
    return _add_alpha(_ramp(np.clip((values / largest + 1) / 2, 0, 1), DIVERGING))


def _tile_rows(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    height, width = tiles[0].shape[:2]
    rows = math.ceil(len(tiles) / columns)
    sheet = np.zeros((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 4), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + GAP), (i % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def _ramp(share: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Shares 0..1 as uint8 RGB between equally spaced colours."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=np.float64)
    at = np.linspace(0, 1, len(stops))
    channels = [np.interp(share, at, stops[:, i]) for i in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def _add_alpha(rgb: np.ndarray) -> np.ndarray:
    return np.concatenate([rgb, np.full((*rgb.shape[:-1], 1), 255, np.uint8)], axis=-1)
