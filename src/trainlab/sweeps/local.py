"""The engine of this machine: a pool of slots over the warm server."""

import sys
from collections.abc import Collection
from typing import Any

from trainlab.cores import cores
from trainlab.errors import RequestError
from trainlab.sweeps.dispatch import Dispatcher
from trainlab.sweeps.handover import Handover
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan
from trainlab.sweeps.pool import WORK, Pool
from trainlab.sweeps.server import WarmServer
from trainlab.sweeps.slots import Slot, SlotSettings, make_slots, most_at_once, visible_gpus
from trainlab.sweeps.watch import Watcher


class LocalEngine:
    """Runs in warm processes on this machine."""

    def __init__(self, settings: SlotSettings, work: str = WORK):
        self._settings = settings
        self._work = work

    def slots(self, plan: Plan) -> int:
        """How many runs go at the same time. Raises RequestError for more GPUs than there are."""
        return most_at_once(self._settings, self._places(plan))

    def run(self, plan: Plan, sweep: dict[str, Any], server: WarmServer, watcher: Watcher) -> list[Outcome]:
        """Does what is to do and returns how each run ended."""
        handover = Handover.of(plan, sweep)
        places = self._places(plan)
        pool = Pool(places, server, self._work, most_at_once(self._settings, places))
        dispatcher = Dispatcher(pool, handover, timeout_seconds=sweep["run_timeout"], watcher=watcher)
        return dispatcher.run(plan.todo)

    def _places(self, plan: Plan) -> list[Slot]:
        trainers = [job.settings["trainer"] for job in plan.todo]
        wanted = {trainer["accelerator"] for trainer in trainers}
        gpus = visible_gpus() if wanted & {"auto", "gpu"} else []
        accelerator = "gpu" if gpus else ("mps" if wanted == {"mps"} else "cpu")
        _check_there_is(wanted, gpus)
        devices = max(trainer["devices"] for trainer in trainers)
        if gpus and devices > len(gpus):
            raise RequestError(
                f"trainer.devices={devices}: expected at most {len(gpus)}, the GPUs of this machine"
            )
        settings = self._settings
        if (
            accelerator == "cpu" and settings.slots is None
        ):  # runs that ask for more threads are fewer at a time
            most = max(trainer["threads"] or settings.threads or 1 for trainer in trainers)
            settings = settings.model_copy(update={"slots": max(1, cores() // most)})
        return make_slots(settings, accelerator, gpus, cores())


def _check_there_is(accelerators: Collection[str], gpus: Collection[str]) -> None:
    """Refuses what no run of this machine could have, found without torch. An Apple machine may have mps."""
    for kind in sorted({"gpu", "mps"} & set(accelerators)):
        has_it = sys.platform == "darwin" or (kind == "gpu" and bool(gpus))
        if not has_it:
            raise RequestError(
                f"trainer.accelerator={kind}: this machine has none; "
                "expected trainer=cpu, or auto for the fastest that there is"
            )
