"""One claim, start to end: tune, run seeds one at a time until it is decided, judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rich.console import Console

from trainlab.analysis.phase_diagram import AT_CHANCE, PhasePoint
from trainlab.claims.arm_tuning import TuningOutcome, tune_arms
from trainlab.claims.execution import ClaimOptions, ExecutionContext, raise_where_all_failed, run_jobs
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
    NOT_TESTABLE,
    NOT_TESTED,
    STOP_E,
    UNDECIDED,
    ClaimVerdict,
    ExpectationResult,
    after_primary,
    at_budget,
    claim_verdict,
    judge_approx_equal,
    judge_exact,
    judge_learning,
    judge_mean,
    judge_phase_boundary,
    stopped_early,
)
from trainlab.claims.phase_agreement import phase_boundary_by_seed
from trainlab.claims.registry import ClaimFile
from trainlab.claims.source_evaluator import SourceEvaluator
from trainlab.claims.sources import (
    BaseSource,
    CheckpointSource,
    MetricSource,
    SignalSource,
    StepsSource,
    needs_run,
)
from trainlab.claims.spec import Claim, cell_name
from trainlab.claims.untestable import Outcomes
from trainlab.sweeps.forkserver import ForkServer


@dataclass(frozen=True)
class ClaimResult:
    """What came of a claim: the result of each expectation in the file's order, and what they rest on.

    `entry` has the arms as they were run; `tuning` says how the tuned ones got their settings.
    """

    entry: ClaimFile
    options: ClaimOptions
    expectations: Sequence[ExpectationResult]
    evaluator: SourceEvaluator
    tuning: Mapping[str, TuningOutcome] = field(default_factory=dict)

    @property
    def steps(self) -> int | None:
        """Of the longest run."""
        return _longest_steps(self.evaluator, list(self.evaluator.results))

    @property
    def verdict(self) -> ClaimVerdict:
        """Of the claim by itself."""
        if reason := self.entry.claim.profile(self.options.profile).not_testable:
            return ClaimVerdict(NOT_TESTABLE, reason=reason)
        return claim_verdict(self.expectations)


def run_claim(
    entry: ClaimFile, options: ClaimOptions, composer: ClaimComposer, server: ForkServer, console: Console
) -> ClaimResult:
    """Runs what is missing and judges after every seed, until the primary expectation is decided, no further
    seed can make it testable, or all seeds that the claim allows are done. Nothing is run where the budget
    cannot test it. A run that failed counts with the worst value.

    Raises:
        RequestError: the claim cannot be run as it stands; nothing was started.
        SweepFailed: all runs of an arm failed alike, or runs were interrupted, and have been named.
    """
    context = ExecutionContext(options, composer, server, console)
    if entry.claim.profile(options.profile).not_testable:
        untested = [_untested(expectation) for expectation in entry.claim.expectations]
        return ClaimResult(entry, options, untested, SourceEvaluator({}, {}, server))
    entry, tuning = tune_arms(entry, context)
    settings = {
        arm: composer.settings(entry, options.profile, arm, *options.overrides()) for arm in entry.claim.arms
    }
    untuned = {arm: outcome.edge_text for arm, outcome in tuning.items() if outcome.edge}
    evaluator = SourceEvaluator({}, settings, server)
    done = 0
    looks = seeds_of_looks(entry, options.profile)
    for count in looks:
        jobs = composer.jobs(entry, options.profile, range(done, count), *options.overrides())
        more = run_jobs(entry, jobs, context) if jobs else {}
        runs = {arm: {**evaluator.runs.get(arm, {}), **folders} for arm, folders in more.items()}
        raise_where_all_failed(entry, {arm: list(by_seed.values()) for arm, by_seed in runs.items()})
        evaluator, done = replace(evaluator, runs=runs), count
        if _is_enough(entry, evaluator, untuned):
            break
    results = stopped_early(judge_claim(entry, evaluator, untuned), done, looks[-1])
    return ClaimResult(entry, options, results, evaluator, tuning)


def _untested(expectation: Expectation) -> ExpectationResult:
    return ExpectationResult(
        expectation.description, expectation.kind, NOT_TESTED, "", primary=expectation.primary
    )


def _is_enough(entry: ClaimFile, evaluator: SourceEvaluator, untuned: Mapping[str, str]) -> bool:
    """Whether more seeds would change nothing that is looked at: the primary expectation is clear, or cannot
    be tested whatever they show."""
    primary = entry.claim.primary
    if primary is None:
        return True
    if _untuned_text(primary, untuned):
        return True
    evaluator.evaluate_ahead(_checkpoint_sources([primary]))
    result = judge_expectation(entry, primary, evaluator)
    return result.is_final or max(result.e_for or 0.0, result.e_against or 0.0) >= STOP_E


def judge_claim(
    entry: ClaimFile, evaluator: SourceEvaluator, untuned: Mapping[str, str]
) -> list[ExpectationResult]:
    """Every expectation of a claim judged on its runs; those of an arm that is not tuned are withheld."""
    evaluator.evaluate_ahead(_checkpoint_sources(entry.claim.expectations, entry.claim))
    results = []
    for expectation in entry.claim.expectations:
        result = judge_expectation(entry, expectation, evaluator)
        if note := _worst_note(entry.claim, expectation, evaluator):
            result = replace(result, observed=f"{result.observed}; {note}")
        if reason := _untuned_text(expectation, untuned):
            result = replace(result, verdict=UNDECIDED, reason=reason, is_final=True)
        steps = _longest_steps(evaluator, expectation.arms())
        results.append(at_budget(result, expectation, steps, entry.claim.source_steps))
    return after_primary(results)


def _longest_steps(evaluator: SourceEvaluator, arms: Sequence[str]) -> int | None:
    """The steps of the longest run of these arms; None where none has run."""
    runs = [run for arm in arms for run in evaluator.results.get(arm, {}).values()]
    return max((run.steps for run in runs if run.steps is not None), default=None)


def _worst_note(claim: Claim, expectation: Expectation, evaluator: SourceEvaluator) -> str:
    """How many of an expectation's runs count with the worst value; of counts that is: not learned."""
    if isinstance(expectation, Exact):
        return ""
    sources = expectation.sources() or [MetricSource(metric="learned")]
    arms = list(claim.cells) if isinstance(expectation, PhaseBoundary) else expectation.arms()
    return evaluator.worst_note([source for source in sources if needs_run(source)], arms)


