"""Curves drawn with characters in a terminal."""

import math
from collections.abc import Mapping

from rich.text import Text

from trainlab.terminal import PlainConsole

MARKERS = "●○◆◇■□▲△"
"""One for each curve, in their order."""
COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white", "bright_black")
MAX_WIDTH = 90
"""Columns of a plot: on a wider screen it shows no more."""

Curve = Mapping[int, float]
"""A value by step or epoch."""


def print_curves(
    console: PlainConsole, curves: Mapping[str, Curve], metric: str, title: str, x: str, offset: int = 0
) -> None:
    """Prints a metric against `x` (step or epoch, counted from `offset`), with a legend of last values."""
    width = max(20, min(console.width if not console.is_piped else MAX_WIDTH, MAX_WIDTH) - 10)
    positions = [position for curve in curves.values() for position in curve]
    first, last = min(positions), max(positions)
    edges = (f"{x} {first + offset}", str(last + offset))
    dense = {label: interpolate_columns(curve, first, last, width) for label, curve in curves.items()}
    console.print(Text(title, style="bold"))
    for line in render_curves(dense, top=upper_limit(metric, curves), width=width, edges=edges):
        console.print(_colour_markers(line), soft_wrap=True)
    for mark, colour, (label, curve) in zip(MARKERS, COLOURS, curves.items(), strict=False):
        value = list(curve.values())[-1]
        at_end = f"{value:.1%}" if metric.endswith("acc") else f"{value:.3g}"
        console.print(Text.assemble((mark, colour), f" {label}  {at_end}"), soft_wrap=True)
    console.print()


def interpolate_columns(curve: Curve, first: int, last: int, width: int) -> Curve:
    """A value for each column, interpolated linearly; a curve of more points than columns stays as it is."""
    points = sorted(curve)
    if len(points) > width or last == first:
        return {x - first: curve[x] for x in points}
    dense: dict[int, float] = {}
    for column in range(width):
        x = first + column * (last - first) / (width - 1)
        if points[0] <= x <= points[-1]:
            after = next(i for i, point in enumerate(points) if point >= x)
            left, right = points[max(0, after - 1)], points[after]
            share = 0.0 if right == left else (x - left) / (right - left)
            dense[column] = (1 - share) * curve[left] + share * curve[right]
    return dense


def upper_limit(metric: str, curves: Mapping[str, Curve]) -> float:
    """The upper edge of the plot: 1 for an accuracy; for a loss low enough that one that explodes does not
    flatten the others."""
    if metric.endswith("acc"):
        return 1.0
    finite = [[value for value in curve.values() if math.isfinite(value)] for curve in curves.values()]
    if "loss" in metric:
        initial = [values[0] for values in finite if values]
        highest = max((max(values) for values in finite if values), default=1.0)
        return min(1.05 * highest, 1.5 * max(initial, default=1.0)) or 1.0
    return 1.05 * max((max(values) for values in finite if values), default=1.0) or 1.0


def _colour_markers(line: str) -> Text:
    text = Text(line)
    for mark, colour in zip(MARKERS, COLOURS, strict=True):
        text.highlight_words([mark], colour)
    return text


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
