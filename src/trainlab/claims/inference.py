"""The statistics of claims: how sure it is that a mean, or a chance of learning, lies on one side of a bound.

Every test is one-sided and comes twice: for the expectation and against it, so that "not enough evidence" is
an answer. `p_for` is the probability of data like these or clearer if the expectation were false, `p_against`
if it were true.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from trainlab.analysis.intervals import Interval, bootstrap_interval, mean_interval

RESAMPLES = 10_000


class Sides(NamedTuple):
    """The two p-values of one expectation."""

    p_for: float
    p_against: float


def exceeds(values: Sequence[float], bound: float, method: str = "t") -> Sides:
    """Whether the mean of independent `values` lies above `bound`.

    Student's one-sample t test, of paired differences the paired t test; or the share of bootstrap means on
    the wrong side (Efron & Tibshirani 1993, ch. 15.6), with the data's own sample counted in.
    """
    x_N = np.asarray(values, dtype=np.float64)
    if method == "bootstrap":
        return _bootstrap(x_N, bound)
    if np.ptp(x_N) == 0:  # t is not defined: the values leave no doubt
        return _certain(float(x_N[0]) - bound)
    return Sides(
        float(stats.ttest_1samp(x_N, bound, alternative="greater").pvalue),
        float(stats.ttest_1samp(x_N, bound, alternative="less").pvalue),
    )


def _certain(above: float) -> Sides:
    if above == 0:
        return Sides(1.0, 1.0)
    return Sides(0.0, 1.0) if above > 0 else Sides(1.0, 0.0)


def _bootstrap(x_N: np.ndarray, bound: float) -> Sides:
    random = np.random.default_rng(0)
    means = x_N[random.integers(0, len(x_N), (RESAMPLES, len(x_N)))].mean(axis=1)
    return Sides(*((1 + int(wrong.sum())) / (1 + RESAMPLES) for wrong in (means <= bound, means >= bound)))


def within(values: Sequence[float], margin: float, method: str = "t") -> Sides:
    """Whether the mean of `values` lies within ±`margin`: two one-sided tests (Schuirmann 1987).

    Against it: outside on either side, each tested at half the level.
    """
    above, below = exceeds(values, -margin, method), exceeds(values, margin, method)
    return Sides(max(above.p_for, below.p_against), min(1.0, 2 * min(above.p_against, below.p_for)))


def interval(values: Sequence[float], method: str = "t", level: float = 0.95) -> Interval:
    """The mean with its interval, by the same method as the test."""
    if method == "bootstrap":
        return bootstrap_interval(values, level=level)
    return mean_interval(values, level)


def learns(count: int, n: int) -> Sides:
    """Whether a setting learns more often than not: exact binomial test of `count` of `n` against ½."""
    return Sides(
        float(stats.binomtest(count, n, 0.5, alternative="greater").pvalue),
        float(stats.binomtest(count, n, 0.5, alternative="less").pvalue),
    )


def learns_unlike(count: int, n: int, other: int, other_n: int) -> Sides:
    """Whether one setting learns and another does not.

    For: it learns more often (Fisher's exact test, one-sided). Against: the first fails more often than not,
    or the other learns more often than not, each tested at half the level.
    """
    table = [[count, n - count], [other, other_n - other]]
    p_for = float(stats.fisher_exact(table, alternative="greater").pvalue)
    return Sides(p_for, min(1.0, 2 * min(learns(count, n).p_against, learns(other, other_n).p_for)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979): p₍ᵢ₎ becomes max over j ≤ i of (m − j + 1) p₍ⱼ₎."""
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values, dtype=float)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p_values) else []
    return adjusted.tolist()
