"""Pages of claims that depend on each other, decided together by e-BH. Legend: S pages, C claims, N seeds."""

from typing import TypedDict

import numpy as np

from experiments.statistics.boundary import FIRST, MOST, paths_above
from trainlab.stats.e_processes import e_bh
from trainlab.stats.power import stops_of

CLAIMS = 21
STOP = 40.0
"""A claim of a page takes no more seeds once an e-value of it is so large."""

EFFECT = 2.0
"""(mean − bound)/sd of the claims that are true."""


class PageRow(TypedDict):
    """Of pages of one make: the mean share of wrong verdicts, and of true claims that were supported."""

    at_boundary: int
    correlation: float
    false_discovery_rate: float
    either_side: float
    supported: float | None


def false_discoveries(pages: int) -> list[PageRow]:
    """The share of wrong verdicts among those of a page, by how many of its claims are at the boundary.

    `false_discovery_rate` counts a claim at the boundary that is supported, `either_side` also one refuted.
    """
    return [
        _pages(pages, at_boundary, correlation)
        for at_boundary in (7, 14, CLAIMS)
        for correlation in (0.0, 0.5, 0.9)
    ]


def _pages(pages: int, at_boundary: int, correlation: float) -> PageRow:
    random = np.random.default_rng([5, at_boundary, round(10 * correlation)])
    shared_SN = random.standard_normal((pages, 1, MOST))
    own_SCN = random.standard_normal((pages, CLAIMS, MOST))
    true_C = np.arange(CLAIMS) >= at_boundary
    x_SCN = np.sqrt(correlation) * shared_SN + np.sqrt(1 - correlation) * own_SCN + EFFECT * true_C[:, None]
    paths = paths_above(x_SCN.reshape(-1, MOST), 0.0)
    last = stops_of(*paths, FIRST, STOP).seeds_S - 1
    row = np.arange(len(last))
    e_for_SC = paths.e_for_SN[row, last].reshape(pages, CLAIMS)
    e_against_SC = paths.e_against_SN[row, last].reshape(pages, CLAIMS)
    decided_SC = np.asarray([e_bh(e_C) for e_C in np.maximum(e_for_SC, e_against_SC)])
    supported_SC = decided_SC & (e_for_SC > e_against_SC)
    refuted_SC = decided_SC & ~supported_SC
    verdicts_S = np.maximum(1, decided_SC.sum(axis=1))
    wrong_S = (supported_SC & ~true_C).sum(axis=1) + (refuted_SC & true_C).sum(axis=1)
    either_S = wrong_S + (refuted_SC & ~true_C).sum(axis=1)
    return {
        "at_boundary": at_boundary,
        "correlation": correlation,
        "false_discovery_rate": float(np.mean(wrong_S / verdicts_S)),
        "either_side": float(np.mean(either_S / verdicts_S)),
        "supported": float(supported_SC[:, true_C].mean()) if true_C.any() else None,
    }
