"""One claim, start to end: sweep what is missing, judge, add seeds where it is undecided, judge again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from trainlab.claims import boundary, tuning, verdict
from trainlab.claims.evidence import Evidence
from trainlab.claims.expectations import Boundary, Chance, Exact, Learns, Near
from trainlab.claims.folder import Entry
from trainlab.claims.jobs import Composer
from trainlab.claims.sources import Shift
from trainlab.claims.sweep import Bench, Setup, sweep
from trainlab.claims.tuning import Choice
from trainlab.claims.verdict import Finding
from trainlab.sweeps.server import WarmServer


@dataclass(frozen=True)
class Judged:
    """What came of a claim: findings in the file's order, and what they rest on.

    `entry` has the arms as they were run; `choices` is how the tuned ones got their settings.
    """

    entry: Entry
    setup: Setup
    findings: Sequence[Finding]
    evidence: Evidence
    looks: int
    choices: Mapping[str, Choice] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Of the claim alone."""
        return verdict.verdict_of(verdict.of_claim(self.findings))


def run(entry: Entry, setup: Setup, composer: Composer, server: WarmServer, console: Console) -> Judged:
    """Runs what is missing and judges, with more seeds where it is undecided and the claim allows it.

    Raises:
        RequestError: the claim cannot be run as it stands; nothing was started.
        SweepFailed: a run failed or was interrupted, and has been named.
    """
    bench = Bench(setup, composer, server, console)
    entry, choices = tuning.tuned(entry, bench)
    looks = getattr(entry.claim.profiles, setup.profile).seeds.looks()
    facts = {
        arm: composer.settings(entry, setup.profile, arm, *setup.overrides()) for arm in entry.claim.arms
    }
    if not entry.claim.trained_arms:
        looks = [0]
    for number, count in enumerate(looks, start=1):
        jobs = composer.jobs(entry, setup.profile, range(count), *setup.overrides())
        runs = sweep(entry, jobs, bench) if jobs else {}
        evidence = Evidence(runs, facts, server)
        judged = Judged(entry, setup, judge(entry, evidence, len(looks)), evidence, len(looks), choices)
        if judged.verdict != verdict.UNDECIDED or number == len(looks):
            return judged
        console.print(f"undecided with {count} seeds: up to {looks[number]}", highlight=False)
    raise AssertionError


def judge(entry: Entry, evidence: Evidence, looks: int) -> list[Finding]:
    """Every expectation of a claim on what its runs came to."""
    evidence.evaluate_ahead(_shifts(entry))
    return [_judged(entry, expectation, evidence, looks) for expectation in entry.claim.expectations]


def _judged(entry: Entry, expectation: Any, evidence: Evidence, looks: int) -> Finding:
    if isinstance(expectation, Learns | Chance):
        return verdict.judge_learning(expectation, evidence.learned(expectation.arms()), looks)
    if isinstance(expectation, Exact):
        by_layer = isinstance(expectation.equals, dict)
        names = list(expectation.equals) if by_layer else None
        return verdict.judge_exact(expectation, evidence.fact(expectation.of, expectation.arm, names))
    if isinstance(expectation, Near):
        arm = expectation.arm
        by_layer = {
            layer: list(evidence.values(expectation.source(layer), [arm])[arm].values())
            for layer in expectation.wanted
        }
        return verdict.judge_near(expectation, by_layer, looks)
    if isinstance(expectation, Boundary):
        places = evidence.diagram(entry.claim.grid, list(entry.claim.cells)).places
        return verdict.judge_boundary(expectation, boundary.by_seed(expectation, places), looks)
    return verdict.judge(expectation, evidence.values(expectation.of, expectation.arms()), looks)


def _shifts(entry: Entry) -> dict[str, list[dict[str, Any]]]:
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
