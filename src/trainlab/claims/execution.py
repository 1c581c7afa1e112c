"""Jobs of a claim become finished runs: what is missing is run, what is done is reused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from trainlab.claims.expectations import override_key
from trainlab.claims.jobs import ArmJob, ClaimComposer
from trainlab.claims.registry import ClaimFile
from trainlab.claims.sources import SignalSource
from trainlab.runs.result import DONE_STATUSES
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import SweepSettings
from trainlab.sweeps import SweepFailed
from trainlab.sweeps.display import SweepDisplay
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.network_checks import check_architectures
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Plan, make_plan, record_plan
from trainlab.sweeps.slots import SlotSettings
from trainlab.sweeps.stacks import plan_stacks
from trainlab.terminal import markup_text
from trainlab.units import pluralize


class ClaimInterrupted(SweepFailed):
    """The user interrupted it: no other claim is begun either."""


@dataclass(frozen=True)
class ClaimOptions:
    """How claims are run: the budget, where the runs lie, how many at a time, and more overrides."""

    profile: str
    runs: Path
    slots: int | None = None
    retry_failed: bool = False

    def overrides(self) -> tuple[str, ...]:
        """What every run gets besides its claim's own settings."""
        return (f"paths.runs={self.runs}",)


@dataclass(frozen=True)
class ExecutionContext:
    """What runs need: options, Hydra made ready, the server of processes, and where progress is shown."""

    options: ClaimOptions
    composer: ClaimComposer
    server: ForkServer
    console: Console


@dataclass(frozen=True)
class PlannedJobs:
    """What is to do of jobs: `plan.todo`, and runs that are done and lack what the claim needs, `again`."""

    plan: Plan
    again: Sequence[Job]

    def folders(self, jobs: Sequence[ArmJob]) -> dict[str, dict[int, Path]]:
        """The folder of each arm's run of each seed."""
        folders: dict[str, dict[int, Path]] = {}
        for job, run_id in zip(jobs, self.plan.requested, strict=True):
            folders.setdefault(job.arm, {})[job.seed] = self.plan.runs / run_id
        return folders


def plan_jobs(entry: ClaimFile, jobs: Sequence[ArmJob], context: ExecutionContext) -> PlannedJobs:
    """Looks up what is done of jobs; nothing is started or written. Raises RequestError."""
    plan = make_plan(
        (job.overrides for job in jobs), context.composer.compose, sweep_settings(context.options),
        _differing_keys(entry), refuse_conflicts=False,
    )  # fmt: skip
    done = [job for job in plan.jobs if job.status in DONE_STATUSES]
    again = [job for job in done if not has_required_artifacts(entry, plan.runs / job.run_id)]
    return PlannedJobs(plan, again)


def sweep_settings(options: ClaimOptions) -> SweepSettings:
    """How the runs of a claim are done, as those of any sweep."""
    return SweepSettings(retry_failed=options.retry_failed)


def run_jobs(
    entry: ClaimFile, jobs: Sequence[ArmJob], context: ExecutionContext
) -> dict[str, dict[int, Path]]:
    """Runs what is not done; a run that lacks what the claim needs is done again. Where all is done, no
    process is started.

    Returns the folder of each arm's run of each seed; each has a record, if only of why it failed.

    Raises:
        RequestError: a network cannot be built; nothing was started.
        SweepFailed: a run was interrupted, or failed and left no record; it has been named.
    """
    console, settings = context.console, sweep_settings(context.options)
    planned = plan_jobs(entry, jobs, context)
    plan, again = planned.plan, planned.again
    _print_failed_before(plan, console)
    if not plan.todo and not again:
        return planned.folders(jobs)
    check_architectures(plan.todo, context.server)
    record_plan(plan)
    note = f" ({len(again)} of them again, for what their records lack)" if again else ""
    line = markup_text("[bold]{}[/bold]: {}{}", entry.name, _plan_summary(plan, len(again)), note)
    console.print(line, highlight=False, soft_wrap=True)
    _raise_unless_recorded(entry, plan, _run_plan(plan, settings, context))
    rerun = replace(plan, todo=again)
    _raise_unless_recorded(entry, plan, _run_plan(rerun, settings.replace(rerun=True), context))
    return planned.folders(jobs)


