"""Starts the runs of a plan and handles their ends: the same on every engine, whatever a run dies of.

Ctrl-C once: finish what runs, start nothing. Twice: stop now. A terminal that is closed counts as once."""

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from trainlab.errors import RequestError
from trainlab.runs.result import ResultStamp
from trainlab.sweeps.engine import Backend, NullObserver, ProcessExit, SweepObserver
from trainlab.sweeps.outcome import Outcome, read_outcome, record_failure
from trainlab.sweeps.plan import Job
from trainlab.sweeps.process_exit import (
    FORKSERVER_DIED,
    REFUSED,
    TIMED_OUT,
    ExitCause,
    OutOfMemoryCounter,
    classify_exit,
)
from trainlab.sweeps.process_main import PID_FILE
from trainlab.sweeps.reservations import RunHeldElsewhere, RunReservations

TICK_SECONDS = 0.2
RECHECK_SECONDS = 1.0
_MAX_ATTEMPTS = 3


@dataclass
class _RunningJob:
    job: Job
    claim: ExitStack
    pid_file: Path
    before: ResultStamp
    timed_out: bool = False
    out_of_memory: OutOfMemoryCounter = field(default_factory=OutOfMemoryCounter)
    _begun: float | None = None

    @property
    def seconds(self) -> float:
        """Since its process was seen to begin; 0 while it waits in a queue.

        By this process's own steady clock: a file's time is another machine's, or from before a clock jumped.
        """
        if self._begun is None and self.pid_file.exists():
            self._begun = time.monotonic()
        return 0.0 if self._begun is None else time.monotonic() - self._begun


