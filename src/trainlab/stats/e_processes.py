"""Evidence that may be looked at after every seed: e-values, for a hypothesis and against it.

An e-value is a bet's payoff at stake 1: its mean is at most 1 where the hypothesis that it speaks for is
false, so e ≥ 20 is wrong at most once in twenty, however often one has looked before and whatever made one
stop (Ville 1939; Ramdas, Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid
inference"). First the formulas in closed form, on arrays; then the evidence of one hypothesis: `e_for` bets
on it, `e_against` on its contrary. Error rates and power are in `experiments/statistics`. Hypotheses are
about runs of one distribution: a mean over runs of which some learned and some did not is not for
`mean_e_values`, counts are.

Written here because no library of Python 3.11 had them (November 2026): `confseq` (last release 2023, C++)
and `ville` 0.1 have means of known variance, of bounded values or asymptotic ones; `expectation` asks for
Python 3.12.

`scipy.special` takes a fifth of a second to import: the functions do.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trainlab.stats.intervals import Interval, finite_values

PRIOR_SD = 1.6
"""Scale of the half-normal prior on d = (mean − bound)/sd: means of normal values are decided (e ≥ 20) after
11, 7, 5, 4 and 4 seeds at d = 1, 1.5, 2, 3 and 5; three values never decide (their e is below 18)."""

BETA_PRIOR = 0.18
"""Both parameters of the beta prior on a share, as recommended by Turner, Ly & Grünwald (2024)."""

_GRID = 40  # points of each share, at equal steps of its prior's distribution function
_LARGEST_LOG = 700.0  # of an e-value: beyond it exp overflows


def direction_of(x_SN: np.ndarray) -> np.ndarray:
    """Σx/√Σx² of the first 1 … N values of each of S rows, (S, N): all that the t statistic knows.

    It is √n · t/√(n − 1 + t²), between −√n (all values equal and negative) and √n; 0 where all are 0.
    """
    squares_SN = np.cumsum(np.square(x_SN), axis=-1)
    return np.cumsum(x_SN, axis=-1) / np.sqrt(np.where(squares_SN > 0, squares_SN, 1.0))


def mean_e(direction: ArrayLike, n: ArrayLike, prior_sd: float = PRIOR_SD) -> np.ndarray:
    """Evidence that the mean of n normal values is above 0; `direction` is `direction_of` them.

    The likelihood ratio of the t statistic (n − 1 degrees of freedom, noncentrality d√n) with d half-normal
    against d = 0 (Pérez-Ortiz, Lardy, de Heide & Grünwald 2024, "E-statistics, group invariance and
    anytime-valid testing"; Wang & Ramdas 2023, "Anytime-valid t-tests and confidence sequences for Gaussian
    means with unknown variance"). With c = Σx/√Σx² and a = n + 1/s² it is ∫ f_nct(t) π(d) dd / f_t(t) =

        2/(s√a) · (1 − c²/a)^(−n/2) · T_n(c √(n/(a − c²))),  T_n Student's distribution function,

    for given c and d the ratio is the mean of exp(dcr − nd²/2) over r ~ χ_n; the integral over d gives a
    normal distribution function, that over r Student's. Increasing in c and so in a shift of all values: the
    bound at mean 0 holds for negative means.
    """
    from scipy.special import stdtr

    c, n = np.asarray(direction, dtype=np.float64), np.asarray(n, dtype=np.float64)
    a = n + prior_sd**-2
    log_ratio = -0.5 * np.log(prior_sd**2 * a) - 0.5 * n * np.log1p(-c * c / a)
    return 2 * np.exp(np.minimum(log_ratio, _LARGEST_LOG)) * stdtr(n, c * np.sqrt(n / (a - c * c)))


def majority_e(count: ArrayLike, n: ArrayLike) -> np.ndarray:
    """Evidence from `count` of n that a share is above one half: 2ⁿ ∫ p^k (1 − p)^(n−k) 2 dp over ½ … 1.

    The likelihood ratio of a share uniform above one half against one half (Ville 1939; Robbins 1970).
    """
    from scipy.special import betainc, betaln

    k, n = np.asarray(count, dtype=np.float64), np.asarray(n, dtype=np.float64)
    above_half = betainc(n - k + 1, k + 1, 0.5)
    return np.exp((n + 1) * np.log(2) + betaln(k + 1, n - k + 1)) * above_half


def more_often_e(count: ArrayLike, other: ArrayLike, n: ArrayLike) -> np.ndarray:
    """Evidence that a share is above another, from `count` and `other` of n each, seed by seed in pairs.

    For two shares pₐ > p_b the product over pairs of pₐ(y)p_b(z) / (p₀(y)p₀(z)) with p₀ = (pₐ + p_b)/2 has a
    mean of at most 1 where the true shares are equal or the other way round (Turner, Ly & Grünwald 2024,
    "Generic E-variables for exact sequential k-sample tests that allow for optional stopping"); here its mean
    over a prior, two beta distributions restricted to pₐ > p_b, which does not depend on the order of seeds.
    Runs of a pair may depend on each other as long as they tend to learn together.
    """
    k, j, n = (np.asarray(x, dtype=np.float64)[..., None] for x in (count, other, n))
    log = _log_ratios()
    total = k * log.learned + (n - k) * log.not_learned + j * log.other_learned + (n - j) * log.other_not
    return np.exp(np.minimum(total, _LARGEST_LOG)).mean(axis=-1)


class _LogRatios(NamedTuple):
    """log p(y)/p₀(y) of each pair of shares of the prior, by who learned or not."""

    learned: np.ndarray
    not_learned: np.ndarray
    other_learned: np.ndarray
    other_not: np.ndarray


@cache
def _log_ratios() -> _LogRatios:
    from scipy.special import betaincinv

    share = betaincinv(BETA_PRIOR, BETA_PRIOR, (np.arange(_GRID) + 0.5) / _GRID)
    high, low = np.tril_indices(_GRID, -1)
    first, second = share[high], share[low]
    middle = (first + second) / 2
    return _LogRatios(
        np.log(first / middle),
        np.log((1 - first) / (1 - middle)),
        np.log(second / middle),
        np.log((1 - second) / (1 - middle)),
    )


ALPHA = 0.05

_EQUAL = 1e-12  # values closer than this share of their size are equal: subtraction leaves rounding errors

Values = Sequence[float] | np.ndarray
Learned = Sequence[bool] | np.ndarray


class EValues(NamedTuple):
    """The two e-values of one hypothesis."""

    e_for: float
    e_against: float

    def reversed(self) -> "EValues":
        """Those of the contrary hypothesis."""
        return EValues(self.e_against, self.e_for)


NO_EVIDENCE = EValues(1.0, 1.0)
"""Of no values, or of values that all lie on the bound."""


def mean_e_values(values: Values, bound: float) -> EValues:
    """Whether the mean of independent normal `values` lies above `bound` (of differences: the paired test).

    The t e-process with a half-normal prior on (mean − bound)/sd. Equal values have no sd: they count at most
    2ⁿ, as in the bet that pays double for each value above the bound (the sign test's). Raises ValueError for
    values that are not finite.
    """
    x_N = finite_values(values)
    scale = float(np.max(np.abs([*x_N, bound])))
    if np.all(np.abs(x_N - bound) <= _EQUAL * scale):
        return NO_EVIDENCE
    n = len(x_N)
    above_N = (x_N - bound) / np.max(np.abs(x_N - bound))
    direction = float(direction_of(above_N)[-1])
    most = 2.0**n if np.ptp(x_N) <= _EQUAL * scale else np.inf
    e_for, e_against = (float(min(mean_e(sign * direction, n), most)) for sign in (1, -1))
    return EValues(e_for, e_against)


def equivalence_e_values(values: Values, margin: float) -> EValues:
    """Whether the mean of `values` lies within ±`margin`.

    For: the smaller of the two sides, both must hold. Against: their mean, as one of two may hold.
    """
    return all_hold_e_values([mean_e_values(values, -margin), mean_e_values(values, margin).reversed()])


def majority_e_values(count: int, n: int) -> EValues:
    """Whether a setting learns more often than not: `count` of `n` runs did. Six of six: 18.1.

    It stands where an exact binomial test against one half would of a fixed number of runs.

    Raises ValueError unless 0 ≤ count ≤ n.
    """
    _check_count(count, n)
    return EValues(float(majority_e(count, n)), float(majority_e(n - count, n)))


def contrast_e_values(count: int, n: int, other: int, other_n: int) -> EValues:
    """Whether one setting learns (more often than not) and another does not.

    For: the smaller of the two. Against: the mean of "the one does not" and "the other does".
    """
    return all_hold_e_values([majority_e_values(count, n), majority_e_values(other, other_n).reversed()])


def more_often_e_values(first: Learned, second: Learned) -> EValues:
    """Whether one setting learns more often than another, from who learned, seed by seed in pairs.

    It stands where Boschloo's exact test would, which is the clearest of a fixed number of runs (five of five
    against none: p = 1/1024) and wrong more often than its level where one looks after every seed; this is
    exact at every look, for equal shares of any size (three of three against none: 26).

    Raises ValueError for sequences of different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"got {len(first)} and {len(second)} runs, expected pairs: one of each for a seed")
    count, other = np.sum(first), np.sum(second)
    return EValues(
        float(more_often_e(count, other, len(first))), float(more_often_e(other, count, len(first)))
    )


