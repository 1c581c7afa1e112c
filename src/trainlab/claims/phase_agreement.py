"""How well theory's boundary agrees with a phase diagram: a number for each seed, or for each scale."""

from collections.abc import Sequence

import numpy as np

from trainlab.analysis.phase_diagram import PhasePoint
from trainlab.claims.expectations import PhaseBoundary


def phase_boundary_by_seed(expectation: PhaseBoundary, points: Sequence[PhasePoint]) -> list[float]:
    """The measure of each seed's cells, in the order of the seeds; an advantage, in that of the scales."""
    if expectation.measure == "advantage":
        return advantage_by_scale(points, expectation.rule)
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


def advantage_by_scale(points: Sequence[PhasePoint], rule: float) -> list[float]:
    """By how much depth ≤ rule · ξ is right more often than the best rule without ξ, for each scale.

    That one is depth ≤ D, D the depth (or none) with the most runs right over all scales: it has seen the
    outcomes, theory has not. Shares of a scale's runs, all depths and seeds, in the order of the scales.
    """
    learned = np.array([point.learned for point in points], dtype=bool)
    depth = np.array([point.depth for point in points])
    scale = np.array([point.scale for point in points])
    by_theory = depth <= rule * np.array([point.xi or 0.0 for point in points])
    cuts = [depth <= most for most in (0, *sorted(set(depth.tolist())))]
    by_depth = max(cuts, key=lambda cut: float((cut == learned).mean()))
    gain = (by_theory == learned).astype(float) - (by_depth == learned)
    return [float(gain[scale == one].mean()) for one in sorted(set(scale.tolist()))]


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
