"""The engine of this machine: forked processes on its slots; a slot is refilled the moment its run ends."""

import sys
from collections.abc import Collection, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from trainlab.cores import available_cores
from trainlab.errors import RequestError
from trainlab.instantiate import trust
from trainlab.settings import SweepSettings
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.engine import ProcessExit, SweepObserver
from trainlab.sweeps.forkserver import ForkServer, kill_process_group
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Plan
from trainlab.sweeps.process_main import Work, run_in_process, run_on_devices, train_checked_run
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.slots import (
    Slot,
    SlotSettings,
    allocate_slots,
    make_slots,
    max_concurrent_runs,
    slot_environment,
    visible_gpus,
)


class LocalBackend:
    """A backend of slots over the warm server: each run in a fresh process, on its own cores or GPUs."""

    def __init__(
        self,
        slots: Sequence[Slot],
        server: ForkServer,
        work: Work = train_checked_run,
        most: int | None = None,
    ):
        self._free = list(slots)
        self._most = most or len(slots)
        self._total = len(slots)
        self._server = server
        self._work = work
        self._places: dict[str, list[Slot]] = {}
        self._processes: dict[str, BaseProcess] = {}
        self._sentinels: dict[Connection, str] = {}
        self.threads = slots[0].threads

    def has_room(self, job: Job) -> bool:
        """Whether enough slots are free, and fewer runs go than may."""
        return len(self._processes) < self._most and self._places_for(job) is not None

    def start(self, job: Job, config: Path) -> None:
        """Forks a run from the warm server. Raises OSError where that cannot be done."""
        places = self._places_for(job)
        assert places is not None
        settings = job.settings
        told = slot_environment(places) | trust.worker_environment(settings)
        if settings["trainer"]["devices"] > 1:
            process, sentinel = self._server.start_process(run_on_devices, config, told)
        else:
            process, sentinel = self._server.start_process(run_in_process, config, self._work, told)
        for slot in places:
            self._free.remove(slot)
        self._places[job.run_id] = places
        self._processes[job.run_id] = process
        self._sentinels[sentinel] = job.run_id

    def wait(self, seconds: float) -> list[ProcessExit]:
        """The runs whose processes are gone."""
        ready = wait(list(self._sentinels), timeout=seconds)
        return [self._ended(sentinel) for sentinel in ready if isinstance(sentinel, Connection)]

    def stop(self, run_id: str) -> None:
        """SIGTERM: the run writes a checkpoint and ends (on Windows it just ends)."""
        self._processes[run_id].terminate()

    def kill(self, run_id: str) -> None:
        """SIGKILL to the run and to all that it has started."""
        kill_process_group(self._processes[run_id])

    def close(self) -> None:
        """Waits for the last processes to be gone."""
        for sentinel in list(self._sentinels):
            wait([sentinel])
            self._ended(sentinel)

    def _places_for(self, job: Job) -> list[Slot] | None:
        return allocate_slots(self._free, job.settings["trainer"]["devices"], self._total)

    def _ended(self, sentinel: Connection) -> ProcessExit:
        run_id = self._sentinels.pop(sentinel)
        sentinel.close()
        process = self._processes.pop(run_id)
        process.join()
        self._free.extend(self._places.pop(run_id))
        return ProcessExit(run_id, process.exitcode)


class LocalEngine:
    """Runs in warm processes on this machine."""

    def __init__(self, settings: SlotSettings, work: Work = train_checked_run):
        self._settings = settings
        self._work = work

    def slots(self, plan: Plan) -> int:
        """How many runs go at the same time. Raises RequestError for more GPUs than there are."""
        return max_concurrent_runs(self._settings, self._places(plan))

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, watcher: SweepObserver
    ) -> list[Outcome]:
        """Does what is to do and returns how each run ended."""
        handover = RunReservations.of(plan, sweep)
        places = self._places(plan)
        pool = LocalBackend(places, server, self._work, max_concurrent_runs(self._settings, places))
        dispatcher = Dispatcher(pool, handover, timeout_seconds=sweep["run_timeout"], watcher=watcher)
        return dispatcher.run(plan.todo)

    def _places(self, plan: Plan) -> list[Slot]:
        trainers = [job.settings["trainer"] for job in plan.todo]
        wanted = {trainer["accelerator"] for trainer in trainers}
        gpus = visible_gpus() if wanted & {"auto", "gpu"} else []
        accelerator = "gpu" if gpus else ("mps" if wanted == {"mps"} else "cpu")
        _check_accelerators(wanted, gpus)
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
            settings = settings.model_copy(update={"slots": max(1, available_cores() // most)})
        return make_slots(settings, accelerator, gpus, available_cores())


def _check_accelerators(accelerators: Collection[str], gpus: Collection[str]) -> None:
    """Refuses what no run of this machine could have, found without torch. An Apple machine may have mps."""
    for kind in sorted({"gpu", "mps"} & set(accelerators)):
        has_it = sys.platform == "darwin" or (kind == "gpu" and bool(gpus))
        if not has_it:
            raise RequestError(
                f"trainer.accelerator={kind}: this machine has none; "
                "expected trainer=cpu, or auto for the fastest that there is"
            )
