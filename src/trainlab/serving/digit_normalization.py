"""A user's digit made like those of a data set: the same box, the same place in it, the same strokes.

A network has seen digits that were made in one way only. LeCun et al. 1998 for MNIST: size normalized into
20 × 20 pixels with the proportions kept and grey levels from antialiasing, then the centre of mass put at the
centre of 28 × 28. Alpaydin and Kaynak 1998 for scikit-learn's digits: bitmaps of 32 × 32 normalized by NIST's
programs (Garris et al. 1994, NISTIR 5469), ink counted in blocks of 4 × 4. The data show what these programs
did: all digits are 32 high and some 20 wide whatever their proportions ("1" is narrower), upright, and as
much ink is in a "1" as in an "8": strokes were widened or thinned to it.

Legend: H × W pixels; ink is 0 (none) to 1, and there is some.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

MIN_VISIBLE_INK = 0.25
"""Ink below this is grain of the paper: it does not count for where the digit is."""
INK_THRESHOLD = 0.5
"""What is ink where a bitmap has only ink and paper."""
MIN_STROKE_WIDTH = 0.1
"""Share of a digit's size that a stroke of MNIST is wide at least: two of twenty pixels."""
MAX_DOT_SIZE = 0.1
"""Share of the picture's shorter side that a mere dot is wide at most."""
MIN_CONTRAST = 8
"""Grey levels between paper and the darkest stroke, below which there is no stroke."""


def ink_of_drawing(grey_HW: np.ndarray) -> np.ndarray:
    """Ink of light strokes on dark (uint8): the border's level is none, the lightest pixel is 1.

    An image of one colour throughout has no ink.
    """
    paper = border_level(grey_HW)
    above = np.clip(grey_HW.astype(np.float64) - paper, 0, None)
    if above.max() < MIN_CONTRAST:
        return np.zeros(grey_HW.shape)
    return above / above.max()


def border_level(grey_HW: np.ndarray) -> float:
    """The median brightness of a frame one sixteenth of the image wide."""
    return float(np.median(border_pixels(grey_HW)))


