"""One claim, start to end: sweep what is missing, judge, add seeds where it is undecided, judge again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from trainlab.claims import verdict
from trainlab.claims.evidence import Evidence
from trainlab.claims.folder import Entry
from trainlab.claims.jobs import Composer, Job
from trainlab.claims.sources import Shift, Signal
from trainlab.claims.spec import Chance, Exact, Learns
from trainlab.claims.verdict import Finding
from trainlab.config.schema import SweepSettings, checked
from trainlab.runs.record import RunFolder
from trainlab.sweeps import SweepFailed
from trainlab.sweeps.architectures import check_architectures
from trainlab.sweeps.display import Display
from trainlab.sweeps.local import LocalEngine
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import DONE, Plan, make_plan, record_plan
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.slots import SlotSettings


class Stopped(SweepFailed):
    """Somebody asked for an end: no other claim is begun either."""


@dataclass(frozen=True)
class Setup:
    """How claims are run: the budget, where the runs lie, how many at a time, and more overrides."""

    profile: str
    runs: Path
    slots: int | None = None
    retry_failed: bool = False

    def overrides(self) -> tuple[str, ...]:
        """What every run gets besides its claim's own settings."""
        return (f"paths.runs={self.runs}",)


@dataclass(frozen=True)
class Judged:
    """What came of a claim: findings in the file's order, and what they rest on."""

    entry: Entry
    setup: Setup
    findings: Sequence[Finding]
    evidence: Evidence
    looks: int

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
    looks = getattr(entry.claim.profiles, setup.profile).seeds.looks()
    facts = {
        arm: composer.settings(entry, setup.profile, arm, *setup.overrides()) for arm in entry.claim.arms
    }
    if not entry.claim.trained_arms:
        looks = [0]
    for number, count in enumerate(looks, start=1):
        jobs = composer.jobs(entry, setup.profile, range(count), *setup.overrides())
        runs = _sweep(entry, jobs, setup, composer, server, console) if jobs else {}
        evidence = Evidence(runs, facts, server)
        judged = Judged(entry, setup, judge(entry, evidence, len(looks)), evidence, len(looks))
        if judged.verdict != verdict.UNDECIDED or number == len(looks):
            return judged
        console.print(f"undecided with {count} seeds: up to {looks[number]}", highlight=False)
    raise AssertionError


def judge(entry: Entry, evidence: Evidence, looks: int) -> list[Finding]:
    """Every expectation of a claim on what its runs came to."""
    evidence.evaluate_ahead(_shifts(entry))
    return [_judged(expectation, evidence, looks) for expectation in entry.claim.expectations]


def _judged(expectation: Any, evidence: Evidence, looks: int) -> Finding:
    if isinstance(expectation, Learns | Chance):
        return verdict.judge_learning(expectation, evidence.learned(expectation.arms()), looks)
    if isinstance(expectation, Exact):
        by_layer = isinstance(expectation.equals, dict)
        names = list(expectation.equals) if by_layer else None
        return verdict.judge_exact(expectation, evidence.fact(expectation.of, expectation.arm, names))
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


def _sweep(
    entry: Entry, jobs: Sequence[Job], setup: Setup, composer: Composer, server: WarmServer, console: Console
) -> dict[str, dict[int, Path]]:
    """One sweep of the jobs that are not done; what is done without the evidence needed is done again."""
    values = checked(SweepSettings, SWEEP | {"retry_failed": setup.retry_failed})
    plan = make_plan((job.overrides for job in jobs), composer.compose, values, _swept(entry))
    engine = LocalEngine(SlotSettings(slots=setup.slots))
    check_architectures(plan.todo, server)
    record_plan(plan)
    again = [job for job in plan.jobs if job.status in DONE and not _is_enough(entry, plan.runs / job.run_id)]
    shared = f" ({len(again)} of them again, for what their records lack)" if again else ""
    line = f"[bold]{entry.name}[/bold]: {_describe(plan, len(again))}{shared}"
    console.print(line, highlight=False, soft_wrap=True)
    _check_outcomes(entry, plan, _run(plan, engine, values, server, console), console)
    rerun = replace(plan, todo=again)
    _check_outcomes(entry, rerun, _run(rerun, engine, values | {"rerun": True}, server, console), console)
    folders: dict[str, dict[int, Path]] = {}
    for job, run_id in zip(jobs, plan.requested, strict=True):
        folders.setdefault(job.arm, {})[job.seed] = plan.runs / run_id
    return folders


SWEEP = {
    "plan_only": False, "retry_failed": False, "rerun": False, "run_timeout": None,
    "prune": "none", "audit": 0.0,
}  # fmt: skip


def _describe(plan: Plan, again: int) -> str:
    todo = len(plan.todo) + again
    return f"{len(plan.jobs)} runs, {len(plan.jobs) - todo} done before, {todo} to do"


def _run(
    plan: Plan, engine: LocalEngine, values: dict[str, Any], server: WarmServer, console: Console
) -> list[Outcome]:
    if not plan.todo:
        return []
    with Display(plan, console) as display:
        return engine.run(plan, values, server, display)


def _swept(entry: Entry) -> list[str]:
    """The keys in which the arms differ: what names a run in the display."""
    of_arms = [line.partition("=")[0].lstrip("+") for lines in entry.claim.arms.values() for line in lines]
    return [*dict.fromkeys(of_arms), "seed"]


def _is_enough(entry: Entry, folder: Path) -> bool:
    """Whether a finished run, perhaps another claim's, has kept what this claim asks for."""
    sources = entry.claim.all_sources
    shows_signals = entry.claim.figure.kind in ("heat_map", "depth")
    if any(isinstance(source, Shift) for source in sources):
        result = RunFolder(folder).result()
        if result is not None and result.status == "finished":
            return (folder / "checkpoints" / "last.ckpt").exists()
    if shows_signals or any(isinstance(source, Signal) for source in sources):
        return (folder / "signals.parquet").exists()
    return True


def _check_outcomes(entry: Entry, plan: Plan, outcomes: Sequence[Outcome], console: Console) -> None:
    """Raises where not all is done: Stopped where somebody asked for it, SweepFailed where runs failed."""
    if {outcome.status for outcome in outcomes} & {"interrupted", "unstarted"}:
        raise Stopped(f"claim {entry.name}: stopped; the same command goes on, nothing finished is run twice")
    todo = {job.run_id for job in plan.todo}
    before = [job for job in plan.jobs if job.status == "failed" and job.run_id not in todo]
    for job in before:
        line = f"failed before  {job.run_id}  {job.label}; --retry-failed runs it again"
        console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)
    if before or not all(outcome.is_good for outcome in outcomes):
        raise SweepFailed(f"claim {entry.name}: not all runs are done")
