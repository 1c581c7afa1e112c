"""Expectations are judged one by one, then each claim by its primary one, then all claims of a page together.

Evidence is counted in e-values (`stats.e_processes`), which may be looked at after every seed. An expectation
is decided at e ≥ 20, for it or against it: wrong at most once in twenty, however often one has looked. The
primary expectation makes the headline; the others are tested only where it is decided, and e-BH keeps the
share of wrong verdicts among them at 5%, as it does among the claims of a page. A fact is counted and holds
or does not hold: chance has no part in it, and it takes no part in corrections.

A mean is one of runs of one outcome: where some runs of an arm learned and others did not, the values are a
mixture of two distributions, for which no t test is valid; such an expectation stays undecided.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev
from typing import NamedTuple, Protocol, TypeVar

from trainlab.claims.contrasts import SeedValues, build_contrasts
from trainlab.claims.expectations import (
    ApproxEqual,
    AtChance,
    Contrast,
    Equivalent,
    Exact,
    Expectation,
    Learns,
    LearnsMoreOften,
    OneSided,
    PhaseBoundary,
    Threshold,
)
from trainlab.claims.spec import TESTABLE_SHARE
from trainlab.claims.untestable import (
    NO_OUTCOMES,
    Outcomes,
    SeedOutcomes,
    Untestable,
    count_outcomes,
    why_untestable,
)
from trainlab.claims.value_text import format_fact, format_in_unit, format_interval
from trainlab.stats.e_processes import (
    ALPHA,
    NO_EVIDENCE,
    EValues,
    all_hold_e_values,
    contrast_e_values,
    e_bh,
    equivalence_e_values,
    majority_e_values,
    mean_confidence_sequence,
    mean_e_values,
    more_often_e_values,
)
from trainlab.stats.intervals import Interval

SUPPORTED, REFUTED, UNDECIDED = "supported", "refuted", "not enough evidence"
NOT_TESTABLE = "not testable at this budget"
HOLDS, DOES_NOT_HOLD = "holds", "does not hold"
NOT_TESTED = "not tested"
"""Of a secondary expectation whose claim's primary one is not decided."""
OUTDATED = "not run with this version"
"""Of a record of before there were e-values."""

DECIDED_E = 1 / ALPHA
"""Evidence that decides a claim by itself."""
STOP_E = 2 / ALPHA
"""Evidence at which no more seeds are run: enough on a page of which half the claims are decided."""
INTERVAL_LEVEL = 1 - 2 * ALPHA
"""Of the interval that belongs to two one-sided tests at ALPHA each."""

Name = TypeVar("Name", str, int)
"""Of what is judged together: a claim's, or the place of an expectation."""

Fact = float | Sequence[int] | Mapping[str, "Fact"]
"""A number, a shape, or one of these for each of some layers."""


@dataclass(frozen=True)
class ExpectationResult:
    """What came of one expectation.

    `e_for` and `e_against` are None of facts. `estimate`, `low`, `high` (anytime-valid interval) and `bound`
    are of what was compared, in `unit`, `sd` its deviation over seeds; None where the expectation is not
    about a mean. `n` seeds. `observed` is the outcome in words; `reason`: why it is not tested, where there
    is one; `is_final`: no further seed can change that.
    """

    description: str
    kind: str
    verdict: str
    observed: str
    primary: bool = False
    e_for: float | None = None
    e_against: float | None = None
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float | None = None
    unit: str = ""
    n: int = 0
    reason: str = ""
    is_final: bool = False
    sd: float | None = None

    @property
    def is_fact(self) -> bool:
        """Whether it was counted and not tested."""
        return self.kind == "exact"

    @property
    def is_decided(self) -> bool:
        """Whether it was tested, and came out for or against."""
        return self.verdict in (SUPPORTED, REFUTED)


class ClaimVerdict(NamedTuple):
    """The verdict on a claim by itself; its e-values are those of the primary expectation, None of facts."""

    verdict: str
    e_for: float | None = None
    e_against: float | None = None
    reason: str = ""


