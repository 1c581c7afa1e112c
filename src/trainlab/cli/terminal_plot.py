"""Curves drawn with characters in a terminal."""

import math
from collections.abc import Mapping

MARKERS = "●○◆◇■□▲△"
"""One a curve, in their order."""


def render_curves(
    curves: Mapping[str, Mapping[int, float]],
    top: float,
    width: int = 60,
    height: int = 12,
    edges: tuple[str, str] | None = None,
) -> list[str]:
    """Lines of text: value (0 … `top`; above it at the upper edge) against step, a mark a curve.

    `edges`: what stands below the first and the last column, the steps when None.

    A column shows the mean of the steps it stands for; one without a finite value is left empty. Curves are
    drawn in their order: where two meet, the first one's mark stays.
    """
    last = max((max(curve) for curve in curves.values() if curve), default=0)
    rows = [[" "] * width for _ in range(height)]
    for mark, curve in reversed(list(zip(MARKERS, curves.values(), strict=False))):
        for column, value in enumerate(_column_means(curve, last, width)):
            if math.isfinite(value):
                row = round((1 - min(max(value / top, 0.0), 1.0)) * (height - 1))
                rows[row][column] = mark
    lines = [f"{top * (1 - i / (height - 1)):6.2f} ┤{''.join(row)}".rstrip() for i, row in enumerate(rows)]
    left, right = edges or ("step 0", str(last))
    return [*lines, f"{'':6} └{'─' * width}", f"{'':8}{left}{right.rjust(width - len(left))}"]


def _column_means(curve: Mapping[int, float], last: int, width: int) -> list[float]:
    """The mean of the finite values of each column's steps; NaN where there are none."""
    sums, counts = [0.0] * width, [0] * width
    for step, value in curve.items():
        if math.isfinite(value):
            column = min(step * width // (last + 1), width - 1)
            sums[column] += value
            counts[column] += 1
    return [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]
