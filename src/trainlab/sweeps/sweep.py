"""One sweep, start to end: a grid, a plan, the runs, the answer."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hydra.core.override_parser.types import Override
from rich.console import Console

from trainlab.config.schema import SweepSettings, checked
from trainlab.errors import RequestError
from trainlab.sweeps import summary
from trainlab.sweeps.architectures import check_architectures
from trainlab.sweeps.display import Display
from trainlab.sweeps.estimate import show_estimate
from trainlab.sweeps.failed import SweepFailed
from trainlab.sweeps.grid import Grid
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, make_plan, record_plan
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.watch import Watcher

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
    settings = _checked(values)
    server = WarmServer()
    plan = make_plan(grid.jobs(), compose, settings, grid.swept, on_first_todo=server.warm_up)
    slots = engine.slots(plan) if plan.todo else 1
    check_architectures(plan.todo, server)
    console.print(f"[bold]{plan.group}[/bold]: {plan.describe()}", highlight=False)
    if settings["plan_only"]:
        show_estimate(plan, slots, server, console)
        return []
    record_plan(plan)
    ended: list[Outcome] = []
    if plan.todo:
        with Display(plan, console) as display:
            ended = engine.run(plan, settings, server, display)
    outcomes = summary.outcomes_of_all(plan, ended)
    summary.show(plan, outcomes, console)
    if not all(outcome.is_good for outcome in outcomes):
        raise SweepFailed(f"sweep {plan.group}: not all runs are done")
    return outcomes


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    try:
        settings = checked(SweepSettings, values)
    except RequestError as error:
        raise RequestError(f"sweep.{str(error).replace('; ', '; sweep.')}") from None
    if settings["prune"] != "none" or settings["audit"]:
        raise RequestError(
            f"sweep.prune={settings['prune']}, sweep.audit={settings['audit']:g}: "
            "needs `trainlab preflight`, which this version does not have; expected none and 0"
        )
    return settings
