"""Claims at the boundary, looked at after every seed: how often each kind ends in a verdict that is wrong.

At the boundary (the mean is the bound, the share one half, the shares are equal) no verdict is right, and
each of the two is wrong most often there. Legend: S claims, N seeds.
"""

from typing import NamedTuple, TypedDict

import numpy as np

from trainlab.stats.e_processes import direction_of, mean_e
from trainlab.stats.power import CountKind, Stops, power_of_counts, stops_of

FIRST, MOST = 3, 24
ALONE = 20.0
"""The e-value at which a claim is decided by itself: 1/α."""


class Row(TypedDict):
    """Of claims of one kind and truth: shares supported and refuted."""

    kind: str
    truth: str
    supported: float
    refuted: float


class Paths(NamedTuple):
    """E-values after each seed, (S, N)."""

    e_for_SN: np.ndarray
    e_against_SN: np.ndarray


def paths_above(x_SN: np.ndarray, bound: float) -> Paths:
    """Of "the mean lies above the bound"."""
    direction_SN, n_N = direction_of(x_SN - bound), np.arange(1, x_SN.shape[1] + 1)
    return Paths(mean_e(direction_SN, n_N), mean_e(-direction_SN, n_N))


def paths_of_all(parts: list[Paths]) -> Paths:
    """Of a conjunction: the smallest for, the mean against."""
    return Paths(
        np.minimum.reduce([part.e_for_SN for part in parts]),
        np.mean([part.e_against_SN for part in parts], axis=0),
    )


def paths_within(x_SN: np.ndarray, margin: float) -> Paths:
    """Of "the mean lies within ± margin"."""
    below = paths_above(x_SN, margin)
    return paths_of_all([paths_above(x_SN, -margin), Paths(below.e_against_SN, below.e_for_SN)])


def wrong_verdicts(claims: int) -> list[Row]:
    """A row a kind, over `claims` simulated ones; of counts exactly."""
    return [*_of_means(claims), *_of_counts()]


def _of_means(claims: int) -> list[Row]:
    random = np.random.default_rng(1)
    x_SN = random.standard_normal((claims, MOST))
    arms_ASN = random.standard_normal((3, claims, MOST)) + np.asarray([0.0, 1.0, 2.0])[:, None, None]
    steps = [arms_ASN[1] - arms_ASN[0], arms_ASN[2] - arms_ASN[1]]
    at_bound = [paths_above(step, 1.0) for step in steps]
    one_clear = [at_bound[0], paths_above(steps[1] + 8.0, 1.0)]
    cells_CSN = random.standard_normal((4, claims, MOST))
    interaction_SN = (cells_CSN[0] - cells_CSN[1]) - (cells_CSN[2] - cells_CSN[3])
    return [
        _row("`more`, `bound`", "the mean is the bound", paths_above(x_SN, 0.0)),
        _row("`interaction`", "the difference of differences is the bound", paths_above(interaction_SN, 0.0)),
        _row("`same`", "the mean is the margin, 1 sd", paths_within(x_SN + 1.0, 1.0)),
        _row("`same`", "the mean is the margin, 10 sd", paths_within(x_SN + 10.0, 10.0)),
        _row("`order` of three", "both steps are the bound", paths_of_all(at_bound)),
        _row("`order` of three", "one step is the bound, the other clear", paths_of_all(one_clear)),
    ]


def _of_counts() -> list[Row]:
    cases: list[tuple[CountKind, str, str, float, float]] = [
        ("majority", "`learns`, `chance`", "half of the runs learn", 0.5, 0.0),
        ("contrast", "`learns … unlike`", "half learn, of the other none", 0.5, 0.0),
        ("contrast", "`learns … unlike`", "all learn, of the other half", 1.0, 0.5),
        ("contrast", "`learns … unlike`", "half learn, of the other half", 0.5, 0.5),
        *(
            ("more_often", "`more_often`", f"{share:.0%} of both learn", share, share)
            for share in (0.05, 0.2, 0.5, 0.8, 0.95)
        ),
    ]
    rows: list[Row] = []
    for kind, name, truth, share, other in cases:
        power = power_of_counts(kind, share, FIRST, MOST, ALONE, other)
        rows.append({"kind": name, "truth": truth, "supported": power.supported, "refuted": power.refuted})
    return rows


def not_normal(claims: int) -> list[Row]:
    """`more` at the boundary where values are not normal, as they should be."""
    random = np.random.default_rng(2)
    shape = (claims, MOST)
    uniform = random.uniform(-1, 1, shape)
    heavy = random.standard_t(3, shape)
    skewed = random.gamma(4.0, 1.0, shape) - 4.0
    very_skewed = random.exponential(1.0, shape) - 1.0
    rows = [("uniform", uniform), ("Student's t, 3 degrees of freedom", heavy)]
    rows += [("gamma with shape 4: skewed (1.0)", skewed), ("exponential: very skewed (2.0)", very_skewed)]
    return [_row("`more`", truth, paths_above(x_SN, 0.0)) for truth, x_SN in rows]


def row_of(kind: str, truth: str, stops: Stops) -> Row:
    """Shares over simulated claims."""
    return {
        "kind": kind,
        "truth": truth,
        "supported": float(stops.is_supported_S.mean()),
        "refuted": float(stops.is_refuted_S.mean()),
    }


def _row(kind: str, truth: str, paths: Paths) -> Row:
    return row_of(kind, truth, stops_of(*paths, FIRST, ALONE))
