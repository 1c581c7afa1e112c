"""The engine of this machine: forked processes on its slots; a slot is refilled the moment its run ends."""

import math
import sys
from collections.abc import Collection, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from trainlab.errors import RequestError
from trainlab.instantiate.trust import worker_environment
from trainlab.process_limits import available_cores
from trainlab.settings import SweepSettings
from trainlab.sweeps.dispatcher import Dispatcher
from trainlab.sweeps.engine import ProcessExit, SweepObserver
from trainlab.sweeps.forkserver import ForkServer, kill_process_group
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, Task
from trainlab.sweeps.process_main import CHECKED_TRAINING, Works, run_in_process, run_on_devices
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
    """Each task in a fresh process forked from the server, on slots of its own: cores or GPUs."""

    def __init__(
        self,
        slots: Sequence[Slot],
        server: ForkServer,
        works: Works = CHECKED_TRAINING,
        max_tasks: int | None = None,
    ):
        self._free = list(slots)
        self._max_tasks = max_tasks or len(slots)
        self._total = len(slots)
        self._server = server
        self._works = works
        self._slots_of: dict[str, list[Slot]] = {}
        self._processes: dict[str, BaseProcess] = {}
        self._sentinels: dict[Connection, str] = {}
        self.threads = slots[0].threads

    def has_room(self, task: Task) -> bool:
        """Whether enough slots are free, and the number of tasks at a time is not reached."""
        return len(self._processes) < self._max_tasks and self._slots_for(task) is not None

    def start(self, task: Task, configs: Sequence[Path]) -> None:
        """Forks a process from the server. Raises OSError where that cannot be done."""
        slots = self._slots_for(task)
        assert slots is not None
        environment = slot_environment(slots) | worker_environment(*(job.settings for job in task.jobs))
        if task.devices > 1:
            process, sentinel = self._server.start_process(run_on_devices, configs, environment)
        else:
            work = self._works.of(task)
            process, sentinel = self._server.start_process(run_in_process, configs, work, environment)
        for slot in slots:
            self._free.remove(slot)
        self._slots_of[task.id] = slots
        self._processes[task.id] = process
        self._sentinels[sentinel] = task.id

    def wait(self, seconds: float) -> list[ProcessExit]:
        """The tasks whose processes have ended."""
        ready = wait(list(self._sentinels), timeout=seconds)
        return [self._reap_and_free_slots(sentinel) for sentinel in ready if isinstance(sentinel, Connection)]

    def stop(self, task_id: str) -> None:
        """SIGTERM: its runs write a checkpoint and end (on Windows they just end)."""
        self._processes[task_id].terminate()

    def kill(self, task_id: str) -> None:
        """SIGKILL to the task's process group."""
        kill_process_group(self._processes[task_id])

    def close(self) -> None:
        """Waits for the last processes to be gone."""
        for sentinel in list(self._sentinels):
            wait([sentinel])
            self._reap_and_free_slots(sentinel)

    def _slots_for(self, task: Task) -> list[Slot] | None:
        return allocate_slots(self._free, task.devices, self._total)

    def _reap_and_free_slots(self, sentinel: Connection) -> ProcessExit:
        task_id = self._sentinels.pop(sentinel)
        sentinel.close()
        process = self._processes.pop(task_id)
        process.join()
        self._free.extend(self._slots_of.pop(task_id))
        return ProcessExit(task_id, process.exitcode)


class LocalEngine:
    """Runs in forked processes on this machine."""

    takes_stacks = True

    def __init__(self, settings: SlotSettings, works: Works = CHECKED_TRAINING):
        self._settings = settings
        self._works = works

    @property
    def tasks_per_gpu(self) -> int:
        """How many tasks share a GPU: `runs_per_gpu`, or more where there are more slots."""
        per_gpu = math.ceil((self._settings.slots or 1) / max(1, len(visible_gpus())))
        return max(self._settings.runs_per_gpu, per_gpu)

    def slots(self, plan: Plan) -> int:
        """How many tasks go at the same time. Raises RequestError for more GPUs than there are."""
        return max_concurrent_runs(self._settings, self._make_slots(plan))

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, observer: SweepObserver
    ) -> list[Outcome]:
        """Does the runs that are left to do, and returns how each ended."""
        reservations = RunReservations.for_sweep(plan, sweep)
        slots = self._make_slots(plan)
        backend = LocalBackend(slots, server, self._works, max_concurrent_runs(self._settings, slots))
        dispatcher = Dispatcher(backend, reservations, timeout_seconds=sweep.run_timeout, observer=observer)
        return dispatcher.run(plan.tasks)

    def _make_slots(self, plan: Plan) -> list[Slot]:
        trainers = [job.settings.trainer for job in plan.todo]
        wanted = {trainer.accelerator for trainer in trainers}
        gpus = visible_gpus() if wanted & {"auto", "gpu"} else []
        accelerator = "gpu" if gpus else ("mps" if wanted == {"mps"} else "cpu")
        _check_accelerators(wanted, gpus)
        devices = max(trainer.devices for trainer in trainers)
        if gpus and devices > len(gpus):
            raise RequestError(
                f"trainer.devices={devices}: expected at most {len(gpus)}, the GPUs of this machine"
            )
        settings = self._settings
        if accelerator == "cpu" and settings.slots is None:
            # runs that ask for more threads are fewer at a time
            most = max(trainer.threads or settings.threads or 1 for trainer in trainers)
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
