"""Runs that learn or do not: what a test of means makes of them, and what the rule of claims does.

The rule: a mean is over runs of one outcome. As soon as an arm has runs that learned and runs that did not,
its mean is tested no more (both e-values are 1) and its counts are shown. Legend: S claims, N seeds.
"""

from typing import TypedDict

import numpy as np
from scipy import stats

from experiments.statistics.boundary import ALONE, FIRST, MOST, Paths, paths_above
from trainlab.stats.power import Stops, power_of_counts, stops_of

LEARNED, FAILED, SD = 0.9, 0.1, 0.02
"""Accuracy of runs that learned, of those that did not, and its sd over seeds."""

FIXED_SEEDS = 5


class MixtureRow(TypedDict):
    """Wrong verdicts: by a fixed t test of all runs, by an e-process of all runs, by the rule."""

    truth: str
    fixed_t: float | None
    all_runs: float | None
    rule: float


def wrong_verdicts_of_mixtures(claims: int) -> list[MixtureRow]:
    """The larger of the shares supported and refuted, of claims that are at the boundary.

    The two tests are asked the mean over both outcomes, and that is the bound; the rule is asked the mean of
    runs that learned, and that is the bound.
    """
    random = np.random.default_rng(3)
    rows: list[MixtureRow] = []
    for share in (0.95, 0.9, 0.8, 0.5):
        learned_SN = random.random((claims, MOST)) < share
        x_SN = np.where(learned_SN, LEARNED, FAILED) + SD * random.standard_normal((claims, MOST))
        mean = share * LEARNED + (1 - share) * FAILED
        one_outcome_SN = _until_mixed(learned_SN)
        of_learned = _asked_only(one_outcome_SN & learned_SN, paths_above(x_SN, LEARNED))
        rows.append(
            {
                "truth": f"{share:.0%} of runs learn; the mean is the bound",
                "fixed_t": _fixed_t(x_SN[:, :FIXED_SEEDS], mean),
                "all_runs": _worse_side(stops_of(*paths_above(x_SN, mean), FIRST, ALONE)),
                "rule": _worse_side(stops_of(*of_learned, FIRST, ALONE)),
            }
        )
    half = power_of_counts("contrast", 0.5, FIRST, MOST, ALONE, other=0.0)
    rows.append(
        {
            "truth": "half of A's runs learn, none of B's; “A learns, B does not”",
            "fixed_t": None,
            "all_runs": None,
            "rule": max(half.supported, half.refuted),
        }
    )
    return rows


class MeaningRow(TypedDict):
    """Shares of claims with a verdict by the rule, and with one that is wrong of its own runs."""

    truth: str
    decided: float
    wrong: float


def meaning_of_the_rule(claims: int) -> list[MeaningRow]:
    """Where the mean over all runs is the bound and that of runs of one outcome is not.

    No verdict on the mean over all runs would be right; one by the rule is about runs of one outcome.
    """
    random = np.random.default_rng(4)
    rows: list[MeaningRow] = []
    for share in (0.95, 0.9, 0.8, 0.1):
        learned_SN = random.random((claims, MOST)) < share
        x_SN = np.where(learned_SN, LEARNED, FAILED) + SD * random.standard_normal((claims, MOST))
        paths = paths_above(x_SN, share * LEARNED + (1 - share) * FAILED)
        stops = stops_of(*_asked_only(_until_mixed(learned_SN), paths), FIRST, ALONE)
        has_learned_S = learned_SN[:, 0]  # a claim is decided only while all its runs have one outcome
        wrong_S = np.where(has_learned_S, stops.is_refuted_S, stops.is_supported_S)
        decided_S = stops.is_supported_S | stops.is_refuted_S
        rows.append(
            {
                "truth": f"{share:.0%} of runs learn",
                "decided": float(decided_S.mean()),
                "wrong": float(wrong_S.mean()),
            }
        )
    return rows


def _until_mixed(learned_SN: np.ndarray) -> np.ndarray:
    """Where all runs so far have one outcome."""
    n_N, count_SN = np.arange(1, learned_SN.shape[1] + 1), learned_SN.cumsum(axis=1)
    return (count_SN == 0) | (count_SN == n_N)


def _asked_only(asked_SN: np.ndarray, paths: Paths) -> Paths:
    return Paths(np.where(asked_SN, paths.e_for_SN, 1.0), np.where(asked_SN, paths.e_against_SN, 1.0))


def _fixed_t(x_SN: np.ndarray, bound: float) -> float:
    p_S = stats.ttest_1samp(x_SN, bound, axis=1, alternative="greater").pvalue
    return float(max(np.mean(p_S <= 0.05), np.mean(p_S >= 0.95)))


def _worse_side(stops: Stops) -> float:
    return float(max(stops.is_supported_S.mean(), stops.is_refuted_S.mean()))