class JudgedClaim(Protocol):
    """What a page needs of a claim's record."""

    @property
    def verdict(self) -> str: ...
    @property
    def e_for(self) -> float | None: ...
    @property
    def e_against(self) -> float | None: ...
    @property
    def reason(self) -> str: ...


class PageVerdict(NamedTuple):
    """The verdict on a claim among the others of its page, and the e-value of its clearer side, if any."""

    verdict: str
    e_value: float | None


def verdict_from_e_values(e_values: EValues) -> str:
    """Supported, refuted, or neither."""
    if e_values.e_for >= DECIDED_E:
        return SUPPORTED
    return REFUTED if e_values.e_against >= DECIDED_E else UNDECIDED


def judge_mean(
    expectation: Contrast, values: SeedValues, outcomes: Outcomes = NO_OUTCOMES
) -> ExpectationResult:
    """One expectation on a mean over seeds. `outcomes`: of the runs, where values depend on them."""
    contrasts, bound = build_contrasts(expectation, values)
    unit = _contrast_unit(expectation)
    if why := why_untestable(contrasts, expectation.arms(), outcomes):
        return withheld(expectation, why, bound=bound, unit=unit, n=len(contrasts[0]))
    if isinstance(expectation, Equivalent):
        e_values = equivalence_e_values(contrasts[0], bound)
    elif isinstance(expectation, OneSided) and expectation.at_most is not None:
        e_values = mean_e_values(contrasts[0], bound).reversed()
    else:
        e_values = all_hold_e_values([mean_e_values(contrast, bound) for contrast in contrasts])
    intervals = [mean_confidence_sequence(contrast, INTERVAL_LEVEL) for contrast in contrasts]
    shown = min(intervals, key=lambda i: i.value or 0.0)  # of an order: the step that is least certain
    observed = "; ".join(format_interval(interval, unit) for interval in intervals)
    result = _result(expectation, e_values, observed, shown, bound, unit)
    shown_contrast = contrasts[intervals.index(shown)]
    return replace(result, sd=stdev(shown_contrast)) if len(shown_contrast) > 1 else result


def judge_learning(
    expectation: Learns | LearnsMoreOften | AtChance, learned: SeedOutcomes
) -> ExpectationResult:
    """One expectation on whether runs learn, judged by counts."""
    count, n = count_outcomes(learned[expectation.arm])
    observed = f"{expectation.arm}: {count} of {n} learned"
    for arm in expectation.arms()[1:]:
        other, other_n = count_outcomes(learned[arm])
        observed += f"; {arm}: {other} of {other_n}"
    match expectation:
        case AtChance():
            e_values = majority_e_values(count, n).reversed()
        case LearnsMoreOften():
            seeds = sorted(set(learned[expectation.arm]) & set(learned[expectation.than]))
            pairs = [[learned[arm][seed] for seed in seeds] for arm in expectation.arms()]
            e_values = more_often_e_values(*pairs)
        case Learns() if expectation.unlike is None:
            e_values = majority_e_values(count, n)
        case Learns():
            e_values = contrast_e_values(count, n, *count_outcomes(learned[expectation.arms()[1]]))
    return _result(expectation, e_values, observed, Interval(None, None, None, n))


