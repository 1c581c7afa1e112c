"""One claim, start to end: run what is missing, judge, add seeds where it is undecided, judge again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console

from trainlab.claims.execution import ClaimOptions, ExecutionContext, TuningOutcome, run_jobs, tune_arms
from trainlab.claims.expectations import (
    ApproxEqual,
    AtChance,
    Exact,
    Expectation,
    Learns,
    LearnsMoreOften,
    PhaseBoundary,
)
from trainlab.claims.jobs import ClaimComposer, seeds_of_looks
from trainlab.claims.judge import (
    UNDECIDED,
    ExpectationResult,
    claim_p_values,
    judge_approx_equal,
    judge_exact,
    judge_learning,
    judge_mean,
    judge_phase_boundary,
    phase_boundary_by_seed,
    verdict_from_p_values,
)
from trainlab.claims.registry import ClaimFile
from trainlab.claims.source_evaluator import SourceEvaluator
from trainlab.claims.sources import BaseSource, ShiftSource, needs_run
from trainlab.sweeps.forkserver import ForkServer


@dataclass(frozen=True)
class ClaimResult:
    """What came of a claim: the result of each expectation in the file's order, and what they rest on.

    `entry` has the arms as they were run; `tuning` says how the tuned ones got their settings. `analyses` is
    how often the claim could be judged in all.
    """

    entry: ClaimFile
    options: ClaimOptions
    expectations: Sequence[ExpectationResult]
    evaluator: SourceEvaluator
    analyses: int
    tuning: Mapping[str, TuningOutcome] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Of the claim by itself."""
        return verdict_from_p_values(claim_p_values(self.expectations))


def run_claim(
    entry: ClaimFile, options: ClaimOptions, composer: ClaimComposer, server: ForkServer, console: Console
) -> ClaimResult:
    """Runs what is missing and judges, with more seeds where it is undecided and the claim allows it.

    Raises:
        RequestError: the claim cannot be run as it stands; nothing was started.
        SweepFailed: a run failed or was interrupted, and has been named.
    """
    context = ExecutionContext(options, composer, server, console)
    entry, tuning = tune_arms(entry, context)
    seed_counts = seeds_of_looks(entry, options.profile)
    settings = {
        arm: composer.settings(entry, options.profile, arm, *options.overrides()) for arm in entry.claim.arms
    }
    analyses = len(seed_counts)
    for number, count in enumerate(seed_counts, start=1):
        jobs = composer.jobs(entry, options.profile, range(count), *options.overrides())
        evaluator = SourceEvaluator(run_jobs(entry, jobs, context) if jobs else {}, settings, server)
        expectations = judge_claim(entry, evaluator, analyses)
        result = ClaimResult(entry, options, expectations, evaluator, analyses, tuning)
        if result.verdict != UNDECIDED or number == analyses:
            return result
        console.print(f"undecided with {count} seeds: up to {seed_counts[number]}", highlight=False)
    raise AssertionError


def judge_claim(entry: ClaimFile, evaluator: SourceEvaluator, analyses: int) -> list[ExpectationResult]:
    """Every expectation of a claim judged on its runs."""
    evaluator.evaluate_ahead(_shifts_by_arm(entry))
    return [
        _with_worst_note(_judge_expectation(entry, expectation, evaluator, analyses), expectation, evaluator)
        for expectation in entry.claim.expectations
    ]


def _with_worst_note(
    result: ExpectationResult, expectation: Expectation, evaluator: SourceEvaluator
) -> ExpectationResult:
    """The result, which says how many runs count with the worst value."""
    sources = [source for source in expectation.sources() if needs_run(source)]
    notes = [note for source in sources if (note := evaluator.worst_note(source, expectation.arms()))]
    return replace(result, observed="; ".join([result.observed, *dict.fromkeys(notes)]))


def _judge_expectation(
    entry: ClaimFile, expectation: Expectation, evaluator: SourceEvaluator, analyses: int
) -> ExpectationResult:
    match expectation:
        case Learns() | LearnsMoreOften() | AtChance():
            return judge_learning(expectation, evaluator.learned(expectation.arms()), analyses)
        case Exact(equals=dict() as by_layer):
            facts = evaluator.facts_by_layer(expectation.of, expectation.arm, list(by_layer))
            return judge_exact(expectation, facts)
        case Exact():
            return judge_exact(expectation, evaluator.fact(expectation.of, expectation.arm))
        case ApproxEqual():
            values_by_layer = {
                layer: _values_of_arm(evaluator, expectation.source_of_layer(layer), expectation.arm)
                for layer in expectation.targets
            }
            return judge_approx_equal(expectation, values_by_layer, analyses)
        case PhaseBoundary():
            points = evaluator.phase_diagram(entry.claim.grid, list(entry.claim.cells)).points
            return judge_phase_boundary(expectation, phase_boundary_by_seed(expectation, points), analyses)
        case _:
            return judge_mean(expectation, evaluator.values(expectation.of, expectation.arms()), analyses)


def _values_of_arm(evaluator: SourceEvaluator, source: BaseSource, arm: str) -> list[float]:
    return list(evaluator.values(source, [arm])[arm].values())


def _shifts_by_arm(entry: ClaimFile) -> dict[str, list[ShiftSource]]:
    """The shifts that each arm is evaluated under."""
    measured = [(source, e.arms()) for e in entry.claim.expectations for source in e.sources()]
    measured += [(s, entry.claim.arms_of(figure)) for figure in entry.claim.figures for s in figure.sources()]
    shifts: dict[str, list[ShiftSource]] = {}
    for source, arms in measured:
        for arm in arms:
            shifts.setdefault(arm, []).extend(p for p in source.parts() if isinstance(p, ShiftSource))
    return shifts