def border_pixels(grey_HW: np.ndarray) -> np.ndarray:
    """The pixels of a frame one sixteenth of the image wide."""
    height, width = grey_HW.shape
    rim = max(1, min(height, width) // 16)
    inside = np.zeros(grey_HW.shape, dtype=bool)
    inside[rim : height - rim, rim : width - rim] = True
    return grey_HW[~inside]


def is_dot(ink_HW: np.ndarray) -> bool:
    """Whether all of the ink (there is some) is one small round spot: a click, not a digit."""
    left, top, right, bottom = bounding_box(ink_HW)
    height, width = bottom - top, right - left
    is_small = max(height, width) <= MAX_DOT_SIZE * min(ink_HW.shape)
    is_round = max(height, width) <= 1.3 * min(height, width)
    return is_small and is_round and float((ink_HW[top:bottom, left:right] >= INK_THRESHOLD).mean()) > 0.65


def to_mnist_style(ink_HW: np.ndarray) -> np.ndarray:
    """uint8 of 28 × 28: in a box of 20 × 20, its centre of mass at the centre."""
    digit = _crop_to_box(_widen_thin_strokes(ink_HW))
    scale = 20 / max(digit.shape)
    height, width = (max(1, round(side * scale)) for side in digit.shape)
    small = _resize(digit, height, width)
    small /= small.max()
    place = []
    for axis, size in enumerate((height, width)):
        mass = small.sum(axis=1 - axis)
        centre = float((mass * np.arange(size)).sum() / mass.sum())
        place.append(min(max(round(14 - centre), 0), 28 - size))
    field = np.zeros((28, 28))
    field[place[0] : place[0] + height, place[1] : place[1] + width] = small
    return np.rint(255 * field).astype(np.uint8)


def to_digits_style(ink_HW: np.ndarray) -> np.ndarray:
    """float32 of 8 × 8, 0..16: how many pixels of each 4 × 4 block of the normalized bitmap are ink."""
    bitmap = _digits_bitmap(ink_HW)
    return bitmap.reshape(8, 4, 8, 4).sum(axis=(1, 3)).astype(np.float32)


def _widen_thin_strokes(ink_HW: np.ndarray) -> np.ndarray:
    """Strokes of a thin pen made as wide as MNIST's thinner ones: shrunk to 20 × 20 they would fade away."""
    is_ink_HW = ink_HW >= INK_THRESHOLD
    if not is_ink_HW.any():
        return ink_HW
    left, top, right, bottom = bounding_box(ink_HW)
    size = max(right - left, bottom - top)
    inside = np.asarray(ndimage.distance_transform_edt(is_ink_HW))
    ridge = inside[inside >= ndimage.maximum_filter(inside, 3)]
    width = 2 * float(np.mean(ridge[ridge > 0])) - 1
    lacking = (MIN_STROKE_WIDTH * size - width) / 2
    if lacking <= 0.5:
        return ink_HW
    margin = int(lacking) + 2
    padded = np.pad(ink_HW, margin)
    away = np.asarray(ndimage.distance_transform_edt(padded < INK_THRESHOLD))
    return np.maximum(padded, np.clip(lacking + 0.5 - away, 0, 1))


DIGITS_HEIGHT, DIGITS_WIDTH = 32, 20
DIGITS_INK = 0.305
"""Share of the 32 × 32 bitmap that is ink: the mean of the data set, and about that of each class."""
MAX_STRETCH = 1.6
"""A digit is widened no more than this: "1" keeps being narrow."""


def _digits_bitmap(ink_HW: np.ndarray) -> np.ndarray:
    """Boolean of 32 × 32: 32 high, about 20 wide, strokes as wide as gives the ink of the data set."""
    digit = _crop_to_box(_deslant(ink_HW))
    width = min(DIGITS_WIDTH, max(1, round(MAX_STRETCH * digit.shape[1] * DIGITS_HEIGHT / digit.shape[0])))
    field = np.zeros((DIGITS_HEIGHT, DIGITS_HEIGHT))
    left = (DIGITS_HEIGHT - width) // 2
    field[:, left : left + width] = _resize(digit, DIGITS_HEIGHT, width)
    ink = field >= INK_THRESHOLD * field.max()
    # distance to the stroke's edge, negative inside: its quantile is the edge that gives the ink wanted
    inside, outside = (np.asarray(ndimage.distance_transform_edt(part)) for part in (ink, ~ink))
    distance = outside - inside - field / field.max()  # ties are decided by the grey of the antialiased edge
    return distance <= np.quantile(distance, DIGITS_INK)


def _deslant(ink_HW: np.ndarray) -> np.ndarray:
    """The slant taken out as NIST does: sheared until the left ends of the top and the bottom line up."""
    is_ink_HW = ink_HW >= INK_THRESHOLD
    rows = np.flatnonzero(is_ink_HW.any(axis=1))
    top, bottom = rows[0], rows[-1]
    thick = (bottom - top) // 10 + 1
    first = [
        _leftmost(is_ink_HW[rows])
        for rows in (slice(top, top + thick), slice(bottom + 1 - thick, bottom + 1))
    ]
    slant = (first[1] - first[0]) / max(bottom - top, 1)
    middle, margin = ink_HW.shape[0] / 2, int(abs(slant) * ink_HW.shape[0] / 2) + 1
    padded = np.pad(ink_HW, ((0, 0), (margin, margin)))
    return ndimage.affine_transform(padded, [[1, 0], [slant, 1]], offset=(0, -slant * middle), order=1)


def _leftmost(is_ink_HW: np.ndarray) -> int:
    return int(np.flatnonzero(is_ink_HW.any(axis=0))[0])


def bounding_box(ink_HW: np.ndarray) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the rectangle that holds all ink that is not faint."""
    is_ink_HW = ink_HW >= MIN_VISIBLE_INK
    rows, columns = np.flatnonzero(is_ink_HW.any(axis=1)), np.flatnonzero(is_ink_HW.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _crop_to_box(ink_HW: np.ndarray) -> np.ndarray:
    left, top, right, bottom = bounding_box(ink_HW)
    return ink_HW[top:bottom, left:right]


def _resize(ink_HW: np.ndarray, height: int, width: int) -> np.ndarray:
    image = Image.fromarray(ink_HW.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64)
