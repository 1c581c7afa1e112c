"""From a plan to a worker: the run is reserved, looked up once more, and its settings are frozen on disk."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainlab.runs.locks import LockHeldError, hold_lock
from trainlab.runs.result import DONE_STATUSES
from trainlab.runs.run_folder import RunFolder
from trainlab.settings import PruningRequest, RunSettings, SweepSettings
from trainlab.sweeps.outcome import Outcome, read_outcome
from trainlab.sweeps.plan import Job, Plan
from trainlab.sweeps.process_main import PID_FILE

RESERVATION_FILE = ".claim"


class RunHeldElsewhere(Exception):
    """The run is held by another process, of a sweep or started by hand; the text says which."""


@dataclass(frozen=True)
class RunReservations:
    """Reserves the runs of a sweep one by one, so that sweeps that share a run do it once.

    The sweep holds a lock (`.claim`) from the last look at the run's record until its worker has ended; the
    worker holds the run's own lock. Both locks end with their processes.
    """

    runs: Path
    group: str
    rerun: bool = False
    pruning: PruningRequest | None = None

    @classmethod
    def for_sweep(cls, plan: Plan, sweep: SweepSettings) -> "RunReservations":
        """The reservations that a sweep with these settings makes."""
        pruning = PruningRequest(by=sweep.prune, audit=sweep.audit) if sweep.prune != "none" else None
        return cls(plan.runs, plan.group, sweep.rerun, pruning)

    def folder(self, job: Job) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.runs / job.run_id)

    @contextmanager
    def reserve(self, job: Job) -> Iterator[Outcome | None]:
        """Holds the run; yields its outcome where another sweep has finished it since the plan was made.

        Raises:
            RunHeldElsewhere: another process works on it.
            RequestError: nothing can be written.
        """
        folder = self.folder(job).create()
        with ExitStack() as lock:
            try:
                lock.enter_context(hold_lock(folder.path / RESERVATION_FILE))
            except LockHeldError as error:
                raise RunHeldElsewhere(error.owner) from None
            if folder.is_locked():
                raise RunHeldElsewhere("another process")
            yield self._finished_since(job, folder)

    def _finished_since(self, job: Job, folder: RunFolder) -> Outcome | None:
        if self.rerun:
            return None
        outcome = read_outcome(job, folder, reused=True)
        return outcome if outcome is not None and outcome.status in DONE_STATUSES else None

    def write_worker_settings(self, job: Job, threads: int) -> Path:
        """Writes the settings that a worker gets, and returns where. Raises RequestError on a full disk."""
        folder = self.folder(job)
        folder.write_settings(self._worker_settings(job, threads))
        (folder.path / PID_FILE).unlink(missing_ok=True)
        return folder.path / "config.yaml"

    def _worker_settings(self, job: Job, threads: int) -> RunSettings:
        """The run's settings with what its place in the sweep adds; nothing of it is part of its identity."""
        settings = job.settings
        trainer = settings.trainer.replace(threads=settings.trainer.threads or threads, progress_bar=False)
        settings = settings.replace(group=self.group, trainer=trainer)
        if self.rerun:
            settings = settings.replace(rerun=True)
        return settings.replace(pruning=self.pruning) if self.pruning else settings