def _untuned_text(expectation: Expectation, untuned: Mapping[str, str]) -> str:
    """Which arms of an expectation are not tuned; a fact needs none that is."""
    if isinstance(expectation, Exact):
        return ""
    return "; ".join(untuned[arm] for arm in dict.fromkeys(expectation.arms()) if arm in untuned)


def judge_expectation(
    entry: ClaimFile, expectation: Expectation, evaluator: SourceEvaluator
) -> ExpectationResult:
    """One expectation judged on the runs of a claim."""
    match expectation:
        case Learns() | LearnsMoreOften() | AtChance():
            return judge_learning(expectation, evaluator.learned(expectation.arms()))
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
            return judge_approx_equal(expectation, values_by_layer, _outcomes(expectation, evaluator))
        case PhaseBoundary():
            points = evaluator.phase_diagram(entry.claim.grid, list(entry.claim.cells)).points
            points = [*points, *_failed_cells(entry.claim, evaluator, points)]
            return judge_phase_boundary(expectation, phase_boundary_by_seed(expectation, points))
        case _:
            values = evaluator.values(expectation.of, expectation.arms())
            return judge_mean(expectation, values, _outcomes(expectation, evaluator))


def _failed_cells(claim: Claim, evaluator: SourceEvaluator, points: Sequence[PhasePoint]) -> list[PhasePoint]:
    """The cells of a grid whose run failed: they did not learn."""
    if claim.grid is None:
        return []
    xi = {point.scale: point.xi for point in points}
    return [
        PhasePoint(scale, depth, seed, AT_CHANCE, xi.get(scale))
        for depth in claim.grid.depths
        for scale in claim.grid.scales
        for seed, result in evaluator.results[cell_name(scale, depth)].items()
        if result.status == "failed"
    ]


def _outcomes(expectation: Expectation, evaluator: SourceEvaluator) -> Outcomes:
    """Which runs learned, where what is measured depends on that, and which reached a goal."""
    sources, arms = expectation.sources(), expectation.arms()
    is_mixed = any(depends_on_outcome(part) for source in sources for part in source.parts())
    return Outcomes(evaluator.learned(arms) if is_mixed else {}, evaluator.reached(sources, arms))


def depends_on_outcome(source: BaseSource) -> bool:
    """Whether a run that learned and one that did not can be told by it: not at step 0, nor by a size, nor
    by how far running means lag behind."""
    if isinstance(source, SignalSource):
        return source.step != 0
    if isinstance(source, MetricSource):
        return source.metric != "parameters"
    return isinstance(source, CheckpointSource | StepsSource)


def _values_of_arm(evaluator: SourceEvaluator, source: BaseSource, arm: str) -> list[float]:
    return list(evaluator.values(source, [arm])[arm].values())


def _checkpoint_sources(
    expectations: Sequence[Expectation], shown: Claim | None = None
) -> dict[str, list[CheckpointSource]]:
    """What each arm is evaluated under for these expectations, and for the figures of a claim."""
    measured = [(source, e.arms()) for e in expectations for source in e.sources()]
    if shown is not None:
        measured += [(s, shown.arms_of(figure)) for figure in shown.figures for s in figure.sources()]
    shifts: dict[str, list[CheckpointSource]] = {}
    for source, arms in measured:
        for arm in arms:
            shifts.setdefault(arm, []).extend(p for p in source.parts() if isinstance(p, CheckpointSource))
    return shifts
