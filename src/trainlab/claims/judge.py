"""Expectations become findings, findings the verdict on a claim, claims the verdicts of a report.

A claim is a conjunction. It is supported where each of its expectations is at level α: the intersection-union
test needs no correction for their number (Berger 1982, Technometrics 24). It is refuted where one of them is
refuted, which Bonferroni corrects for. A second look, after seeds were added, doubles every p-value, so that
looking again is paid for. Over the claims of a report Holm's method keeps the chance of any false verdict; a
claim is either true or false, so that only one of its two verdicts can be, and the clearer one is what counts
(Shaffer 1980, Annals of Statistics 8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from trainlab.analysis.phase_diagram import PhasePoint
from trainlab.claims.expectations import (
    ApproxEqual,
    AtChance,
    Equivalent,
    Exact,
    GreaterBy,
    Interaction,
    Learns,
    Ordered,
    PhaseBoundary,
    Threshold,
)
from trainlab.stats import hypothesis_tests
from trainlab.stats.hypothesis_tests import OneSidedPValues, bonferroni

ALPHA = 0.05
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "not enough evidence"

SeedValues = Mapping[str, Mapping[int, float]]
"""A number for each arm and seed."""


@dataclass(frozen=True)
class ExpectationResult:
    """What came of one expectation.

    `estimate`, `low`, `high` (95% interval) and `bound` are of what was compared, in `unit`; None where the
    expectation is not about a mean. `n` seeds. `saw` tells it in words.
    """

    says: str
    kind: str
    verdict: str
    p_for: float
    p_against: float
    saw: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    unit: str = ""
    n: int = 0


def verdict_from_p_values(sides: OneSidedPValues, alpha: float = ALPHA) -> str:
    """Supported, refuted, or neither."""
    if sides.p_for <= alpha:
        return SUPPORTED
    return REFUTED if sides.p_against <= alpha else UNDECIDED


def judge_mean(expectation: Any, values: SeedValues, looks: int = 1) -> ExpectationResult:
    """One expectation on a mean over seeds, judged; `looks` is how often the claim may be judged in all."""
    contrasts, bound = build_contrasts(expectation, values)
    if len(contrasts[0]) < 2:
        saw = f"{len(contrasts[0])} seeds have a value in every arm"
        return ExpectationResult(expectation.says, expectation.kind, UNDECIDED, 1.0, 1.0, saw, bound=bound)
    method = expectation.interval
    if isinstance(expectation, Equivalent):
        sides = hypothesis_tests.equivalence_test(contrasts[0], bound, method)
    elif isinstance(expectation, Threshold) and expectation.at_most is not None:
        sides = OneSidedPValues(*reversed(hypothesis_tests.mean_test(contrasts[0], bound, method)))
    else:
        each = [hypothesis_tests.mean_test(contrast, bound, method) for contrast in contrasts]
        against = min(1.0, len(each) * min(side.p_against for side in each))
        sides = OneSidedPValues(max(side.p_for for side in each), against)
    sides = bonferroni(sides, looks)
    intervals = [hypothesis_tests.interval_of_mean(contrast, method) for contrast in contrasts]
    shown = min(intervals, key=lambda i: i.value or 0.0)  # of an order: the step that is least sure of itself
    unit = _contrast_unit(expectation)
    saw = "; ".join(_format_interval(i.value, i.low, i.high, unit) for i in intervals)
    return ExpectationResult(
        expectation.says, expectation.kind, verdict_from_p_values(sides), *sides, saw,
        shown.value, shown.low, shown.high, bound, unit, shown.n,
    )  # fmt: skip


def build_contrasts(expectation: Any, values: SeedValues) -> tuple[list[list[float]], float]:
    """What is tested, seed by seed (paired over the seeds that all arms have), and against which bound."""
    seeds = sorted(set.intersection(*(set(values[arm]) for arm in expectation.arms())))

    def of(arm: str) -> np.ndarray:
        return np.array([values[arm][seed] for seed in seeds])

    if isinstance(expectation, GreaterBy):
        return [(of(expectation.more) - of(expectation.than)).tolist()], expectation.by
    if isinstance(expectation, Equivalent):
        first, second = expectation.same
        return [(of(first) - of(second)).tolist()], expectation.within
    if isinstance(expectation, Ordered):
        pairs = zip(expectation.order, expectation.order[1:], strict=False)
        return [(of(high) - of(low)).tolist() for high, low in pairs], expectation.by
    if isinstance(expectation, Interaction):
        (a, b), (c, d) = expectation.pair, expectation.against
        return [(of(a) - of(b) - of(c) + of(d)).tolist()], expectation.by
    bound = expectation.at_least if expectation.at_least is not None else expectation.at_most
    return [of(expectation.arm).tolist()], bound


def judge_learning(
    expectation: Learns | AtChance, learned: Mapping[str, Mapping[int, bool]], looks: int = 1
) -> ExpectationResult:
    """One expectation on whether runs learn, judged by counts."""
    count, n = _count_learned(learned[expectation.arm])
    saw = f"{expectation.arm}: {count} of {n} learned"
    if isinstance(expectation, AtChance):
        sides = OneSidedPValues(*reversed(hypothesis_tests.majority_test(count, n)))
    elif expectation.unlike is None:
        sides = hypothesis_tests.majority_test(count, n)
    else:
        other, other_n = _count_learned(learned[expectation.unlike])
        sides = hypothesis_tests.contrast_test(count, n, other, other_n)
        saw += f"; {expectation.unlike}: {other} of {other_n}"
    sides = bonferroni(sides, looks)
    return ExpectationResult(
        expectation.says, expectation.kind, verdict_from_p_values(sides), *sides, saw, n=n
    )


def judge_approx_equal(
    expectation: ApproxEqual, values: Mapping[str, Sequence[float]], looks: int = 1
) -> ExpectationResult:
    """Numbers that are near their own, judged layer by layer; `values` over seeds, by layer of `wanted`.

    All must hold, so that the largest p-value is for it; against it, the least, times their number.
    """
    says, kind = expectation.says, expectation.kind
    off = {
        layer: [value / wanted - 1 for value in values[layer]] for layer, wanted in expectation.wanted.items()
    }
    if min(map(len, off.values())) < 2:
        return ExpectationResult(says, kind, UNDECIDED, 1.0, 1.0, "fewer than 2 seeds have a value")
    each = [
        hypothesis_tests.equivalence_test(shares, expectation.within, expectation.interval)
        for shares in off.values()
    ]
    against = min(1.0, len(each) * min(side.p_against for side in each))
    sides = bonferroni(OneSidedPValues(max(side.p_for for side in each), against), looks)
    saw = ", ".join(
        f"{_layer_prefix(layer)}"
        f"{format_in_unit(sum(values[layer]) / len(values[layer]), expectation.of.unit())} "
        f"({format_in_unit(wanted, expectation.of.unit())})"
        for layer, wanted in expectation.wanted.items()
    )
    intervals = [
        hypothesis_tests.interval_of_mean([100 * x for x in shares], expectation.interval)
        for shares in off.values()
    ]
    worst = max(intervals, key=lambda i: abs(i.value or 0.0))
    saw += f"; off by {_format_interval(worst.value, worst.low, worst.high, '%')} at most"
    return ExpectationResult(
        says, kind, verdict_from_p_values(sides), *sides, saw,
        worst.value, worst.low, worst.high, 100 * expectation.within, "%", worst.n,
    )  # fmt: skip


def judge_phase_boundary(
    expectation: PhaseBoundary, values: Sequence[float], looks: int = 1
) -> ExpectationResult:
    """How well theory's boundary agrees with what learned, a number a seed."""
    sides = bonferroni(hypothesis_tests.mean_test(values, expectation.at_least, expectation.interval), looks)
    interval = hypothesis_tests.interval_of_mean(values, expectation.interval)
    unit = "share" if expectation.measure == "agreement" else ""
    return ExpectationResult(
        expectation.says, expectation.kind, verdict_from_p_values(sides), *sides,
        _format_interval(interval.value, interval.low, interval.high, unit),
        interval.value, interval.low, interval.high, expectation.at_least, unit, interval.n,
    )  # fmt: skip


