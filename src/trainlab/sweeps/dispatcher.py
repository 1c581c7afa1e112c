"""Starts the runs of a plan and handles their exits, in the same way for every engine and cause of death.

The first Ctrl-C starts no further run and asks the running ones to stop; the second kills them. A terminal
that is closed counts as one Ctrl-C.
"""

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

POLL_SECONDS = 0.2
RECHECK_SECONDS = 1.0
_MAX_ATTEMPTS = 3


@dataclass
class _RunningJob:
    job: Job
    reservation: ExitStack
    pid_file: Path
    before: ResultStamp
    timed_out: bool = False
    out_of_memory: OutOfMemoryCounter = field(default_factory=OutOfMemoryCounter)
    _began: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since its process was seen to have begun; 0 while it waits in a queue.

        By this process's monotonic clock: a file's time is another machine's, or from before a clock jumped.
        """
        if self._began is None and self.pid_file.exists():
            self._began = time.monotonic()
        return 0.0 if self._began is None else time.monotonic() - self._began


class Dispatcher:
    """Does the runs of a plan on a backend, each once, and returns how each ended."""

    def __init__(
        self,
        backend: Backend,
        reservations: RunReservations,
        *,
        timeout_seconds: float | None = None,
        observer: SweepObserver | None = None,
    ):
        self._backend = backend
        self._reservations = reservations
        self._timeout_seconds = timeout_seconds
        self._observer = observer or NullObserver()
        self._queue: deque[Job] = deque()
        self._locked_by_others: list[Job] = []
        self._last_retry = 0.0
        self._running: dict[str, _RunningJob] = {}
        self._attempts: dict[str, int] = {}
        self._outcomes: list[Outcome] = []
        self._shutdown_level = 0

    def run(self, jobs: Iterable[Job]) -> list[Outcome]:
        """The outcome of every job, in the order in which they ended."""
        self._queue.extend(jobs)
        with ShutdownRequests(self._observer.stop_requested) as shutdown:
            try:
                while self._queue or self._running or self._locked_by_others:
                    if shutdown.stop_signals:
                        self._advance_shutdown(shutdown.stop_signals)
                    self._retry_locked_by_others()
                    self._fill_slots()
                    self._wait_for_exits()
                    self._enforce_timeouts()
                    self._observer.tick()
            finally:
                self._kill_all()
        return self._outcomes

    # Starting

    def _fill_slots(self) -> None:
        while self._queue and self._backend.has_room(self._queue[0]):
            self._start(self._queue.popleft())

    def _start(self, job: Job) -> None:
        with ExitStack() as reservation:
            try:
                outcome = reservation.enter_context(self._reservations.reserve(job))
                if outcome is not None:
                    self._finish(outcome)
                    return
                before = ResultStamp.of(self._reservations.folder(job).path)
                self._backend.start(job, self._reservations.write_worker_settings(job, self._backend.threads))
            except RunHeldElsewhere as error:
                self._locked_by_others.append(job)
                self._observer.held_elsewhere(len(self._locked_by_others), str(error))
                return
            except (OSError, RequestError) as error:
                self._finish(Outcome(job.run_id, job.label, "failed", str(error)))
                return
            pid_file = self._reservations.folder(job).path / PID_FILE
            self._running[job.run_id] = _RunningJob(job, reservation.pop_all(), pid_file, before)
            self._observer.run_started(job)

    def _retry_locked_by_others(self) -> None:
        """Queues the runs again that another process held: it may have finished or released them by now."""
        if self._locked_by_others and time.monotonic() - self._last_retry > RECHECK_SECONDS:
            self._last_retry = time.monotonic()
            self._queue.extend(self._locked_by_others)
            self._locked_by_others.clear()
            self._observer.held_elsewhere(0)

    # Ending

    def _wait_for_exits(self) -> None:
        if not self._running:
            if self._locked_by_others:
                time.sleep(POLL_SECONDS)
            return
        for process_exit in self._backend.wait(POLL_SECONDS):
            self._handle_exit(process_exit)

    def _enforce_timeouts(self) -> None:
        for run_id, run in self._running.items():
            over_time = run.seconds > (self._timeout_seconds or math.inf)
            if over_time and not run.timed_out:
                run.timed_out = True
                self._backend.kill(run_id)

    def _handle_exit(self, process_exit: ProcessExit) -> None:
        run = self._running.pop(process_exit.run_id)
        run.timed_out |= process_exit.exit_code == TIMED_OUT
        with run.reservation:
            outcome = self._record_or_requeue(run, process_exit)
        if outcome is not None:
            self._finish(outcome)

    def _record_or_requeue(self, run: _RunningJob, process_exit: ProcessExit) -> Outcome | None:
        """The outcome of a run whose process has exited, recorded if it failed; None where it is requeued."""
        folder, code = self._reservations.folder(run.job), process_exit.exit_code
        outcome = read_outcome(run.job, folder, run.seconds, since=run.before)
        if outcome is not None and not (run.timed_out and outcome.status == "interrupted"):
            return outcome
        if self._shutdown_level:
            return Outcome(run.job.run_id, run.job.label, "interrupted", seconds=run.seconds)
        if run.timed_out:
            cause = ExitCause("Timeout", f"longer than sweep.run_timeout={self._timeout_seconds:g} s")
            return record_failure(run.job, folder, cause, run.seconds, run.before)
        if code == REFUSED and folder.is_locked():
            self._locked_by_others.append(run.job)
            return None
        if code == FORKSERVER_DIED and self._may_retry(run.job.run_id):
            self._queue.appendleft(run.job)
            return None
        cause = (
            ExitCause("Died", process_exit.cause)
            if process_exit.cause
            else classify_exit(code, folder.path, run.out_of_memory.has_risen())
        )
        return record_failure(run.job, folder, cause, run.seconds, run.before)

    def _may_retry(self, run_id: str) -> bool:
        self._attempts[run_id] = self._attempts.get(run_id, 0) + 1
        return self._attempts[run_id] < _MAX_ATTEMPTS

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._observer.run_ended(outcome)

    # Stopping

    def _advance_shutdown(self, stop_signals: int) -> None:
        """Starts no further run; asks the running ones to stop, and kills them at the second signal."""
        for job in (*self._queue, *self._locked_by_others):
            self._outcomes.append(Outcome(job.run_id, job.label, "unstarted"))
        self._queue.clear()
        self._locked_by_others.clear()
        if stop_signals > self._shutdown_level:
            self._shutdown_level = stop_signals
            for run_id in self._running:
                self._backend.kill(run_id) if stop_signals > 1 else self._backend.stop(run_id)

    def _kill_all(self) -> None:
        """Leaves no process running, also where the sweep itself fails."""
        for run_id, run in self._running.items():
            self._backend.kill(run_id)
            run.reservation.close()
        self._running.clear()
        self._backend.close()


SHUTDOWN_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Ctrl-C; what `kill` sends; a closed terminal; what SLURM can be told to send before the time limit."""


Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None


class ShutdownRequests:
    """Counts the signals to stop inside the block, where the signals do not end this process."""

    def __init__(self, on_request: Callable[[int], None]):
        self.stop_signals = 0
        self._on_request = on_request
        self._before: dict[int, Handler] = {}

    def __enter__(self) -> "ShutdownRequests":
        if threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in SHUTDOWN_SIGNALS if hasattr(signal, name)]
            # what was started with nohup goes on when its terminal is closed
            for number in [n for n in known if signal.getsignal(n) is not signal.SIG_IGN]:
                self._before[number] = signal.signal(number, self._handle_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop_signals += 1
        self._on_request(self.stop_signals)
