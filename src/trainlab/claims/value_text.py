"""Numbers, shapes and intervals in words, as pages and the terminal show them."""

import math
from collections.abc import Mapping

from trainlab.stats.intervals import Interval

MAX_COUNT = 1e15
"""Whole numbers up to this are exact as floats, and written out."""


def format_fact(value: object) -> str:
    """A number, a shape, or one of these by layer."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_fact(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    if isinstance(value, float):  # counts may come as floats: 2,712,960 and not 2.71296e+06
        return f"{value:,.0f}" if value.is_integer() and abs(value) < MAX_COUNT else f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def format_interval(interval: Interval, unit: str) -> str:
    """`4.31 points (2.10 … 6.52)`."""
    text = format_in_unit(interval.value, unit)
    if interval.value is None or interval.low is None or interval.high is None:
        return text
    if unit in ("share", "points"):
        low, high = (format_in_unit(bound, unit).split(" ")[0] for bound in (interval.low, interval.high))
        return f"{text} ({low} … {high})"
    digits = _decimals((interval.high - interval.low) / 2)
    value, low, high = (f"{x:z.{digits}f}" for x in (interval.value, interval.low, interval.high))
    return f"{value} {unit}".strip() + f" ({low} … {high})"


def _decimals(half_width: float) -> int:
    """Decimals with which a number shows two digits of its uncertainty; two where there is none."""
    if not 0 < half_width < math.inf:
        return 2
    return min(MAX_DECIMALS, max(0, 1 - math.floor(math.log10(half_width))))


MAX_DECIMALS = 9


def format_in_unit(value: float | None, unit: str) -> str:
    """A number in its unit: shares as percentages or percentage points, decades with their name."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:z.2f} %"
    if unit == "points":
        return f"{100 * value:z.2f} points"
    return f"{value:.3g} {unit}".strip()


def format_p_value(p: float) -> str:
    """Three digits at most; what is below 0.0001 says so."""
    if p in (0.0, 1.0):
        return f"{p:.0f}"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
