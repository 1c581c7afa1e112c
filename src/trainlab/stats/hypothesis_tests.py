"""Hypothesis tests of a fixed number of runs, and corrections for several of them, on plain numbers.

Every test is one-sided and comes twice: for the hypothesis and against it, so that "not enough evidence" is
an answer. `p_for` is the probability of data at least as clear if the hypothesis were false, `p_against` if
it were true. Each holds for one look at the data: what is looked at after every seed has `e_processes`.

`scipy.stats` takes a second to import: it is imported by the functions that need it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class OneSidedPValues(NamedTuple):
    """The two p-values of one hypothesis."""

    p_for: float
    p_against: float

    def reversed(self) -> "OneSidedPValues":
        """Those of the contrary hypothesis."""
        return OneSidedPValues(self.p_against, self.p_for)


def mean_test(values: Sequence[float] | np.ndarray, bound: float) -> OneSidedPValues:
    """Whether the mean of independent normal `values` lies above `bound`.

    Student's one-sample t test, of paired differences the paired t test. Equal values have no t: theirs are
    the sign test's, 2⁻ⁿ on their side of the bound, never 0.
    """
    from scipy import stats

    x_N = np.asarray(values, dtype=np.float64)
    if np.ptp(x_N) == 0:
        return _sign_test(float(x_N[0]) - bound, len(x_N))
    return OneSidedPValues(
        float(stats.ttest_1samp(x_N, bound, alternative="greater").pvalue),
        float(stats.ttest_1samp(x_N, bound, alternative="less").pvalue),
    )


def _sign_test(above: float, n: int) -> OneSidedPValues:
    """Of n values that all lie on one side."""
    clear, unclear = 0.5**n, 1.0
    if above == 0:
        return OneSidedPValues(unclear, unclear)
    return OneSidedPValues(clear, unclear) if above > 0 else OneSidedPValues(unclear, clear)


def equivalence_test(values: Sequence[float] | np.ndarray, margin: float) -> OneSidedPValues:
    """Whether the mean of `values` lies within ±`margin`: two one-sided tests (TOST, Schuirmann 1987).

    Against it: outside on either side, each tested at half the level.
    """
    above, below = mean_test(values, -margin), mean_test(values, margin)
    return OneSidedPValues(max(above.p_for, below.p_against), min(1.0, 2 * min(above.p_against, below.p_for)))


def majority_test(count: int, n: int) -> OneSidedPValues:
    """Whether a setting learns more often than not: exact binomial test of `count` of `n` against ½."""
    from scipy import stats

    return OneSidedPValues(
        float(stats.binomtest(count, n, 0.5, alternative="greater").pvalue),
        float(stats.binomtest(count, n, 0.5, alternative="less").pvalue),
    )


def more_often_test(count: int, n: int, other: int, other_n: int) -> OneSidedPValues:
    """Whether one setting learns more often than another: Boschloo's exact test, one-sided.

    Valid without conditioning on how many learned in all, and so clearer than Fisher's, whose p-value is its
    statistic (Boschloo 1970): five of five and none of five have 1/1024, by Fisher 1/252.
    """
    from scipy import stats

    columns = [[count, other], [n - count, other_n - other]]
    return OneSidedPValues(
        float(stats.boschloo_exact(columns, alternative="greater").pvalue),
        float(stats.boschloo_exact(columns, alternative="less").pvalue),
    )


def contrast_test(count: int, n: int, other: int, other_n: int) -> OneSidedPValues:
    """Whether one setting learns (more often than not) and another does not.

    For: both, by the larger p-value. Against: the one does not or the other does, each at half the level.
    Weaker than "more often": half of the runs learn more often than none, and do not learn.
    """
    learns, other_learns = majority_test(count, n), majority_test(other, other_n)
    return OneSidedPValues(
        max(learns.p_for, other_learns.p_against), min(1.0, 2 * min(learns.p_against, other_learns.p_for))
    )


def all_hold(tests: Sequence[OneSidedPValues]) -> OneSidedPValues:
    """The p-values of a conjunction of hypotheses.

    For: the largest (intersection-union test, Berger 1982). Against: the smallest, Bonferroni-corrected.
    """
    against = min(1.0, len(tests) * min(test.p_against for test in tests))
    return OneSidedPValues(max(test.p_for for test in tests), against)


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979): p₍ᵢ₎ becomes max over j ≤ i of (m − j + 1) p₍ⱼ₎."""
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values, dtype=float)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p_values) else []
    return adjusted.tolist()
