"""Numbers, shapes and intervals in words, as pages and the terminal show them."""

from collections.abc import Mapping

from trainlab.stats.intervals import Interval


def format_fact(value: object) -> str:
    """A number, a shape, or one of these by layer."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {format_fact(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return (
        f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def format_interval(interval: Interval, unit: str) -> str:
    """`4.31 points (2.10 … 6.52)`."""
    text = format_in_unit(interval.value, unit)
    if interval.value is None or interval.low is None or interval.high is None:
        return text
    low, high = (format_in_unit(bound, unit).split(" ")[0] for bound in (interval.low, interval.high))
    return f"{text} ({low} … {high})"


def format_in_unit(value: float | None, unit: str) -> str:
    """A number in its unit: shares as percentages or percentage points, decades with their name."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit == "points":
        return f"{100 * value:.2f} points"
    return f"{value:.3g} {unit}".strip()


def format_p_value(p: float) -> str:
    """Three digits at most; what is below 0.0001 says so."""
    if p in (0.0, 1.0):
        return f"{p:.0f}"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"
