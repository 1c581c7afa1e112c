"""Expectations are judged one by one, then each claim as a whole, then all claims of a report together.

A claim is a conjunction. It is supported where each of its expectations is at level α: the intersection-union
test needs no correction for their number (Berger 1982, Technometrics 24). It is refuted where one of them is
refuted, which Bonferroni corrects for. A second analysis, after seeds were added, doubles every p-value
(Bonferroni over the interim analyses). Over the claims of a report Holm's method keeps the chance of any
false verdict; a claim is either true or false, so that only one of its two verdicts can be, and the clearer
one is what counts (Shaffer 1980, Annals of Statistics 8).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trainlab.analysis.phase_diagram import PhasePoint
from trainlab.claims.expectations import (
    ApproxEqual,
    AtChance,
    Contrast,
    Equivalent,
    Exact,
    GreaterBy,
    Interaction,
    Learns,
    LearnsMoreOften,
    Ordered,
    PhaseBoundary,
    Threshold,
)
from trainlab.stats.hypothesis_tests import (
    OneSidedPValues,
    all_hold,
    bonferroni,
    contrast_test,
    equivalence_test,
    holm_adjust,
    majority_test,
    mean_test,
)
from trainlab.stats.intervals import Interval, mean_interval

ALPHA = 0.05
SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "not enough evidence"

SeedValues = Mapping[str, Mapping[int, float]]
"""A number for each arm and seed."""

Fact = float | Sequence[int] | Mapping[str, "Fact"]
"""A number, a shape, or one of these for each of some layers."""


@dataclass(frozen=True)
class ExpectationResult:
    """What came of one expectation.

    `estimate`, `low`, `high` (95% interval) and `bound` are of what was compared, in `unit`; None where the
    expectation is not about a mean. `n` seeds. `observed` is the outcome in words.
    """

    description: str
    kind: str
    verdict: str
    p_for: float
    p_against: float
    observed: str
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    unit: str = ""
    n: int = 0


class AdjustedVerdict(NamedTuple):
    """The verdict on a claim among others, and its p-value, adjusted for their number."""

    verdict: str
    p_value: float


def verdict_from_p_values(p_values: OneSidedPValues, alpha: float = ALPHA) -> str:
    """Supported, refuted, or neither."""
    if p_values.p_for <= alpha:
        return SUPPORTED
    return REFUTED if p_values.p_against <= alpha else UNDECIDED


def judge_mean(expectation: Contrast, values: SeedValues, analyses: int = 1) -> ExpectationResult:
    """One expectation on a mean over seeds; `analyses` is how often the claim may be judged in all."""
    contrasts, bound = build_contrasts(expectation, values)
    if len(contrasts[0]) < 2:
        observed = f"{len(contrasts[0])} seeds have a value in every arm"
        return ExpectationResult(
            expectation.description, expectation.kind, UNDECIDED, 1.0, 1.0, observed, bound=bound
        )
    if not np.isfinite(contrasts).all():
        observed = _format_without_mean(contrasts)
        return ExpectationResult(
            expectation.description, expectation.kind, UNDECIDED, 1.0, 1.0, observed, bound=bound
        )
    if isinstance(expectation, Equivalent):
        p_values = equivalence_test(contrasts[0], bound)
    elif isinstance(expectation, Threshold) and expectation.at_most is not None:
        p_values = mean_test(contrasts[0], bound).reversed()
    else:
        p_values = all_hold([mean_test(contrast, bound) for contrast in contrasts])
    p_values = bonferroni(p_values, analyses)
    intervals = [mean_interval(contrast) for contrast in contrasts]
    shown = min(intervals, key=lambda i: i.value or 0.0)  # of an order: the step that is least certain
    unit = _contrast_unit(expectation)
    observed = "; ".join(_format_interval(interval, unit) for interval in intervals)
    return ExpectationResult(
        expectation.description, expectation.kind, verdict_from_p_values(p_values), *p_values, observed,
        shown.value, shown.low, shown.high, bound, unit, shown.n,
    )  # fmt: skip


def build_contrasts(expectation: Contrast, values: SeedValues) -> tuple[list[list[float]], float]:
    """What is tested, seed by seed (paired over the seeds that all arms have), and against which bound."""
    seeds = sorted(set.intersection(*(set(values[arm]) for arm in expectation.arms())))

    def values_of(arm: str) -> np.ndarray:
        return np.array([values[arm][seed] for seed in seeds])

    match expectation:
        case GreaterBy():
            return [(values_of(expectation.more) - values_of(expectation.than)).tolist()], expectation.by
        case Equivalent():
            first, second = expectation.same
            return [(values_of(first) - values_of(second)).tolist()], expectation.within
        case Ordered():
            pairs = itertools.pairwise(expectation.order)
            return [(values_of(high) - values_of(low)).tolist() for high, low in pairs], expectation.by
        case Interaction():
            a, b, c, d = (values_of(arm) for arm in expectation.arms())
            return [(a - b - c + d).tolist()], expectation.by
        case Threshold():
            bound = expectation.at_most if expectation.at_least is None else expectation.at_least
            return [values_of(expectation.arm).tolist()], bound or 0.0


def judge_learning(
    expectation: Learns | LearnsMoreOften | AtChance,
    learned: Mapping[str, Mapping[int, bool]],
    analyses: int = 1,
) -> ExpectationResult:
    """One expectation on whether runs learn, judged by counts."""
    count, n = _count_learned(learned[expectation.arm])
    observed = f"{expectation.arm}: {count} of {n} learned"
    if isinstance(expectation, AtChance):
        p_values = majority_test(count, n).reversed()
    elif isinstance(expectation, Learns) and expectation.unlike is None:
        p_values = majority_test(count, n)
    else:
        arm = expectation.arms()[1]
        other, other_n = _count_learned(learned[arm])
        p_values = contrast_test(count, n, other, other_n)
        observed += f"; {arm}: {other} of {other_n}"
    p_values = bonferroni(p_values, analyses)
    verdict = verdict_from_p_values(p_values)
    return ExpectationResult(expectation.description, expectation.kind, verdict, *p_values, observed, n=n)


def judge_approx_equal(
    expectation: ApproxEqual, values: Mapping[str, Sequence[float]], analyses: int = 1
) -> ExpectationResult:
    """Numbers that should be near their targets, judged layer by layer; `values` over seeds, by layer."""
    description, kind = expectation.description, expectation.kind
    targets, unit = expectation.targets, expectation.of.unit()
    relative_errors = {
        layer: [value / target - 1 for value in values[layer]] for layer, target in targets.items()
    }
    if min(map(len, relative_errors.values())) < 2:
        return ExpectationResult(description, kind, UNDECIDED, 1.0, 1.0, "fewer than 2 seeds have a value")
    if not np.isfinite(list(relative_errors.values())).all():
        observed = _format_without_mean(list(relative_errors.values()))
        return ExpectationResult(description, kind, UNDECIDED, 1.0, 1.0, observed)
    tests = [equivalence_test(errors, expectation.within) for errors in relative_errors.values()]
    p_values = bonferroni(all_hold(tests), analyses)
    observed = ", ".join(
        f"{_layer_prefix(layer)}{format_in_unit(sum(values[layer]) / len(values[layer]), unit)} "
        f"({format_in_unit(target, unit)})"
        for layer, target in targets.items()
    )
    intervals = [mean_interval([100 * error for error in errors]) for errors in relative_errors.values()]
    worst = max(intervals, key=lambda interval: abs(interval.value or 0.0))
    observed += f"; off by {_format_interval(worst, '%')} at most"
    return ExpectationResult(
        description, kind, verdict_from_p_values(p_values), *p_values, observed,
        worst.value, worst.low, worst.high, 100 * expectation.within, "%", worst.n,
    )  # fmt: skip


def judge_phase_boundary(
    expectation: PhaseBoundary, values: Sequence[float], analyses: int = 1
) -> ExpectationResult:
    """How well theory's boundary agrees with what learned, a number a seed."""
    p_values = bonferroni(mean_test(values, expectation.at_least), analyses)
    interval = mean_interval(values)
    unit = "share" if expectation.measure == "agreement" else ""
    return ExpectationResult(
        expectation.description, expectation.kind, verdict_from_p_values(p_values), *p_values,
        _format_interval(interval, unit),
        interval.value, interval.low, interval.high, expectation.at_least, unit, interval.n,
    )  # fmt: skip


