"""One sweep, start to end: a grid, a plan, the runs, the summary."""

from collections.abc import Callable, Sequence
from functools import partial

from hydra.core.override_parser.types import Override
from rich.console import Console

from trainlab.config.grid import Grid
from trainlab.errors import RequestError
from trainlab.settings import RunSettings, Settings, SweepSettings
from trainlab.sweeps import summary
from trainlab.sweeps.display import DataNotes, SweepDisplay, missing_artifact_lines
from trainlab.sweeps.engine import Engine
from trainlab.sweeps.estimate import print_estimate
from trainlab.sweeps.external_hydra_plugins import ExternalLauncherEngine
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.network_checks import check_networks
from trainlab.sweeps.outcome import Outcome, SweepFailed
from trainlab.sweeps.plan import Plan, make_plan, record_plan
from trainlab.sweeps.stacks import plan_stacks
from trainlab.terminal import markup_text

TRACKER_MODULES = {"wandb": ("wandb", "wandb.sdk.launch.inputs.internal")}
"""Modules to import in the fork server, by tracker. Without this each run spends two seconds importing them.

`wandb.init` imports the second module only when it is called; that alone takes a second of CPU time.
"""

Compose = Callable[[Sequence[Override]], Settings]


def run_sweep(
    grid: Grid, compose: Compose, settings: SweepSettings, engine: Engine, console: Console
) -> list[Outcome]:
    """Plans, checks, runs and sums up.

    Raises:
        RequestError: something is wrong with the request; nothing was started.
        SweepFailed: something failed or was interrupted; the summary says which.
    """
    with ForkServer() as server:
        plan = make_plan(
            grid.jobs(), compose, settings, grid.swept, on_first_todo=partial(_preload_tracker, server)
        )
        outcomes = _check_and_run(plan, settings, engine, server, console)
    if settings.plan_only:
        return []
    outcomes = summary.all_outcomes(plan, outcomes)
    summary.print_summary(plan, outcomes, console, settings.prune)
    if not all(outcome.is_success for outcome in outcomes):
        raise SweepFailed(f"sweep {plan.group}: not all runs are done")
    return outcomes


def _preload_tracker(server: ForkServer, first_todo: RunSettings) -> None:
    """Starts the server with the tracker of the first run to do, while the plan is still being made."""
    tracker = str(first_todo.logger.target)
    server.preload(*(m for name, modules in TRACKER_MODULES.items() if name in tracker for m in modules))


def _check_and_run(
    plan: Plan, settings: SweepSettings, engine: Engine, server: ForkServer, console: Console
) -> list[Outcome]:
    """Checks the plan and says what is noteworthy about it; then does its runs, or estimates their cost."""
    _check_sweep_settings(plan, settings, engine)
    slots = engine.slots(plan) if plan.todo else 1
    unused_axes = check_networks(plan, server)
    if not settings.plan_only:
        record_plan(plan)
    plan, stack_lines = plan_stacks(plan, settings, engine, server)
    console.print(markup_text("[bold]{}[/bold]: {}", plan.group, plan.describe()))
    for line in stack_lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for line in [*missing_artifact_lines(plan), *unused_axes]:
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    notes = DataNotes(plan, console)
    notes.print_file_notes()
    if settings.plan_only:
        print_estimate(plan, slots, server, console)
    if settings.plan_only or not plan.todo:
        return []
    with SweepDisplay(plan, console) as display:
        outcomes = engine.run(plan, settings, server, display)
    notes.print_image_notes()
    return outcomes


def _check_sweep_settings(plan: Plan, settings: SweepSettings, engine: Engine) -> None:
    """Refuses settings of the sweep that do not go together with its runs or its engine."""
    if settings.prune == "early" and any(job.settings.signals is False for job in plan.todo):
        raise RequestError("sweep.prune=early looks at the signals: expected signals=on, got off")
    if settings.run_timeout and isinstance(engine, ExternalLauncherEngine):
        raise RequestError("sweep.run_timeout: this launcher stops no run; expected hydra/launcher=local")
