"""How well theory's boundary agrees with a phase diagram: a number for each seed."""

from collections.abc import Sequence

import numpy as np

from trainlab.analysis.phase_diagram import PhasePoint
from trainlab.claims.expectations import PhaseBoundary


def phase_boundary_by_seed(expectation: PhaseBoundary, points: Sequence[PhasePoint]) -> list[float]:
    """The expectation's measure of each seed's cells, in the order of the seeds."""
    seeds = sorted({point.seed for point in points})
    by_seed = [[point for point in points if point.seed == seed] for seed in seeds]
    if expectation.measure == "agreement":
        return [theory_balanced_accuracy(cells, expectation.rule) for cells in by_seed]
    return [depth_rank_correlation(cells) for cells in by_seed]


def theory_balanced_accuracy(points: Sequence[PhasePoint], rule: float) -> float:
    """Of the runs that learned the share with depth ≤ rule · ξ, of the others that with more; their mean.

    A half is what guessing gives, and what a diagram gives in which all or none learned.
    """
    predicted = np.array([point.depth <= rule * (point.xi or 0.0) for point in points], dtype=bool)
    learned = np.array([point.learned for point in points], dtype=bool)
    if learned.all() or not learned.any():
        return 0.5
    return float((predicted[learned].mean() + (~predicted[~learned]).mean()) / 2)


def depth_rank_correlation(points: Sequence[PhasePoint]) -> float:
    """Spearman's correlation, over the scales, of ξ with the deepest that learned (0 where none did).

    0 where the depth, or ξ, is the same everywhere.
    """
    from scipy import stats

    scales = sorted({point.scale for point in points})
    deepest = [
        max((p.depth for p in points if p.scale == scale and p.learned), default=0) for scale in scales
    ]
    xi = [next(p.xi or 0.0 for p in points if p.scale == scale) for scale in scales]
    if np.ptp(deepest) == 0 or len(set(xi)) == 1:
        return 0.0
    return float(stats.spearmanr(xi, deepest).statistic)