def judge_exact(expectation: Exact, value: Fact) -> ExpectationResult:
    """A counted fact: equal to what the claim says, or not."""
    is_equal = _matches(value, expectation.equals, expectation.within)
    p_values = OneSidedPValues(0.0, 1.0) if is_equal else OneSidedPValues(1.0, 0.0)
    observed = _format_fact(value)
    if not is_equal:
        observed += f", expected {_format_fact(expectation.equals)}"
    return ExpectationResult(
        expectation.description, expectation.kind, verdict_from_p_values(p_values), *p_values, observed
    )


def claim_p_values(results: Sequence[ExpectationResult]) -> OneSidedPValues:
    """The p-values of a claim: all of its expectations hold, or one of them does not."""
    return all_hold([OneSidedPValues(result.p_for, result.p_against) for result in results])


def adjusted_verdicts(
    claims: Mapping[str, OneSidedPValues], alpha: float = ALPHA
) -> dict[str, AdjustedVerdict]:
    """The verdict on each claim of a report: Holm's method over the p-value of its clearer side."""
    adjusted = holm_adjust([min(p_values) for p_values in claims.values()])
    verdicts = {}
    for (name, p_values), p in zip(claims.items(), adjusted, strict=True):
        likelier_verdict = SUPPORTED if p_values.p_for <= p_values.p_against else REFUTED
        verdicts[name] = AdjustedVerdict(likelier_verdict if p <= alpha else UNDECIDED, p)
    return verdicts


