"""Jobs of a claim become finished runs: what is missing is run, what is done is reused."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from trainlab.claims.folder import Entry
from trainlab.claims.jobs import Composer, Job
from trainlab.claims.sources import Shift, Signal
from trainlab.config.schema import SweepSettings, checked
from trainlab.errors import counted
from trainlab.runs.record import RunFolder
from trainlab.runs.result import DONE
from trainlab.sweeps import SweepFailed
from trainlab.sweeps.architectures import check_architectures
from trainlab.sweeps.display import Display
from trainlab.sweeps.local import LocalEngine
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, make_plan, record_plan
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.slots import SlotSettings
from trainlab.terminal import marked


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
class Bench:
    """What runs need to be run: a budget, Hydra made ready, warm processes, and where progress is told."""

    setup: Setup
    composer: Composer
    server: WarmServer
    console: Console


def sweep(entry: Entry, jobs: Sequence[Job], bench: Bench) -> dict[str, dict[int, Path]]:
    """The folder of each arm's run of each seed. Runs what is not done; what is done without the evidence
    needed is done again.

    Raises:
        RequestError: a network cannot be built; nothing was started.
        SweepFailed: a run failed or was interrupted, and has been named.
    """
    console = bench.console
    values = checked(SweepSettings, SWEEP | {"retry_failed": bench.setup.retry_failed})
    overrides = (job.overrides for job in jobs)
    plan = make_plan(overrides, bench.composer.compose, values, _swept(entry), clashes_matter=False)
    check_architectures(plan.todo, bench.server)
    record_plan(plan)
    again = [job for job in plan.jobs if job.status in DONE and not _is_enough(entry, plan.runs / job.run_id)]
    shared = f" ({len(again)} of them again, for what their records lack)" if again else ""
    line = marked("[bold]{}[/bold]: {}{}", entry.name, _describe(plan, len(again)), shared)
    console.print(line, highlight=False, soft_wrap=True)
    _check_outcomes(entry, plan, _run(plan, values, bench), console)
    rerun = replace(plan, todo=again)
    _check_outcomes(entry, rerun, _run(rerun, values | {"rerun": True}, bench), console)
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
    return f"{counted(len(plan.jobs), 'run')}, {len(plan.jobs) - todo} done before, {todo} to do"


def _run(plan: Plan, values: dict[str, Any], bench: Bench) -> list[Outcome]:
    if not plan.todo:
        return []
    engine = LocalEngine(SlotSettings(slots=bench.setup.slots))
    with Display(plan, bench.console) as display:
        return engine.run(plan, values, bench.server, display)


def _swept(entry: Entry) -> list[str]:
    """The keys in which the arms differ: what names a run in the display."""
    of_arms = [line.partition("=")[0].lstrip("+") for lines in entry.claim.arms.values() for line in lines]
    return [*dict.fromkeys(of_arms), "seed"]


def _is_enough(entry: Entry, folder: Path) -> bool:
    """Whether a finished run, perhaps another claim's, has kept what this claim asks for."""
    sources = entry.claim.all_sources
    needed: list[Path] = []
    if any(isinstance(source, Shift) for source in sources):
        result = RunFolder(folder).result()
        if result is not None and result.status == "finished":  # a diverged one is shifted by nobody
            needed.append(folder / "checkpoints" / "last.ckpt")
    shows_signals = entry.claim.figure.kind in ("heat_map", "depth")
    if shows_signals or any(isinstance(source, Signal) for source in sources):
        needed.append(folder / "signals.parquet")
    return all(path.exists() for path in needed)


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