def _plan_summary(plan: Plan, again: int) -> str:
    todo = len(plan.todo) + again
    return f"{pluralize(len(plan.jobs), 'run')}, {len(plan.jobs) - todo} done before, {todo} to do"


def _run_plan(plan: Plan, settings: SweepSettings, context: ExecutionContext) -> list[Outcome]:
    if not plan.todo:
        return []
    engine = LocalEngine(SlotSettings(slots=context.options.slots))
    plan, stack_lines = plan_stacks(plan, settings, engine, context.server)
    for line in stack_lines:
        context.console.print(line, highlight=False, markup=False, soft_wrap=True)
    with SweepDisplay(plan, context.console) as display:
        return engine.run(plan, settings, context.server, display)


def _differing_keys(entry: ClaimFile) -> list[str]:
    """The keys in which the arms, and what they are tuned over, differ: what names a run in the display."""
    claim = entry.claim
    tried = [] if claim.tune is None else claim.tune.first_candidates()
    keys = [override_key(line) for lines in (*claim.arms.values(), *tried) for line in lines]
    return [*dict.fromkeys(keys), "seed"]


def has_required_artifacts(entry: ClaimFile, folder: Path) -> bool:
    """Whether a finished run, perhaps another claim's, has kept what this claim needs."""
    sources = entry.claim.all_sources
    needed: list[Path] = []
    if entry.claim.needs_weights:
        result = RunFolder(folder).result()
        if result is not None and result.status == "finished":  # a diverged one is not evaluated
            needed.append(folder / "checkpoints" / "last.ckpt")
    shows_signals = any(figure.kind in ("heat_map", "depth") for figure in entry.claim.figures)
    if shows_signals or any(isinstance(source, SignalSource) for source in sources):
        needed.append(folder / "signals.parquet")
    return all(path.exists() for path in needed)


def _raise_unless_recorded(entry: ClaimFile, plan: Plan, outcomes: Sequence[Outcome]) -> None:
    """Raises ClaimInterrupted after an interrupt, SweepFailed where a run has left nothing to count.

    A run that failed, and whose record says so, is a result: it counts with the worst value.
    """
    if {outcome.status for outcome in outcomes} & {"interrupted", "unstarted"}:
        raise ClaimInterrupted(
            f"claim {entry.name}: stopped; the same command goes on, nothing finished is run twice"
        )
    if not all(outcome.is_success or _has_failed(plan.runs / outcome.run_id) for outcome in outcomes):
        raise SweepFailed(f"claim {entry.name}: not all runs are done")


def _has_failed(folder: Path) -> bool:
    result = RunFolder(folder).result()
    return result is not None and result.status == "failed"


def _print_failed_before(plan: Plan, console: Console) -> None:
    """Names the runs that failed before and are not run again."""
    todo = {job.run_id for job in plan.todo}
    for job in plan.jobs:
        if job.status == "failed" and job.run_id not in todo:
            line = f"failed before  {job.run_id}  {job.label}; --retry-failed runs it again"
            console.print(line, style="red", highlight=False, markup=False, soft_wrap=True)


def raise_where_all_failed(entry: ClaimFile, folders: Mapping[str, Sequence[Path]]) -> None:
    """Raises SweepFailed where all runs of an arm failed, and alike: that is how it is set, and no outcome.

    folders: of the runs of each arm, all done.
    """
    for arm, paths in folders.items():
        errors = [result.error for path in paths if (result := RunFolder(path).result()) and result.error]
        kinds = {str(error.get("type")) for error in errors}
        if errors and len(errors) == len(paths) and len(kinds) == 1:
            reason = f"{errors[0].get('type')}: {errors[0].get('message')}".partition("\n")[0]
            raise SweepFailed(
                f"claim {entry.name}, arm '{arm}': all {len(paths)} runs failed: {reason}; "
                "--retry-failed runs them again"
            )