def _format_without_mean(values: Sequence[Sequence[float]]) -> str:
    """How many seeds have a worst value that is no finite number, so that there is no mean to test."""
    seeds = len(values[0])
    without = int((~np.isfinite(values)).any(axis=0).sum())
    return f"{without} of {seeds} seeds have no finite value: there is no mean to test"


def _layer_prefix(layer: str) -> str:
    return f"{layer} " if layer else ""


def _contrast_unit(expectation: Contrast) -> str:
    """Shares are percentages; their differences are percentage points."""
    unit = expectation.of.unit()
    return "points" if unit == "share" and not isinstance(expectation, Threshold) else unit


def _count_learned(learned: Mapping[int, bool]) -> tuple[int, int]:
    return sum(learned.values()), len(learned)


def _matches(value: object, expected: object, within: float) -> bool:
    if isinstance(expected, Mapping):
        return isinstance(value, Mapping) and all(
            name in value and _matches(value[name], part, within) for name, part in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(value, list | tuple) and list(value) == expected
    return (
        isinstance(value, int | float)
        and isinstance(expected, int | float)
        and abs(value - expected) <= within
    )


def _format_fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_format_fact(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return " × ".join(map(str, value))
    return (
        f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _format_interval(interval: Interval, unit: str) -> str:
    """`4.31 points (2.10 … 6.52)`."""
    text = format_in_unit(interval.value, unit)
    if interval.value is None or interval.low is None or interval.high is None:
        return text
    low, high = (format_in_unit(bound, unit).split(" ")[0] for bound in (interval.low, interval.high))
    return f"{text} ({low} … {high})"


def format_in_unit(value: float | None, unit: str) -> str:
    """A number in its unit: shares as percentages or percentage points, decades with their name."""
    if value is None:
        return "–"
    if unit == "share":
        return f"{100 * value:.2f} %"
    if unit == "points":
        return f"{100 * value:.2f} points"
    return f"{value:.3g} {unit}".strip()


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
