"""The zoo's runs, by the platform itself: a list of settings becomes a plan, the plan becomes runs."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from experiments.preflight.design import PARTS, WIDE, points, repeats
from trainlab.config import Composer
from trainlab.settings import SweepSettings
from trainlab.sweeps.engine import NullObserver
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.local_engine import LocalEngine
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, make_plan, record_plan
from trainlab.sweeps.slots import SlotSettings

REPEATS = "preflight-repeats"
SWEEP = SweepSettings(retry_failed=True, run_timeout=300.0)


def plan(runs: Path, requests: Iterable[list[str]], group: str) -> Plan:
    """All these runs, with what is left to do: the folder of runs is the truth.

    Raises:
        RequestError: a point of the design that the platform refuses.
    """
    composer = Composer()
    own = [f"paths.runs={runs.absolute()}", f"group={group}"]
    return make_plan([composer.parse([*lines, *own]) for lines in requests], composer.job, SWEEP)


def train(runs: Path, names: Collection[str] = tuple(PARTS), most: int | None = None) -> list[Outcome]:
    """Trains what is left to do of these parts, or the first `most` of it, one run a core."""
    plans = {name: plan(runs, points(part), part.group) for name, part in PARTS.items()}
    plans[REPEATS] = plan(runs, repeats(), REPEATS)
    for one in plans.values():
        record_plan(one)
        print(f"{one.group}: {one.describe()}", flush=True)
    wanted = [plans[name] for name in names] + [plans[REPEATS]] * (WIDE.name in names)
    chunk = replace(wanted[0], todo=[job for one in wanted for job in one.todo][:most])
    if not chunk.todo:
        return []
    with ForkServer() as server:
        return LocalEngine(SlotSettings(threads=1)).run(chunk, SWEEP, server, NullObserver())
