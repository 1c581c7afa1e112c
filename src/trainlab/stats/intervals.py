"""Confidence intervals: of a mean over seeds, of a share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Interval:
    """An estimate from `n` values, with the bounds of its interval; None where these few values give none."""

    value: float | None
    low: float | None
    high: float | None
    n: int


FEWEST_VALUES = 4
"""Of fewer the values themselves are shown: of two, t's interval is 12.7 standard errors to each side."""


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """The mean with Student's t interval: x̄ ± t_{(1+level)/2, n−1} · s/√n, s with n − 1 in the denominator.

    Right for means of independent, roughly normal values (Student 1908, "The probable error of a mean") that
    are looked at once; for a look after every seed: `e_processes.mean_confidence_sequence`. Fewer than
    `FEWEST_VALUES` have no interval. Raises ValueError for a level outside (0, 1) or values that are not
    finite.
    """
    _check_level(level)
    x_N = finite_values(values)
    if len(x_N) == 0:
        return Interval(None, None, None, 0)
    mean = float(x_N.mean())
    if len(x_N) < FEWEST_VALUES:
        return Interval(mean, None, None, len(x_N))
    margin = _t_quantile((1 + level) / 2, len(x_N) - 1) * float(x_N.std(ddof=1)) / math.sqrt(len(x_N))
    return Interval(mean, mean - margin, mean + margin, len(x_N))


def deviation_of_interval(low: float, high: float, n: int, level: float = 0.95) -> float | None:
    """The standard deviation of n values, from the ends of their mean's t interval; None of one."""
    if n < 2:
        return None
    return (high - low) / 2 * math.sqrt(n) / _t_quantile((1 + level) / 2, n - 1)


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval: right for few trials and for shares near 0 and 1.

    Raises ValueError unless 0 ≤ successes ≤ n.
    """
    _check_level(level)
    if not 0 <= successes <= n:
        raise ValueError(f"got {successes} successes of {n}, expected 0 ≤ successes ≤ n")
    if n == 0:
        return Interval(None, None, None, 0)
    low, high = wilson_bounds(successes, n, NormalDist().inv_cdf((1 + level) / 2))
    return Interval(successes / n, max(0.0, low), min(1.0, high), n)


def wilson_bounds(successes: float, n: int, z: float) -> tuple[float, float]:
    """The ends of Wilson's score interval of a share, z the normal quantile of (1 + level) / 2; n ≥ 1.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n)
    (Wilson 1927, "Probable inference, the law of succession, and statistical inference", Eq. 6).
    """
    share = successes / n
    centre = share + z * z / (2 * n)
    margin = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (centre - margin) / scale, (centre + margin) / scale


def _t_quantile(probability: float, degrees_of_freedom: int) -> float:
    from scipy.special import stdtrit  # not scipy.stats, which takes a second to import

    return float(stdtrit(degrees_of_freedom, probability))


def finite_values(values: Sequence[float] | np.ndarray) -> np.ndarray:
    """The values as an array. Raises ValueError where one is not finite."""
    x_N = np.asarray(values, dtype=np.float64)
    if not np.isfinite(x_N).all():
        raise ValueError("values must be finite: leave out what is missing before")
    return x_N


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1")


Z_95, Z_99 = 1.9600, 2.5758
"""The normal quantiles of two-sided intervals of 95% and 99%."""


def wilson_lower_bound(successes: int, n: int, z: float = Z_99) -> float:
    """The lower end of Wilson's score interval of a share (0..1)."""
    return wilson_bounds(successes, n, z)[0]
