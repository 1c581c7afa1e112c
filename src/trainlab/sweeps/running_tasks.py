"""A task that has a process: its runs, each reserved for itself, and how long it has been going."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from trainlab.errors import RequestError
from trainlab.runs.result import ResultStamp
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Task
from trainlab.sweeps.process_exit import OutOfMemoryCounter
from trainlab.sweeps.process_main import PID_FILE
from trainlab.sweeps.reservations import RunHeldElsewhere, RunReservations


@dataclass(frozen=True)
class ReservedRun:
    """One run of a task: its settings on disk, and its record as it was before."""

    job: Job
    config: Path
    before: ResultStamp
    reservation: ExitStack


@dataclass
class RunningTask:
    """A task whose process is started, or about to be."""

    task: Task
    runs: Sequence[ReservedRun]
    timed_out: bool = False
    out_of_memory: OutOfMemoryCounter = field(default_factory=OutOfMemoryCounter)
    _began: float | None = None

    @property
    def configs(self) -> list[Path]:
        """The frozen settings of its runs; the process tells of itself in the first one's folder."""
        return [run.config for run in self.runs]

    @property
    def seconds(self) -> float:
        """Seconds since its process was seen to have begun; 0 while it waits in a queue.

        By this process's monotonic clock: a file's time is another machine's, or from before a clock jumped.
        """
        if self._began is None and (self.configs[0].parent / PID_FILE).exists():
            self._began = time.monotonic()
        return 0.0 if self._began is None else time.monotonic() - self._began

    def release(self) -> None:
        """Gives the runs back."""
        for run in self.runs:
            run.reservation.close()


@dataclass(frozen=True)
class Reserved:
    """What became of a task's runs: to be started (None: no run is), held by others, or over already."""

    running: RunningTask | None
    held: Sequence[Job]
    holder: str
    ended: Sequence[Outcome]


def reserve_task(task: Task, reservations: RunReservations, threads: int) -> Reserved:
    """Reserves the runs of a task and writes their settings; those that another process holds are left out.

    A run that was finished meanwhile, or whose settings cannot be written, has ended.
    """
    runs: list[ReservedRun] = []
    held: list[Job] = []
    ended: list[Outcome] = []
    holder = ""
    for job in task.jobs:
        with ExitStack() as reservation:
            try:
                outcome = reservation.enter_context(reservations.reserve(job))
                if outcome is not None:
                    ended.append(outcome)
                    continue
                before = ResultStamp.of(reservations.folder(job).path)
                config = reservations.write_worker_settings(job, threads)
            except RunHeldElsewhere as error:
                held.append(job)
                holder = str(error)
                continue
            except (OSError, RequestError) as error:
                ended.append(Outcome(job.run_id, job.label, "failed", str(error)))
                continue
            runs.append(ReservedRun(job, config, before, reservation.pop_all()))
    running = RunningTask(task.of([run.job for run in runs]), runs) if runs else None
    return Reserved(running, held, holder, ended)