def judge_approx_equal(
    expectation: ApproxEqual, values: Mapping[str, Sequence[float]], outcomes: Outcomes = NO_OUTCOMES
) -> ExpectationResult:
    """Numbers that should be near their targets, judged layer by layer; `values` over seeds, by layer."""
    targets, unit = expectation.targets, expectation.of.unit()
    relative_errors = {
        layer: [value / target - 1 for value in values[layer]] for layer, target in targets.items()
    }
    errors = list(relative_errors.values())
    bound, n = 100 * expectation.within, min(map(len, errors))
    if why := why_untestable(errors, expectation.arms(), outcomes):
        return withheld(expectation, why, bound=bound, unit="%", n=n)
    e_values = all_hold_e_values([equivalence_e_values(one, expectation.within) for one in errors])
    observed = "; ".join(
        f"{_layer_prefix(layer)}{format_in_unit(sum(values[layer]) / len(values[layer]), unit)}, "
        f"expected {format_in_unit(target, unit)}"
        for layer, target in targets.items()
    )
    intervals = [mean_confidence_sequence([100 * error for error in one], INTERVAL_LEVEL) for one in errors]
    worst = max(intervals, key=lambda interval: abs(interval.value or 0.0))
    observed += f"; {'off' if len(errors) == 1 else 'the worst is off'} by {format_interval(worst, '%')}"
    return _result(expectation, e_values, observed, worst, bound, "%")


def judge_phase_boundary(expectation: PhaseBoundary, values: Sequence[float]) -> ExpectationResult:
    """How well theory's boundary agrees with what learned, a number a seed (or a scale)."""
    unit = {"agreement": "share", "advantage": "points"}.get(expectation.measure, "")
    if why := why_untestable([values], [], NO_OUTCOMES):
        return withheld(expectation, why, bound=expectation.at_least, unit=unit, n=len(values))
    interval = mean_confidence_sequence(values, INTERVAL_LEVEL)
    e_values = mean_e_values(values, expectation.at_least)
    return _result(
        expectation, e_values, format_interval(interval, unit), interval, expectation.at_least, unit
    )


def judge_exact(expectation: Exact, value: Fact) -> ExpectationResult:
    """A counted fact: equal to what the claim says, or not."""
    is_equal = _matches(value, expectation.equals, expectation.within)
    observed = format_fact(value)
    if not is_equal:
        observed += f", expected {format_fact(expectation.equals)}"
    verdict = HOLDS if is_equal else DOES_NOT_HOLD
    return ExpectationResult(expectation.description, expectation.kind, verdict, observed)


def withheld(
    expectation: Expectation, why: Untestable, bound: float | None = None, unit: str = "", n: int = 0
) -> ExpectationResult:
    """The result of an expectation that cannot be tested on what there is."""
    return ExpectationResult(
        expectation.description, expectation.kind, UNDECIDED, why.reason, expectation.primary, *NO_EVIDENCE,
        bound=bound, unit=unit, n=n, reason=why.reason, is_final=why.is_final,
    )  # fmt: skip


def _result(
    expectation: Expectation,
    e_values: EValues,
    observed: str,
    interval: Interval,
    bound: float | None = None,
    unit: str = "",
) -> ExpectationResult:
    return ExpectationResult(
        expectation.description, expectation.kind, verdict_from_e_values(e_values), observed,
        expectation.primary, *e_values, interval.value, interval.low, interval.high, bound, unit, interval.n,
    )  # fmt: skip


def claim_verdict(results: Sequence[ExpectationResult]) -> ClaimVerdict:
    """The verdict on a claim by itself: that of its primary expectation, or of all its facts."""
    primary = next((result for result in results if result.primary), None)
    if primary is None:
        return ClaimVerdict(HOLDS if all(r.verdict == HOLDS for r in results) else DOES_NOT_HOLD)
    return ClaimVerdict(primary.verdict, primary.e_for, primary.e_against, primary.reason)


def at_budget(
    result: ExpectationResult, expectation: Expectation, steps: int | None, source_steps: int | None
) -> ExpectationResult:
    """The result of runs of so many steps; not testable where it rests on what may yet happen.

    Under a tenth of the source's steps, that something did not happen says nothing of the source.
    """
    if not (is_far_below(steps, source_steps) and _rests_on_nothing_happening(expectation, result.verdict)):
        return result
    reason = f"{steps or 0:,} steps, where the source has {source_steps:,}"
    return replace(result, verdict=NOT_TESTABLE, reason=reason)