class Dispatcher:
    """Does the runs of a plan on a backend, each once, and says how each ended."""

    def __init__(
        self,
        backend: Backend,
        handover: RunReservations,
        *,
        timeout_seconds: float | None = None,
        watcher: SweepObserver | None = None,
    ):
        self._backend = backend
        self._handover = handover
        self._timeout_seconds = timeout_seconds
        self._watcher = watcher or NullObserver()
        self._queue: deque[Job] = deque()
        self._elsewhere: list[Job] = []
        self._looked_elsewhere = 0.0
        self._running: dict[str, _RunningJob] = {}
        self._attempts: dict[str, int] = {}
        self._outcomes: list[Outcome] = []
        self._stopped = 0

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        """The outcome of every job, in the order in which they ended."""
        self._queue.extend(jobs)
        with ShutdownRequests(self._watcher.stopping) as stop:
            try:
                while self._queue or self._running or self._elsewhere:
                    if stop.requests:
                        self._wind_down(stop.requests)
                    self._look_elsewhere()
                    self._fill()
                    self._collect()
                    self._watcher.tick()
            finally:
                self._abandon()
        return self._outcomes

    # Starting

    def _fill(self) -> None:
        while self._queue and self._backend.has_room(self._queue[0]):
            self._start(self._queue.popleft())

    def _start(self, job: Job) -> None:
        with ExitStack() as claim:
            try:
                done = claim.enter_context(self._handover.claim(job))
                if done is not None:
                    self._ended(done)
                    return
                before = ResultStamp.of(self._handover.folder(job).path)
                self._backend.start(job, self._handover.freeze(job, self._backend.threads))
            except RunHeldElsewhere as holder:
                self._elsewhere.append(job)
                self._watcher.elsewhere(len(self._elsewhere), str(holder))
                return
            except (OSError, RequestError) as error:
                self._ended(Outcome(job.run_id, job.label, "failed", str(error)))
                return
            pid_file = self._handover.folder(job).path / PID_FILE
            self._running[job.run_id] = _RunningJob(job, claim.pop_all(), pid_file, before)
            self._watcher.started(job)

    def _look_elsewhere(self) -> None:
        """Runs that another process had are tried again: they are finished by now, or ours to do."""
        if self._elsewhere and time.monotonic() - self._looked_elsewhere > RECHECK_SECONDS:
            self._looked_elsewhere = time.monotonic()
            self._queue.extend(self._elsewhere)
            self._elsewhere.clear()
            self._watcher.elsewhere(0)

    # Ending

    def _collect(self) -> None:
        if not self._running:
            if self._elsewhere:
                time.sleep(TICK_SECONDS)
            return
        for ended in self._backend.wait(TICK_SECONDS):
            self._judge(ended)
        for run_id, run in self._running.items():
            over_time = run.seconds > (self._timeout_seconds or math.inf)
            if over_time and not run.timed_out:
                run.timed_out = True
                self._backend.kill(run_id)

    def _judge(self, ended: ProcessExit) -> None:
        run = self._running.pop(ended.run_id)
        run.timed_out |= ended.exit_code == TIMED_OUT
        with run.claim:
            outcome = self._outcome(run, ended)
        if outcome is not None:
            self._ended(outcome)

    def _outcome(self, run: _RunningJob, ended: ProcessExit) -> Outcome | None:
        """What came of a process that is gone; None where the run is to be tried again."""
        folder, code = self._handover.folder(run.job), ended.exit_code
        outcome = read_outcome(run.job, folder, run.seconds, since=run.before)
        if outcome is not None and not (run.timed_out and outcome.status == "interrupted"):
            return outcome
        if self._stopped:
            return Outcome(run.job.run_id, run.job.label, "interrupted", seconds=run.seconds)
        if run.timed_out:
            cause = ExitCause("Timeout", f"longer than sweep.run_timeout={self._timeout_seconds:g} s")
            return record_failure(run.job, folder, cause, run.seconds, run.before)
        if code == REFUSED and folder.is_locked():
            self._elsewhere.append(run.job)
            return None
        if code == FORKSERVER_DIED and self._may_try_again(run.job.run_id):
            self._queue.appendleft(run.job)
            return None
        known = ExitCause("Died", ended.cause) if ended.cause else None
        cause = known or classify_exit(code, folder.path, run.out_of_memory.has_risen())
        return record_failure(run.job, folder, cause, run.seconds, run.before)

    def _may_try_again(self, run_id: str) -> bool:
        self._attempts[run_id] = self._attempts.get(run_id, 0) + 1
        return self._attempts[run_id] < _MAX_ATTEMPTS

    def _ended(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._watcher.ended(outcome)

    # Stopping

    def _wind_down(self, requests: int) -> None:
        """Starts nothing more; asks what runs to end, and at the second request ends it."""
        for job in (*self._queue, *self._elsewhere):
            self._outcomes.append(Outcome(job.run_id, job.label, "unstarted"))
        self._queue.clear()
        self._elsewhere.clear()
        if requests > self._stopped:
            self._stopped = requests
            for run_id in self._running:
                self._backend.kill(run_id) if requests > 1 else self._backend.stop(run_id)

    def _abandon(self) -> None:
        """Leaves nothing running behind, also where the sweep itself fails."""
        for run_id, run in self._running.items():
            self._backend.kill(run_id)
            run.claim.close()
        self._running.clear()
        self._backend.close()


SHUTDOWN_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; what `kill` sends; a closed terminal; what SLURM can be asked to send before the end."""


class ShutdownRequests:
    """Counts requests to stop while the block goes, instead of dying of them."""

    def __init__(self, on_request: Callable[[int], None]):
        self.requests = 0
        self._on_request = on_request
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "ShutdownRequests":
        if threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in SHUTDOWN_SIGNALS if hasattr(signal, name)]
            # what was started with nohup goes on when its terminal is closed
            for number in [n for n in known if signal.getsignal(n) is not signal.SIG_IGN]:
                self._before[number] = signal.signal(number, self._requested)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _requested(self, number: int, frame: FrameType | None) -> None:
        self.requests += 1
        self._on_request(self.requests)