def judge_exact(expectation: Exact, value: Any) -> ExpectationResult:
    """A fact, which is so or not."""
    holds = _matches(value, expectation.equals, expectation.within)
    sides = OneSidedPValues(0.0, 1.0) if holds else OneSidedPValues(1.0, 0.0)
    saw = (
        f"{_format_fact(value)}"
        if holds
        else f"{_format_fact(value)}, expected {_format_fact(expectation.equals)}"
    )
    return ExpectationResult(expectation.says, expectation.kind, verdict_from_p_values(sides), *sides, saw)


def claim_p_values(findings: Sequence[ExpectationResult]) -> OneSidedPValues:
    """The p-values of a claim: all of its expectations hold, or one of them does not."""
    p_against = min(1.0, len(findings) * min(finding.p_against for finding in findings))
    return OneSidedPValues(max(finding.p_for for finding in findings), p_against)


def adjusted_verdicts(
    claims: Mapping[str, OneSidedPValues], alpha: float = ALPHA
) -> dict[str, tuple[str, float]]:
    """Verdict and adjusted p-value of each claim of a report: Holm over the p-value of its clearer side."""
    adjusted = hypothesis_tests.holm_adjust([min(sides) for sides in claims.values()])
    verdicts = {}
    for (name, sides), p in zip(claims.items(), adjusted, strict=True):
        side = SUPPORTED if sides.p_for <= sides.p_against else REFUTED
        verdicts[name] = (side if p <= alpha else UNDECIDED, p)
    return verdicts