def _rests_on_nothing_happening(expectation: Expectation, verdict: str) -> bool:
    """Whether more steps might change a verdict: one run that learns refutes that all stay at chance, for
    good; that none has learned yet supports it for now only."""
    match expectation:
        case AtChance() | Equivalent():
            return verdict == SUPPORTED
        case Learns(unlike=str()):
            return verdict in (SUPPORTED, REFUTED)
        case Threshold(at_most=float()):
            return False
        case _:
            return verdict == REFUTED


def is_far_below(steps: int | None, source_steps: int | None) -> bool:
    """Whether runs of so many steps say nothing of a source that has so many."""
    return steps is not None and source_steps is not None and steps < TESTABLE_SHARE * source_steps


def stopped_early(results: Sequence[ExpectationResult], seeds: int, most: int) -> list[ExpectationResult]:
    """The results after `seeds` of `most`; the primary one says so where more could not make it testable."""
    why = f"stopped after {seeds} of {most} seeds, since no further one can change that"
    is_early = seeds < most
    return [
        replace(one, reason=f"{one.reason}; {why}") if is_early and one.primary and one.is_final else one
        for one in results
    ]


def after_primary(results: Sequence[ExpectationResult]) -> list[ExpectationResult]:
    """The results in which secondary expectations are tested only where the primary one is decided, and
    then together (e-BH).

    The gate costs nothing: an e-value that counts as 0 where the primary one is not decided is still one.
    That seeds stop by the primary one's evidence is no matter to the others at 20 : 1 each, which holds at
    every look. Their mean of at most 1, which e-BH needs, is proved of a t e-process for rules that look at
    its own values; simulated with values that depend on those of the primary one, it holds here as well.
    """
    secondary = {
        index: result for index, result in enumerate(results) if not result.primary and not result.is_fact
    }
    if any(result.primary and result.is_decided for result in results):
        verdicts = {index: found.verdict for index, found in page_verdicts(secondary).items()}
    else:
        verdicts = dict.fromkeys(secondary, NOT_TESTED)
    return [
        replace(result, verdict=verdicts.get(index, result.verdict)) for index, result in enumerate(results)
    ]


def page_verdicts(claims: Mapping[Name, JudgedClaim], alpha: float = ALPHA) -> dict[Name, PageVerdict]:
    """The verdict on each claim of a page: e-BH over the e-values of their clearer sides.

    Of each claim one of the two sides is false, so that there are as many false hypotheses as claims, and a
    wrong verdict is an e-value of a false side that reached m/(αk): of k verdicts αk are wrong at most, on
    average. Facts take no part; a verdict that is withheld counts as no evidence.
    """
    tested = {
        name: (e_for, e_against)
        for name, claim in claims.items()
        if (e_for := claim.e_for) is not None and (e_against := claim.e_against) is not None
    }
    clearest = [0.0 if claims[name].reason else max(sides) for name, sides in tested.items()]
    verdicts = {
        name: PageVerdict(OUTDATED if is_outdated(claim) else claim.verdict, None)
        for name, claim in claims.items()
    }
    for (name, sides), is_accepted in zip(tested.items(), e_bh(clearest, alpha), strict=True):
        verdict = claims[name].verdict
        if not claims[name].reason:
            clearer = SUPPORTED if sides[0] >= sides[1] else REFUTED
            verdict = clearer if is_accepted else UNDECIDED
        verdicts[name] = PageVerdict(verdict, max(sides))
    return verdicts


def is_outdated(claim: JudgedClaim) -> bool:
    """Whether it was judged before there were e-values, and facts apart."""
    return claim.e_for is None and claim.verdict in (SUPPORTED, REFUTED, UNDECIDED) and not claim.reason


def _layer_prefix(layer: str) -> str:
    return f"{layer} " if layer else ""


def _contrast_unit(expectation: Contrast) -> str:
    """Shares are percentages; their differences are percentage points."""
    unit = expectation.of.unit()
    return "points" if unit == "share" and not isinstance(expectation, Threshold) else unit


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
