"""The pen strokes in a photograph of paper: in any light, on ruled paper too, and none on a blank sheet.

A sheet reflects a share of the light that falls on it, and light changes slowly from place to place, or at
the edge of a shadow. So ink is what reflects less than the paper right beside it: the paper is estimated
everywhere by closing (largest, then smallest value of a square wider than any stroke; Serra 1982), which
fills strokes and keeps gradients and edges of shadows. Ruled lines are what runs from one edge of the picture
to the other along a straight line, found by a Hough transform
(Duda and Hart 1972, doi:10.1145/361237.361242).

Legend: H × W pixels; ink is the share of light that is missing, 0 to 1.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from trainlab.serving.digit_normalization import border_pixels

MAX_STROKE_WIDTH = 0.16
"""Share of the shorter side: wider dark areas are shade, not strokes."""
MIN_INK = 0.08
"""A stroke takes away this share of the light at least; a pencil takes a fifth, a pen half and more."""
MIN_SIGNAL_TO_GRAIN = 6.0
"""A stroke is this many standard deviations of the paper's own grain darker than the paper."""
EVEN_BORDER_RANGE = 8
"""Grey levels within which nine tenths of the border lie where the light is even."""
MAX_RULE_DEGREES = 8.0
"""Degrees by which ruled lines may lie aslant."""
MIN_RULE_COVERAGE = 0.6
"""Share of a line's way across the picture on which there is ink, at least."""
MAX_RULES = 60
MIN_DIGIT_SIZE = 0.04
"""Share of the shorter side that a digit's longer side has at least; what is smaller is a speck."""
BORDER_PART_AREA, BORDER_PART_INK = 0.02, 0.3
"""What touches the picture's border is a digit only where it is large and dark: else shade, or a line."""
MAX_PART_GAP = 0.35
"""Parts of one digit lie within this share of its size of each other."""
MIN_RELATIVE_DARKNESS = 0.6
"""A part of the digit takes this share of the light that its main part takes: lines left over take less."""


