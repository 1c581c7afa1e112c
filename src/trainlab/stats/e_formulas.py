"""E-values in closed form, on arrays: of a mean by its t statistic, of a count, of two counts.

Each is, read after every seed, an e-process: whatever the rule by which seeds stop, its mean is at most 1
where the hypothesis it speaks for is false, and it ever reaches 1/α with probability at most α (Ville 1939;
Ramdas, Grünwald, Vovk & Shafer 2023, "Game-theoretic statistics and safe anytime-valid inference").

Written here because no library of Python 3.11 had them (November 2026): `confseq` (last release 2023, C++)
and `ville` 0.1 have means of known variance, of bounded values or asymptotic ones; `expectation` asks for
Python 3.12.

`scipy.special` takes a fifth of a second to import: the functions do.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

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
