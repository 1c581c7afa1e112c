"""Hypothesis tests and corrections for several of them, on plain numbers.

Every test is one-sided and comes twice: for the hypothesis and against it, so that "not enough evidence" is
an answer. `p_for` is the probability of data at least as clear if the hypothesis were false, `p_against` if
it were true.

`scipy.stats` takes a second to import: it is imported by the functions that need it.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

RESAMPLES = 10_000

Method = Literal["t", "bootstrap"]
"""Student's t, or the percentile bootstrap for values that are far from normal."""


class OneSidedPValues(NamedTuple):
    """The two p-values of one hypothesis."""

    p_for: float
    p_against: float

    def reversed(self) -> "OneSidedPValues":
        """Those of the contrary hypothesis."""
        return OneSidedPValues(self.p_against, self.p_for)


def mean_test(values: Sequence[float] | np.ndarray, bound: float, method: Method = "t") -> OneSidedPValues:
    """Whether the mean of independent `values` lies above `bound`.

    Student's one-sample t test, of paired differences the paired t test; or the share of bootstrap means on
    the wrong side (Efron & Tibshirani 1993, ch. 15.6), with the data's own sample counted in.
    """
    from scipy import stats

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
    rng = np.random.default_rng(0)
    means = x_N[rng.integers(0, len(x_N), (RESAMPLES, len(x_N)))].mean(axis=1)
    wrong_side = (means <= bound, means >= bound)
    return OneSidedPValues(*((1 + int(wrong.sum())) / (1 + RESAMPLES) for wrong in wrong_side))


def equivalence_test(
    values: Sequence[float] | np.ndarray, margin: float, method: Method = "t"
) -> OneSidedPValues:
    """Whether the mean of `values` lies within ±`margin`: two one-sided tests (TOST, Schuirmann 1987).

    Against it: outside on either side, each tested at half the level.
    """
    above, below = mean_test(values, -margin, method), mean_test(values, margin, method)
    return OneSidedPValues(max(above.p_for, below.p_against), min(1.0, 2 * min(above.p_against, below.p_for)))


def majority_test(count: int, n: int) -> OneSidedPValues:
    """Whether a setting learns more often than not: exact binomial test of `count` of `n` against ½."""
    from scipy import stats

    return OneSidedPValues(
        float(stats.binomtest(count, n, 0.5, alternative="greater").pvalue),
        float(stats.binomtest(count, n, 0.5, alternative="less").pvalue),
    )


def contrast_test(count: int, n: int, other: int, other_n: int) -> OneSidedPValues:
    """Whether one setting learns and another does not.

    For: it learns more often (Fisher's exact test, one-sided). Against: the first fails more often than not,
    or the other learns more often than not, each tested at half the level.
    """
    from scipy import stats

    table = [[count, n - count], [other, other_n - other]]
    p_for = float(stats.fisher_exact(table, alternative="greater").pvalue)
    p_against = min(majority_test(count, n).p_against, majority_test(other, other_n).p_for)
    return OneSidedPValues(p_for, min(1.0, 2 * p_against))


def all_hold(tests: Sequence[OneSidedPValues]) -> OneSidedPValues:
    """The p-values of a conjunction of hypotheses.

    For: the largest (intersection-union test, Berger 1982). Against: the smallest, Bonferroni-corrected.
    """
    against = min(1.0, len(tests) * min(test.p_against for test in tests))
    return OneSidedPValues(max(test.p_for for test in tests), against)


def bonferroni(p_values: OneSidedPValues, tests: int) -> OneSidedPValues:
    """p-values adjusted for `tests` tests, of which these are the clearest: each times their number."""
    return OneSidedPValues(*(min(1.0, p * tests) for p in p_values))


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979): p₍ᵢ₎ becomes max over j ≤ i of (m − j + 1) p₍ⱼ₎."""
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values, dtype=float)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p_values) else []
    return adjusted.tolist()