@dataclass(frozen=True)
class RuledLine:
    """A straight line y = at + slope · x, in pixels."""

    slope: float
    at: float

    def rows(self, shape: tuple[int, ...], step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The row of each column, `step` below the line and kept inside; and whether it was inside."""
        y_W = np.rint(self.at + self.slope * np.arange(shape[1])).astype(int) + step
        return y_W.clip(0, shape[0] - 1), (y_W >= 0) & (y_W < shape[0])


def extract_ink(grey_HW: np.ndarray) -> np.ndarray:
    """Ink of dark strokes on light paper (uint8), 1 at the digit's own darkest; zeros where there is none."""
    absorbed_HW, stroke, grain = _absorbed_light(grey_HW)
    if stroke is None:
        return np.zeros(grey_HW.shape)
    is_ink_HW = absorbed_HW >= max(stroke / 3, 3 * grain)
    for turned in (False, True):
        is_ink_HW = _remove_rules(is_ink_HW.T).T if turned else _remove_rules(is_ink_HW)
    digit = _digit_mask(is_ink_HW, absorbed_HW, stroke)
    if digit is None:
        return np.zeros(grey_HW.shape)
    soft = ndimage.binary_dilation(digit, iterations=1)  # with the grey of its antialiased edge
    level = float(np.quantile(absorbed_HW[digit], 0.75))
    return np.clip(absorbed_HW / level, 0, 1) * soft


def is_dark_on_light(grey_HW: np.ndarray) -> bool:
    """Whether strokes are darker than what they are on: which side of the ground there is more of.

    The ground is the border's level where that is the same all around, else (uneven light) a wide median.
    """
    level, is_even = _border_background(grey_HW)
    if is_even:
        beyond_HW = grey_HW - level
    else:
        small = Image.fromarray(grey_HW)
        small.thumbnail((96, 96), Image.Resampling.BOX)
        beyond_HW = np.asarray(small, np.float32) - ndimage.median_filter(np.asarray(small, np.float32), 21)
    return bool((beyond_HW * np.abs(beyond_HW)).sum() < 0)


def _border_background(grey_HW: np.ndarray) -> tuple[float, bool]:
    """The level of the border, and whether it is the same all around: then the light is even."""
    rim_N = border_pixels(grey_HW).astype(np.float32)
    level = float(np.median(rim_N))
    return level, float(np.quantile(np.abs(rim_N - level), 0.9)) <= EVEN_BORDER_RANGE


def _absorbed_light(grey_HW: np.ndarray) -> tuple[np.ndarray, float | None, float]:
    """The share of the paper's light that is missing at each pixel, of strokes, and the paper's own grain."""
    smooth_HW = ndimage.gaussian_filter(grey_HW.astype(np.float32), 0.8) + 1
    sharp_HW = np.asarray(ndimage.gaussian_gradient_magnitude(np.log(smooth_HW), 1.0))
    absorbed_HW = 1 - smooth_HW / _paper_level(grey_HW, smooth_HW, sharp_HW)
    # most of a sheet is paper: closing lies above its grain by about what the median tells
    absorbed_HW, grain = np.clip(absorbed_HW - float(np.median(absorbed_HW)), 0, 1), _paper_grain(absorbed_HW)
    return absorbed_HW, _stroke_level(absorbed_HW, grain, sharp_HW), grain


def _paper_level(grey_HW: np.ndarray, smooth_HW: np.ndarray, sharp_HW: np.ndarray) -> np.ndarray | float:
    """The level of the paper at each pixel, behind strokes too; one number where the light is even."""
    level, is_even = _border_background(grey_HW)
    if is_even:
        return level + 1
    window = int(MAX_STROKE_WIDTH * min(grey_HW.shape)) | 1
    # the sheet goes on beyond the picture: a shaded margin is no stroke
    padded = np.pad(smooth_HW, window, mode="edge")
    paper_HW = ndimage.grey_closing(padded, (window, window))[window:-window, window:-window]
    first_HW = np.clip(1 - smooth_HW / paper_HW, 0, 1)
    stroke = _stroke_level(first_HW, _paper_grain(first_HW), sharp_HW)
    if stroke is None:
        return paper_HW
    return np.minimum(paper_HW, _inpainted_paper(smooth_HW, first_HW < stroke / 2))


def _paper_grain(absorbed_HW: np.ndarray) -> float:
    return 1.4826 * float(np.median(np.abs(absorbed_HW - np.median(absorbed_HW))))


def _inpainted_paper(grey_HW: np.ndarray, is_paper_HW: np.ndarray) -> np.ndarray:
    """The level of the paper, under strokes what is around them lets expect (a normalized convolution)."""
    is_sure_paper_HW = ndimage.binary_erosion(is_paper_HW, iterations=2, border_value=1)
    reach = max(2.0, min(grey_HW.shape) / 60)
    weight_HW, sum_HW = np.zeros_like(grey_HW), np.zeros_like(grey_HW)
    for times, share in ((1, 1.0), (4, 1e-4)):  # far away counts only where nothing is near
        weight_HW += share * ndimage.gaussian_filter(is_sure_paper_HW.astype(np.float32), times * reach)
        sum_HW += share * ndimage.gaussian_filter(is_sure_paper_HW * grey_HW, times * reach)
    return np.where(weight_HW > 1e-9, sum_HW / np.maximum(weight_HW, 1e-9), np.inf)


def _stroke_level(absorbed_HW: np.ndarray, grain: float, sharp_HW: np.ndarray) -> float | None:
    """How much light the strokes take; None where nothing is darker than the paper's grain.

    What is dark counts by how sharp its edge is (H × W): a stroke has one, shade has none.
    """
    least = max(MIN_INK, MIN_SIGNAL_TO_GRAIN * grain)
    beside_HW = ndimage.maximum_filter(absorbed_HW, 5)
    dark_HW = beside_HW >= least
    if np.count_nonzero(absorbed_HW >= least) < 12:
        return None
    order = np.argsort(beside_HW[dark_HW])
    weight_N = np.cumsum(sharp_HW[dark_HW][order] ** 2)
    return float(beside_HW[dark_HW][order][np.searchsorted(weight_N, 0.7 * weight_N[-1])])


# Ruled paper


def _remove_rules(is_ink_HW: np.ndarray) -> np.ndarray:
    """Without the lines that run from the left edge to the right one, strokes across them kept whole."""
    lines = _find_rules(is_ink_HW)
    if not lines:
        return is_ink_HW
    thick_HW = _vertical_run_lengths(is_ink_HW)
    x_W, is_rule_HW = np.arange(is_ink_HW.shape[1]), np.zeros_like(is_ink_HW)
    reach = max(2, len(is_ink_HW) // 120)
    for line in lines:
        for step in range(-reach, reach + 1):
            y_W, inside_W = line.rows(is_ink_HW.shape, step)
            on_W = inside_W & is_ink_HW[y_W, x_W]
            usual = float(np.median(thick_HW[y_W, x_W][on_W])) if on_W.any() else 0.0
            thin_W = on_W & (thick_HW[y_W, x_W] <= max(1.6 * usual, usual + 1.5))
            is_rule_HW[y_W[thin_W], x_W[thin_W]] = True
    return is_ink_HW & ~is_rule_HW


def _vertical_run_lengths(is_ink_HW: np.ndarray) -> np.ndarray:
    """Of each pixel of ink, how many follow each other up and down through it."""
    up, down = np.zeros(is_ink_HW.shape, np.int32), np.zeros(is_ink_HW.shape, np.int32)
    for row in range(len(is_ink_HW)):
        up[row] = np.where(is_ink_HW[row], up[row - 1] + 1 if row else 1, 0)
    for row in reversed(range(len(is_ink_HW))):
        down[row] = np.where(is_ink_HW[row], down[row + 1] + 1 if row + 1 < len(is_ink_HW) else 1, 0)
    return up + down - 1


def _find_rules(is_ink_HW: np.ndarray) -> list[RuledLine]:
    """The ruled lines, the most marked one first; the others are all but parallel to it."""
    remaining_HW, lines = is_ink_HW.copy(), []
    degrees = np.linspace(-MAX_RULE_DEGREES, MAX_RULE_DEGREES, 65)
    while len(lines) < MAX_RULES and (line := _strongest_line(remaining_HW, degrees)) is not None:
        lines.append(line)
        degrees = np.rad2deg(np.arctan(lines[0].slope)) + np.linspace(-1, 1, 9)
        for step in range(-3, 4):
            y_W, inside_W = line.rows(is_ink_HW.shape, step)
            remaining_HW[y_W[inside_W], np.flatnonzero(inside_W)] = False
    return lines


def _strongest_line(is_ink_HW: np.ndarray, degrees: np.ndarray) -> RuledLine | None:
    """The straight line with the most ink on it, if it is a ruled one."""
    y_P, x_P = np.nonzero(is_ink_HW)
    if len(y_P) < MIN_RULE_COVERAGE * is_ink_HW.shape[1]:
        return None
    most, line = 0, RuledLine(0.0, 0.0)
    for slope in np.tan(np.deg2rad(degrees)):
        at_P = np.rint(y_P - slope * x_P).astype(int)
        votes = np.bincount(at_P - at_P.min())
        if votes.max() > most:
            most, line = int(votes.max()), RuledLine(float(slope), float(votes.argmax() + at_P.min()))
    return line if _crosses_picture(is_ink_HW, line) else None


def _crosses_picture(is_ink_HW: np.ndarray, line: RuledLine) -> bool:
    """Whether a line crosses the picture, with ink on most of it and near both of its ends."""
    x_W = np.arange(is_ink_HW.shape[1])
    on_W, inside_W = np.zeros(len(x_W), bool), line.rows(is_ink_HW.shape)[1]
    for step in (-1, 0, 1):
        y_W, within_W = line.rows(is_ink_HW.shape, step)
        on_W |= within_W & is_ink_HW[y_W, x_W]
    covered = on_W[inside_W]
    if len(covered) < 0.5 * len(x_W):
        return False
    rim = max(4, len(covered) // 12)
    return bool(
        covered.mean() >= MIN_RULE_COVERAGE and min(covered[:rim].mean(), covered[-rim:].mean()) >= 0.4
    )


# Which of what is dark is the digit


def _digit_mask(is_ink_HW: np.ndarray, absorbed_HW: np.ndarray, stroke: float) -> np.ndarray | None:
    """The strokes that are the digit: the most ink in one place, with the parts beside it."""
    joined = ndimage.binary_dilation(is_ink_HW, iterations=max(1, min(is_ink_HW.shape) // 150))
    labels_HW, count = ndimage.label(joined, np.ones((3, 3)))
    if not count:
        return None
    labels_HW, parts = np.where(is_ink_HW, labels_HW, 0), np.arange(1, count + 1)
    ink_P = ndimage.sum_labels(np.minimum(absorbed_HW, stroke), labels_HW, parts)
    darkness_P = np.asarray(ndimage.median(absorbed_HW, labels_HW, parts))
    boxes_P4 = np.array([(r.start, c.start, r.stop, c.stop) for r, c in ndimage.find_objects(labels_HW)])
    size_P = (boxes_P4[:, 2:] - boxes_P4[:, :2]).max(axis=1)
    at_edge_P = (boxes_P4[:, :2] == 0).any(axis=1) | (boxes_P4[:, 2:] == is_ink_HW.shape).any(axis=1)
    area_P = ndimage.sum_labels(is_ink_HW, labels_HW, parts)
    is_tight_P = (area_P >= BORDER_PART_AREA * is_ink_HW.size) & (darkness_P >= BORDER_PART_INK)
    score_P = ink_P * np.sqrt(size_P) * np.where(at_edge_P, 0.1 * is_tight_P, 1.0)
    score_P[
        (size_P < MIN_DIGIT_SIZE * min(is_ink_HW.shape)) | (darkness_P < MIN_RELATIVE_DARKNESS * stroke)
    ] = 0
    main = int(np.argmax(score_P))
    if score_P[main] == 0:
        return None
    like_P = (
        (ink_P >= 0.06 * ink_P[main]) & (darkness_P >= MIN_RELATIVE_DARKNESS * darkness_P[main]) & ~at_edge_P
    )
    return np.isin(labels_HW, parts[_grow_to_neighbours(main, boxes_P4, like_P)])


def _grow_to_neighbours(main: int, boxes_P4: np.ndarray, like_P: np.ndarray) -> np.ndarray:
    """Which parts are one thing with `main`: those like it that lie near, and near those."""
    kept_P = np.arange(len(like_P)) == main
    while True:
        low, high = boxes_P4[kept_P, :2].min(axis=0), boxes_P4[kept_P, 2:].max(axis=0)
        apart_P = np.maximum(boxes_P4[:, :2] - high, low - boxes_P4[:, 2:]).max(axis=1)
        grown_P = kept_P | (like_P & (apart_P <= MAX_PART_GAP * (high - low).max()))
        if (grown_P == kept_P).all():
            return kept_P
        kept_P = grown_P
