"""A phase diagram becomes a number for each seed: how well theory's boundary says what learns."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from trainlab.analysis.phase import Place
from trainlab.claims.expectations import Boundary


def by_seed(expectation: Boundary, places: Sequence[Place]) -> list[float]:
    """The expectation's measure of each seed's cells, in the order of the seeds."""
    seeds = sorted({place.seed for place in places})
    of_seed = [[place for place in places if place.seed == seed] for seed in seeds]
    if expectation.measure == "agreement":
        return [balanced_agreement(cells, expectation.rule) for cells in of_seed]
    return [rank_correlation(cells) for cells in of_seed]


def balanced_agreement(places: Sequence[Place], rule: float) -> float:
    """Of the runs that learned the share with depth ≤ rule · ξ, of the others that with more; their mean.

    A half is what guessing gives, and what a diagram gives in which all or none learned.
    """
    said = np.array([place.depth <= rule * (place.xi or 0.0) for place in places], dtype=bool)
    learned = np.array([place.learned for place in places], dtype=bool)
    if learned.all() or not learned.any():
        return 0.5
    return float((said[learned].mean() + (~said[~learned]).mean()) / 2)


def rank_correlation(places: Sequence[Place]) -> float:
    """Spearman's correlation, over the scales, of ξ with the deepest that learned (0 where none did).

    0 where the depth, or ξ, is the same everywhere.
    """
    scales = sorted({place.scale for place in places})
    deepest = [
        max((p.depth for p in places if p.scale == scale and p.learned), default=0) for scale in scales
    ]
    xi = [next(p.xi or 0.0 for p in places if p.scale == scale) for scale in scales]
    if np.ptp(deepest) == 0 or len(set(xi)) == 1:
        return 0.0
    return float(stats.spearmanr(xi, deepest).statistic)
