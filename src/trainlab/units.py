"""Numbers with their units, for people: durations, sizes in bytes, percentages, large counts."""


def format_value(value: object) -> str:
    """A value as people write it: 0.001, relu, true."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def format_bytes(count: int) -> str:
    """A size with a binary prefix: `1.5 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def format_percent(share: float | None) -> str:
    """A share: `12.3 %`."""
    return "–" if share is None else f"{round(100 * share, 1) + 0.0:.1f} %"


def format_probability(chance: float) -> str:
    """Of a probability; never a certainty that it is not."""
    if 0 < chance < 0.01:
        return "under 1%"
    return "over 99%" if 0.99 < chance < 1 else f"{chance:.0%}"


def pluralize(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `10,000 runs`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def format_duration(seconds: float) -> str:
    """`42 s`, `3 min 20 s`, `5 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
