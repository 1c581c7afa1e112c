"""Hypothesis tests of a fixed number of runs, and corrections for several of them, on plain numbers.

Every test is one-sided and comes twice: for the hypothesis and against it, so that "not enough evidence" is
an answer. `p_for` is the probability of data at least as clear if the hypothesis were false, `p_against` if
it were true. Each holds for one look at the data: what is looked at after every seed, and counts of runs that
learn, have `e_processes`.

`scipy.stats` takes a second to import: it is imported by the functions that need it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class OneSidedPValues(NamedTuple):
    """The two p-values of one hypothesis."""

    p_for: float
    p_against: float


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


def holm_adjust(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being several (Holm 1979): p₍ᵢ₎ becomes max over j ≤ i of (m − j + 1) p₍ⱼ₎."""
    order = np.argsort(p_values, kind="stable")
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values, dtype=float)[order]
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(p_values) else []
    return adjusted.tolist()
