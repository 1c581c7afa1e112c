"""The wild bootstrap over the runs of a grid: shares of variance as other seeds might have given them.

Legend: N runs, C cells (settings), B resamples.
"""

from typing import NamedTuple

import numpy as np

from trainlab.stats.anova import FactorialDesign

RESAMPLES = 400


class ResampledResponses(NamedTuple):
    """Resampled responses: the cells' means, and the sum of squares of the runs about them."""

    mean_CB: np.ndarray
    within_B: np.ndarray


def resample_responses(
    design: FactorialDesign, mean_C: np.ndarray, cell_N: np.ndarray, y_N: np.ndarray, seed: int = 0
) -> ResampledResponses | None:
    """Responses that other seeds might have given; None where the variance over seeds is unknown.

    Each run keeps the size of its residual and draws its sign (Liu 1988, "Bootstrap procedures under some
    non-i.i.d. models"): settings at chance scatter less than those at the border of learning. A residual is
    the distance from the mean of its setting, times √(n/(n−1)); where a setting was run once, the pooled
    standard deviation of the others. Where all were run once, chance is what axes and pairs leave, over its
    degrees of freedom: it has the higher interactions in it, so that intervals are rather too wide.
    """
    fitted_C, size_N = _residuals(design, mean_C, cell_N, y_N)
    if size_N is None:
        return None
    rng = np.random.default_rng(seed)
    order = np.argsort(cell_N, kind="stable")
    starts = np.flatnonzero(np.diff(cell_N[order], prepend=-1))
    signs_NB = rng.integers(0, 2, (len(y_N), RESAMPLES), dtype=np.int8) * 2.0 - 1.0
    error_NB = (size_N[:, None] * signs_NB)[order]
    error_CB = np.add.reduceat(error_NB, starts, axis=0) / design.n_C[:, None]
    within_B = (error_NB**2).sum(0) - (design.n_C[:, None] * error_CB**2).sum(0)
    return ResampledResponses(fitted_C[:, None] + error_CB, within_B)


def _residuals(
    design: FactorialDesign, mean_C: np.ndarray, cell_N: np.ndarray, y_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """(fitted_C, absolute residual of each run)."""
    n_N = design.n_C[cell_N]
    freedom = len(y_N) - len(design.n_C)
    if freedom > 0:
        residual_N = y_N - mean_C[cell_N]
        pooled = np.sqrt((residual_N**2).sum() / freedom)
        scale_N = np.sqrt(n_N / np.maximum(n_N - 1, 1))
        return mean_C, np.where(n_N > 1, np.abs(residual_N) * scale_N, pooled)
    fitted_C, residual_freedom = design.fit_pairs(mean_C)
    if residual_freedom <= 0:
        return mean_C, None
    return fitted_C, (np.abs(mean_C - fitted_C) * np.sqrt(len(mean_C) / residual_freedom))[cell_N]


def basic_bootstrap_interval(share: float, resampled_B: np.ndarray) -> tuple[float, float]:
    """The basic bootstrap's 95% interval (Davison & Hinkley 1997, Eq. 5.6), within 0 … 1.

    Chance adds to every share, and once more to every resampled one: 2 · share − quantile takes it out, so
    that the interval of a share that is nothing but chance lies below it, at 0.
    """
    low, high = np.quantile(resampled_B, [0.025, 0.975])
    return min(max(2 * share - float(high), 0.0), 1.0), min(max(2 * share - float(low), 0.0), 1.0)