def _layer_prefix(layer: str) -> str:
    return f"{layer} " if layer else ""


def _contrast_unit(expectation: Any) -> str:
    """Shares are percentages; their differences are percentage points."""
    unit = expectation.of.unit()
    return "points" if unit == "share" and not isinstance(expectation, Threshold) else unit


def _count_learned(learned: Mapping[int, bool]) -> tuple[int, int]:
    return sum(learned.values()), len(learned)


def _matches(value: Any, expected: Any, within: float) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _matches(value[name], part, within) for name, part in expected.items()
        )
    if isinstance(expected, list):
        return list(value) == expected
    return abs(value - expected) <= within


def _format_fact(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_format_fact(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _format_interval(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """`4.31 points (2.10 … 6.52)`."""
    if value is None or low is None or high is None:
        return format_in_unit(value, unit)
    bounds = (format_in_unit(bound, unit).split(" ")[0] for bound in (low, high))
    return f"{format_in_unit(value, unit)} ({' … '.join(bounds)})"


def format_in_unit(value: float | None, unit: str) -> str:
    """A number in its unit: shares as percentages or percentage points, decades with their name."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit == "points":
        return f"{100 * value:.2f} points"
    return f"{value:.3g} {unit}".strip()


def phase_boundary_by_seed(expectation: PhaseBoundary, places: Sequence[PhasePoint]) -> list[float]:
    """The expectation's measure of each seed's cells, in the order of the seeds."""
    seeds = sorted({place.seed for place in places})
    of_seed = [[place for place in places if place.seed == seed] for seed in seeds]
    if expectation.measure == "agreement":
        return [theory_balanced_accuracy(cells, expectation.rule) for cells in of_seed]
    return [depth_rank_correlation(cells) for cells in of_seed]


def theory_balanced_accuracy(places: Sequence[PhasePoint], rule: float) -> float:
    """Of the runs that learned the share with depth ≤ rule · ξ, of the others that with more; their mean.

    A half is what guessing gives, and what a diagram gives in which all or none learned.
    """
    said = np.array([place.depth <= rule * (place.xi or 0.0) for place in places], dtype=bool)
    learned = np.array([place.learned for place in places], dtype=bool)
    if learned.all() or not learned.any():
        return 0.5
    return float((said[learned].mean() + (~said[~learned]).mean()) / 2)


def depth_rank_correlation(places: Sequence[PhasePoint]) -> float:
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
