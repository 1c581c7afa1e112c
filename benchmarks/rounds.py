"""From rounds to a figure: contenders take turns, and every round gives a ratio."""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median

Round = Callable[[], float]


def interleaved(contenders: Mapping[str, Round], count: int, warm_ups: int = 1) -> dict[str, list[float]]:
    """`count` rounds; in each, every contender once, in an order that is turned around each time.

    `warm_ups` rounds before them are not counted: caches fill, processors change their clock.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(-warm_ups, count):
        names = list(contenders) if number % 2 == 0 else list(contenders)[::-1]
        for name in names:
            value = contenders[name]()
            if number >= 0:
                taken[name].append(value)
    return taken


def medians(rounds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each contender."""
    return {name: median(values) for name, values in rounds.items()}


def median_ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Median of over[i] / under[i]: the two of a round met the same machine."""
    return median(a / b for a, b in zip(over, under, strict=True))


def line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """(intercept, slope) of the least-squares line through the points. Raises ValueError below two x."""
    if len(set(x)) < 2:
        raise ValueError(f"a line needs two different x, got {x}")
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )
    return mean_y - slope * mean_x, slope


def growth_exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """e where the cost grows with size^e, between the smallest and the largest: 1 is linear."""
    (small, least), *_, (large, most) = sorted(zip(sizes, costs, strict=True))
    return math.log(most / least) / math.log(large / small)
