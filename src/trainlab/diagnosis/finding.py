"""One cause found in one run: where, since when, with which numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from trainlab.diagnosis.evidence import Series


@dataclass(frozen=True)
class Finding:
    """A cause that the evidence shows. `says` is the evidence in words, `numbers` by quantity.

    `since_step` is the first measured step from which on it holds to the end; None where it has no step.
    """

    cause: str
    says: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    layer: str | None = None
    since_step: int | None = None


def since(series: Series, holds: Callable[[float], bool]) -> int | None:
    """The first step from which on `holds` is true of every value, None where it is not at the end.

    A value that is not finite (a comparison with NaN is false) ends it, so that what came after a divergence
    is never taken for a cause.
    """
    start = None
    for step in sorted(series, reverse=True):
        if not holds(series[step]):
            break
        start = step
    return start


def first_and_last(series: Series) -> tuple[float, float]:
    """The first and the last value of a series that is not empty."""
    return series[min(series)], series[max(series)]