def all_hold_e_values(e_values: Sequence[EValues]) -> EValues:
    """The e-values of a conjunction of hypotheses.

    For: the smallest, since where the conjunction is false one of them is. Against: the mean, which is an
    e-value where all hold, however they depend on each other (Vovk & Wang 2021, "E-values: calibration,
    combination and applications").
    """
    if not e_values:
        return NO_EVIDENCE
    fors, againsts = zip(*e_values, strict=True)
    return EValues(min(fors), sum(againsts) / len(againsts))


def e_bh(e_values: Sequence[float], alpha: float = ALPHA) -> list[bool]:
    """Which of m hypotheses are accepted if, of those accepted, a share of at most `alpha` may be wrong.

    The k largest e-values, for the largest k of which the k-th is at least m/(αk): the false discovery rate
    is at most alpha under any dependence (Wang & Ramdas 2022, "False discovery rate control with e-values").
    """
    e_M = np.asarray(e_values, dtype=np.float64)
    largest_M = -np.sort(-e_M)
    is_enough_M = largest_M * alpha * np.arange(1, len(e_M) + 1) >= len(e_M) * (1 - _EQUAL)
    if not is_enough_M.any():
        return [False] * len(e_M)
    return (e_M >= largest_M[np.flatnonzero(is_enough_M)[-1]]).tolist()


