"""Scale against depth: the outcome of each run, what theory and forecast predicted, how often each was right.

The rule of thumb of mean-field theory says that a network trains up to k ξ layers, ξ the depth over which it
forgets its input, k about 6 (Schoenholz et al. 2017, arXiv:1611.01232). Legend: R runs.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainlab.stats.intervals import Z_95, Interval, wilson_bounds

RULE_OF_THUMB = 6.0
LEARNED, AT_CHANCE, DIVERGED = "learned", "at chance", "diverged"
OUTCOMES = (LEARNED, AT_CHANCE, DIVERGED)


@dataclass(frozen=True)
class PhasePoint:
    """One run: its scale (σw², a gain, …), its depth and its outcome.

    xi: number of layers over which, by theory, it forgets its input; None where theory does not apply.
    learns: the forecast's probability; None without a forecast.
    """

    scale: float
    depth: int
    seed: int
    outcome: str
    xi: float | None = None
    learns: float | None = None

    @property
    def learned(self) -> bool:
        return self.outcome == LEARNED


@dataclass(frozen=True)
class PhaseDiagram:
    """All runs; `curve` is (scale, ξ) on a finer grid than that of the runs.

    scale: the setting that is the x axis. threshold: the probability below which a run is not expected to
    learn.
    """

    scale: str
    points: tuple[PhasePoint, ...]
    curve: tuple[tuple[float, float], ...] = ()
    threshold: float = 0.5


class DepthRule(NamedTuple):
    """`depth ≤ k ξ`: the k that agrees with most runs, between which others do as well, and how well."""

    constant: float
    low: float
    high: float
    agreement: Interval


def theory_agreement(diagram: PhaseDiagram, constant: float = RULE_OF_THUMB) -> Interval:
    """The share of runs for which `depth ≤ k ξ` predicts whether they learned, with its interval."""
    known = [point for point in diagram.points if point.xi is not None]
    return _agreement({p: (p.depth <= constant * (p.xi or 0.0)) == p.learned for p in known})


def forecast_agreement(diagram: PhaseDiagram) -> Interval:
    """The share of runs for which the forecast was right about learning, with its interval."""
    known = [point for point in diagram.points if point.learns is not None]
    return _agreement({p: ((p.learns or 0.0) >= diagram.threshold) == p.learned for p in known})


def _agreement(is_right: Mapping[PhasePoint, bool]) -> Interval:
    """The share that is right, with Wilson's interval for as many trials as there are settings.

    Seeds of a setting end alike more often than not: a prediction that is wrong of one is wrong of all, and
    counting each would make the interval too narrow. It is rather too wide where seeds differ.
    """
    if not is_right:
        return Interval(None, None, None, 0)
    share = sum(is_right.values()) / len(is_right)
    settings = len({(point.scale, point.depth) for point in is_right})
    low, high = wilson_bounds(share * settings, settings, Z_95)
    return Interval(share, max(0.0, low), min(1.0, high), len(is_right))


def fit_depth_rule(diagram: PhaseDiagram) -> DepthRule | None:
    """The constant that fits the runs best; None where all, or none, of them learned.

    `low` and `high` are the ends of what agrees with as many runs: no confidence interval, which a threshold
    fitted to some dozen settings has not. The constant is fitted on the runs that it is evaluated on: its
    agreement is the best that a rule of this form can reach.
    """
    known = [point for point in diagram.points if point.xi is not None]
    learned_R = np.array([point.learned for point in known], dtype=bool)
    if learned_R.all() or not learned_R.any():
        return None
    ratio_R = np.array([point.depth / max(point.xi or 0.0, 1e-9) for point in known])
    constant, low, high = _best_threshold(ratio_R, learned_R)
    return DepthRule(constant, low, high, theory_agreement(diagram, constant))


def _best_threshold(ratio_R: np.ndarray, learned_R: np.ndarray) -> tuple[float, float, float]:
    """The k for which `ratio ≤ k` is right for most runs: of all such k the middle, in logs, and the ends."""
    order = np.argsort(ratio_R, kind="stable")
    ratio_R, gain_R = ratio_R[order], np.where(learned_R, 1, -1)[order]
    last_of_equal_R = np.append(ratio_R[1:] > ratio_R[:-1], True)
    right_R = np.cumsum(gain_R)[last_of_equal_R]
    edges = np.maximum(ratio_R[last_of_equal_R], 1e-9)
    after = np.append(edges[1:], 2 * edges[-1])
    best = right_R == right_R.max()
    middles = (np.log(edges[best]) + np.log(after[best])) / 2
    constant = math.exp(float(middles[len(middles) // 2]))
    return constant, float(edges[best].min()), float(after[best].max())


def run_outcome(status: str, learned: bool | None) -> str | None:
    """The outcome of a run as the diagram shows it; None for a run without a result."""
    if status == "diverged":
        return DIVERGED
    if learned is None:
        return None
    return LEARNED if learned else AT_CHANCE


def format_agreement(interval: Interval) -> str:
    """`91 % (86 … 94) of 192 runs`."""
    if interval.value is None or interval.low is None or interval.high is None:
        return "none"
    return f"{interval.value:.0%} ({interval.low:.0%} to {interval.high:.0%}) of {interval.n} runs"


def scales_and_depths(points: Sequence[PhasePoint]) -> tuple[list[float], list[int]]:
    """The scales and the depths that were run, each in order."""
    return sorted({point.scale for point in points}), sorted({point.depth for point in points})
