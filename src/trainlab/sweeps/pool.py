"""Runs on this machine: a slot is refilled the moment its run ends."""

from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from trainlab.build import trust
from trainlab.sweeps import entry
from trainlab.sweeps.dispatch import Ended
from trainlab.sweeps.plan import Job
from trainlab.sweeps.server import WarmServer, kill
from trainlab.sweeps.slots import Slot, environment, free_places

WORK = "trainlab.training.worker:work"


class Pool:
    """A backend of slots over the warm server: each run in a fresh process, on its own cores or GPUs."""

    def __init__(self, slots: Sequence[Slot], server: WarmServer, work: str = WORK, most: int | None = None):
        self._free = list(slots)
        self._most = most or len(slots)
        self._total = len(slots)
        self._server = server
        self._work = work
        self._places: dict[str, list[Slot]] = {}
        self._processes: dict[str, BaseProcess] = {}
        self._lifelines: dict[Connection, str] = {}
        self.threads = slots[0].threads

    def has_room(self, job: Job) -> bool:
        """Whether enough slots are free, and fewer runs go than may."""
        return len(self._processes) < self._most and self._places_for(job) is not None

    def start(self, job: Job, config: Path) -> None:
        """Forks a run from the warm server. Raises OSError where that cannot be done."""
        places = self._places_for(job)
        assert places is not None
        settings = job.settings
        told = environment(places) | trust.worker_environment(settings)
        if settings["trainer"]["devices"] > 1:
            process, lifeline = self._server.start(entry.run_devices, config, told)
        else:
            process, lifeline = self._server.start(entry.run, config, self._work, told)
        for slot in places:
            self._free.remove(slot)
        self._places[job.run_id] = places
        self._processes[job.run_id] = process
        self._lifelines[lifeline] = job.run_id

    def wait(self, seconds: float) -> list[Ended]:
        """The runs whose processes are gone."""
        ready = wait(list(self._lifelines), timeout=seconds)
        return [self._ended(lifeline) for lifeline in ready if isinstance(lifeline, Connection)]

    def stop(self, run_id: str) -> None:
        """SIGTERM: the run writes a checkpoint and ends (on Windows it just ends)."""
        self._processes[run_id].terminate()

    def kill(self, run_id: str) -> None:
        """SIGKILL to the run and to all that it has started."""
        kill(self._processes[run_id])

    def close(self) -> None:
        """Waits for the last processes to be gone."""
        for lifeline in list(self._lifelines):
            wait([lifeline])
            self._ended(lifeline)

    def _places_for(self, job: Job) -> list[Slot] | None:
        return free_places(self._free, job.settings["trainer"]["devices"], self._total)

    def _ended(self, lifeline: Connection) -> Ended:
        run_id = self._lifelines.pop(lifeline)
        lifeline.close()
        process = self._processes.pop(run_id)
        process.join()
        self._free.extend(self._places.pop(run_id))
        return Ended(run_id, process.exitcode)
