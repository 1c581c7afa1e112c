"""Hypothesis tests and corrections for several of them, on plain numbers.

Every test is one-sided and comes twice: for the hypothesis and against it, so that "not enough evidence" is
an answer. `p_for` is the probability of data at least as clear if the hypothesis were false, `p_against` if
it
were true."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from trainlab.stats.intervals import Interval, bootstrap_interval, mean_interval

RESAMPLES = 10_000


class OneSidedPValues(NamedTuple):
    """The two p-values of one expectation."""

    p_for: float
    p_against: float


def mean_test(values: Sequence[float], bound: float, method: str = "t") -> OneSidedPValues:
    """Whether the mean of independent `values` lies above `bound`.

    Student's one-sample t test, of paired differences the paired t test; or the share of bootstrap means on
    the wrong side (Efron & Tibshirani 1993, ch. 15.6), with the data's own sample counted in.
    """
    x_N = np.asarray(values, dtype=np.float64)
    if method == "bootstrap":
        return _bootstrap_p_values(x_N, bound)
    if np.ptp(x_N) == 0:  # t is not defined: the values leave no doubt
        return _degenerate_p_values(float(x_N[0]) - bound)
    return OneSidedPValues(
        float(stats.ttest_1samp(x_N, bound, alternative="greater").pvalue),
        float(stats.ttest_1samp(x_N, bound, alternative="less").pvalue),
    )


def _degenerate_p_values(above: float) -> OneSidedPValues:
    if above == 0:
        return OneSidedPValues(1.0, 1.0)
    return OneSidedPValues(0.0, 1.0) if above > 0 else OneSidedPValues(1.0, 0.0)


def _bootstrap_p_values(x_N: np.ndarray, bound: float) -> OneSidedPValues:
    random = np.random.default_rng(0)
    means = x_N[random.integers(0, len(x_N), (RESAMPLES, len(x_N)))].mean(axis=1)
    return OneSidedPValues(
        *((1 + int(wrong.sum())) / (1 + RESAMPLES) for wrong in (means <= bound, means >= bound))
    )


def equivalence_test(values: Sequence[float], margin: float, method: str = "t") -> OneSidedPValues:
    """Whether the mean of `values` lies within ±`margin`: two one-sided tests (Schuirmann 1987).

    Against it: outside on either side, each tested at half the level.
    """
    above, below = mean_test(values, -margin, method), mean_test(values, margin, method)
    return OneSidedPValues(max(above.p_for, below.p_against), min(1.0, 2 * min(above.p_against, below.p_for)))


def interval_of_mean(values: Sequence[float], method: str = "t", level: float = 0.95) -> Interval:
    """The mean with its interval, by the same method as the test."""
    if method == "bootstrap":
        return bootstrap_interval(values, level=level)
    return mean_interval(values, level)


def majority_test(count: int, n: int) -> OneSidedPValues:
    """Whether a setting learns more often than not: exact binomial test of `count` of `n` against ½."""
    return OneSidedPValues(
        float(stats.binomtest(count, n, 0.5, alternative="greater").pvalue),
        float(stats.binomtest(count, n, 0.5, alternative="less").pvalue),
    )


def contrast_test(count: int, n: int, other: int, other_n: int) -> OneSidedPValues:
    """Whether one setting learns and another does not.

    For: it learns more often (Fisher's exact test, one-sided). Against: the first fails more often than not,
    or the other learns more often than not, each tested at half the level.
    """
    table = [[count, n - count], [other, other_n - other]]
    p_for = float(stats.fisher_exact(table, alternative="greater").pvalue)
    return OneSidedPValues(
        p_for, min(1.0, 2 * min(majority_test(count, n).p_against, majority_test(other, other_n).p_for))
    )


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979): p₍ᵢ₎ becomes max over j ≤ i of (m − j + 1) p₍ⱼ₎."""
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values, dtype=float)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p_values) else []
    return adjusted.tolist()


def bonferroni(sides: OneSidedPValues, looks: int) -> OneSidedPValues:
    """p-values where a claim may be judged `looks` times (Bonferroni over the looks)."""
    return OneSidedPValues(*(min(1.0, p * looks) for p in sides))
