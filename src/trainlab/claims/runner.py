"""One claim, start to end: sweep what is missing, judge, add seeds where it is undecided, judge again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from trainlab.claims import execution
from trainlab.claims.execution import ClaimOptions, ExecutionContext, TuningOutcome, run_jobs
from trainlab.claims.expectations import ApproxEqual, AtChance, Exact, Learns, PhaseBoundary
from trainlab.claims.jobs import ClaimComposer
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
from trainlab.claims.sources import Shift
from trainlab.sweeps.forkserver import ForkServer


@dataclass(frozen=True)
class ClaimResult:
    """What came of a claim: findings in the file's order, and what they rest on.

    `entry` has the arms as they were run; `choices` is how the tuned ones got their settings.
    """

    entry: ClaimFile
    setup: ClaimOptions
    findings: Sequence[ExpectationResult]
    evidence: SourceEvaluator
    looks: int
    choices: Mapping[str, TuningOutcome] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Of the claim alone."""
        return verdict_from_p_values(claim_p_values(self.findings))


def run_claim(
    entry: ClaimFile, setup: ClaimOptions, composer: ClaimComposer, server: ForkServer, console: Console
) -> ClaimResult:
    """Runs what is missing and judges, with more seeds where it is undecided and the claim allows it.

    Raises:
        RequestError: the claim cannot be run as it stands; nothing was started.
        SweepFailed: a run failed or was interrupted, and has been named.
    """
    bench = ExecutionContext(setup, composer, server, console)
    entry, choices = execution.tune_arms(entry, bench)
    looks = getattr(entry.claim.profiles, setup.profile).seeds.looks()
    facts = {
        arm: composer.settings(entry, setup.profile, arm, *setup.overrides()) for arm in entry.claim.arms
    }
    if not entry.claim.trained_arms:
        looks = [0]
    for number, count in enumerate(looks, start=1):
        jobs = composer.jobs(entry, setup.profile, range(count), *setup.overrides())
        runs = run_jobs(entry, jobs, bench) if jobs else {}
        evidence = SourceEvaluator(runs, facts, server)
        judged = ClaimResult(
            entry, setup, judge_claim(entry, evidence, len(looks)), evidence, len(looks), choices
        )
        if judged.verdict != UNDECIDED or number == len(looks):
            return judged
        console.print(f"undecided with {count} seeds: up to {looks[number]}", highlight=False)
    raise AssertionError


def judge_claim(entry: ClaimFile, evidence: SourceEvaluator, looks: int) -> list[ExpectationResult]:
    """Every expectation of a claim on what its runs came to."""
    evidence.evaluate_ahead(_shifts_by_arm(entry))
    return [
        _judge_expectation(entry, expectation, evidence, looks) for expectation in entry.claim.expectations
    ]


def _judge_expectation(
    entry: ClaimFile, expectation: Any, evidence: SourceEvaluator, looks: int
) -> ExpectationResult:
    if isinstance(expectation, Learns | AtChance):
        return judge_learning(expectation, evidence.learned(expectation.arms()), looks)
    if isinstance(expectation, Exact):
        by_layer = isinstance(expectation.equals, dict)
        names = list(expectation.equals) if by_layer else None
        return judge_exact(expectation, evidence.fact(expectation.of, expectation.arm, names))
    if isinstance(expectation, ApproxEqual):
        arm = expectation.arm
        by_layer = {
            layer: list(evidence.values(expectation.source(layer), [arm])[arm].values())
            for layer in expectation.wanted
        }
        return judge_approx_equal(expectation, by_layer, looks)
    if isinstance(expectation, PhaseBoundary):
        places = evidence.diagram(entry.claim.grid, list(entry.claim.cells)).points
        return judge_phase_boundary(expectation, phase_boundary_by_seed(expectation, places), looks)
    return judge_mean(expectation, evidence.values(expectation.of, expectation.arms()), looks)


def _shifts_by_arm(entry: ClaimFile) -> dict[str, list[dict[str, Any]]]:
    """The shifts that each arm is evaluated under."""
    wanted: dict[str, list[dict[str, Any]]] = {}
    asked = [(source, e.arms()) for e in entry.claim.expectations for source in e.sources()]
    figure = entry.claim.figure
    asked += [(source, entry.claim.shown_arms) for source in figure.sources()]
    for source, arms in asked:
        shifts = [part.shift for part in source.parts() if isinstance(part, Shift)]
        for arm in arms:
            wanted.setdefault(arm, []).extend(shifts)
    return wanted
