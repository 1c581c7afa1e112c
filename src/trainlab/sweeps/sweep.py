"""One sweep, start to end: a grid, a plan, the runs, the answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from hydra.core.override_parser.types import Override
from rich.console import Console

from trainlab.config.schema import checked_sweep
from trainlab.errors import RequestError
from trainlab.sweeps import summary
from trainlab.sweeps.architectures import check_architectures
from trainlab.sweeps.data_notes import DataNotes
from trainlab.sweeps.display import Display
from trainlab.sweeps.estimate import show_estimate
from trainlab.sweeps.failed import SweepFailed
from trainlab.sweeps.foreign import ForeignEngine
from trainlab.sweeps.grid import Grid
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, lacking_lines, make_plan, record_plan
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.unused import unused
from trainlab.sweeps.watch import Watcher
from trainlab.terminal import marked

SLOW_TRACKERS = {"wandb": ("wandb", "wandb.sdk.launch.inputs.internal")}
"""What runs import that use a tracker, once in the warm server instead of for two seconds in every run.

`wandb.init` itself imports the second module, its largest: a second of CPU time.
"""

Compose = Callable[[Sequence[Override]], dict[str, Any]]


class Engine(Protocol):
    """Where the runs of a plan are done."""

    def slots(self, plan: Plan) -> int:
        """How many runs go at the same time. Raises RequestError where the plan cannot be run here."""
        ...

    def run(self, plan: Plan, sweep: dict[str, Any], server: WarmServer, watcher: Watcher) -> list[Outcome]:
        """Does what is to do and returns how each run ended."""
        ...


def sweep(
    grid: Grid, compose: Compose, values: dict[str, Any], engine: Engine, console: Console
) -> list[Outcome]:
    """Plans, checks, runs and sums up.

    Raises:
        RequestError: something is wrong with the request; nothing was started.
        SweepFailed: something failed or was interrupted; the summary says which.
    """
    settings = checked_sweep(values)
    with WarmServer() as server:
        plan, ended = _planned_and_run(grid, compose, settings, engine, server, console)
    if settings["plan_only"]:
        return []
    outcomes = summary.outcomes_of_all(plan, ended)
    summary.show(plan, outcomes, console, settings["prune"])
    if not all(outcome.is_good for outcome in outcomes):
        raise SweepFailed(f"sweep {plan.group}: not all runs are done")
    return outcomes


def _planned_and_run(
    grid: Grid,
    compose: Compose,
    settings: dict[str, Any],
    engine: Engine,
    server: WarmServer,
    console: Console,
) -> tuple[Plan, list[Outcome]]:

    def warm_up(first: Mapping[str, Any]) -> None:
        tracker = str(first["logger"]["_target_"])
        server.warm_up(*(m for name, modules in SLOW_TRACKERS.items() if name in tracker for m in modules))

    plan = make_plan(grid.jobs(), compose, settings, grid.swept, on_first_todo=warm_up)
    if settings["prune"] == "early" and any(job.settings["signals"] is False for job in plan.todo):
        raise RequestError("sweep.prune=early looks at the signals: expected signals=on, got off")
    if settings["run_timeout"] and isinstance(engine, ForeignEngine):
        raise RequestError("sweep.run_timeout: this launcher stops no run; expected hydra/launcher=local")
    slots = engine.slots(plan) if plan.todo else 1
    check_architectures(plan.todo, server)
    if not settings["plan_only"]:
        record_plan(plan)
    console.print(marked("[bold]{}[/bold]: {}", plan.group, plan.describe()))
    for line in [*lacking_lines(plan), *(unused(plan, server) if plan.todo else [])]:
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)
    notes = DataNotes(plan, console)
    notes.of_files()
    if settings["plan_only"]:
        show_estimate(plan, slots, server, console)
        return plan, []
    if not plan.todo:
        return plan, []
    with Display(plan, console) as display:
        ended = engine.run(plan, settings, server, display)
    notes.of_images()
    return plan, ended