def mean_confidence_sequence(values: Values, level: float) -> Interval:
    """The mean with the interval that covers the true one after every number of values at once.

    All bounds that `mean_e_values` rejects on neither side, each at (1 − level)/2: x̄ ± t* s/√n with t* where
    the e-value is 2/(1 − level). Without bounds where so few values reject nothing. Raises ValueError for a
    level outside (0, 1) or values that are not finite.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}, expected a share between 0 and 1")
    x_N = finite_values(values)
    n, threshold = len(x_N), 2 / (1 - level)
    if n == 0:
        return Interval(None, None, None, 0)
    mean = float(x_N.mean())
    is_equal = np.ptp(x_N) <= _EQUAL * np.max(np.abs(x_N))
    if mean_e(np.sqrt(n), n) < threshold or (is_equal and 2.0**n < threshold):
        return Interval(mean, None, None, n)
    if is_equal:
        return Interval(mean, mean, mean, n)
    margin = _t_where_e_is(threshold, n) * float(x_N.std(ddof=1)) / np.sqrt(n)
    return Interval(mean, mean - margin, mean + margin, n)


def _t_where_e_is(threshold: float, n: int) -> float:
    """t* of n values at which the evidence for a mean above 0 is `threshold`, by bisection of its angle."""
    low, high = 0.0, 1.0  # of direction²/n = t²/(n − 1 + t²)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if mean_e(np.sqrt(n * middle), n) >= threshold else (middle, high)
    return float(np.sqrt((n - 1) * high / (1 - high)))


def _check_count(count: int, n: int) -> None:
    if not 0 <= count <= n:
        raise ValueError(f"got {count} of {n} runs that learned, expected 0 ≤ count ≤ n")
