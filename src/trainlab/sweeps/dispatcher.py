"""Starts the tasks of a plan and handles their exits, in the same way for every engine and cause of death.

A task is a run, or a stack of runs. Each run of a stack is reserved for itself, and ends as its own record
says; a stack that has no room, or is refused, is cut into halves.

The first Ctrl-C starts no further run and asks the running ones to stop; the second kills them. A terminal
that is closed counts as one Ctrl-C.
"""

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from types import FrameType, TracebackType

from trainlab.sweeps.engine import Backend, NullObserver, ProcessExit, SweepObserver
from trainlab.sweeps.outcome import Outcome, read_outcome, record_failure
from trainlab.sweeps.plan import Task
from trainlab.sweeps.process_exit import (
    FORKSERVER_DIED,
    REFUSED,
    TIMED_OUT,
    ExitCause,
    classify_exit,
    is_out_of_memory_exit,
)
from trainlab.sweeps.reservations import RunReservations
from trainlab.sweeps.running_tasks import ReservedRun, RunningTask, reserve_task

POLL_SECONDS = 0.2
RECHECK_SECONDS = 1.0
_MAX_ATTEMPTS = 3


class Dispatcher:
    """Does the tasks of a plan on a backend, each run once, and returns how each run ended."""

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
        self._queue: deque[Task] = deque()
        self._locked_by_others: list[Task] = []
        self._last_retry = 0.0
        self._running: dict[str, RunningTask] = {}
        self._attempts: dict[str, int] = {}
        self._outcomes: list[Outcome] = []
        self._shutdown_level = 0

    def run(self, tasks: Iterable[Task]) -> list[Outcome]:
        """The outcome of every run, in the order in which they ended."""
        self._queue.extend(tasks)
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

    def _start(self, task: Task) -> None:
        """Starts those runs of a task that nobody else holds or has finished."""
        reserved = reserve_task(task, self._reservations, self._backend.threads)
        for outcome in reserved.ended:
            self._finish(outcome)
        if reserved.held:
            self._wait_for_others(task.of(reserved.held), reserved.holder)
        if reserved.running is None:
            return
        try:
            self._backend.start(reserved.running.task, reserved.running.configs)
        except OSError as error:
            reserved.running.release()
            for job in reserved.running.task.jobs:
                self._finish(Outcome(job.run_id, job.label, "failed", str(error)))
            return
        self._running[reserved.running.task.id] = reserved.running
        self._observer.task_started(reserved.running.task)

    def _wait_for_others(self, task: Task, holder: str) -> None:
        self._locked_by_others.append(task)
        self._observer.held_elsewhere(sum(len(held.jobs) for held in self._locked_by_others), holder)

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
        for task_id, running in self._running.items():
            over_time = running.seconds > (self._timeout_seconds or math.inf)
            if over_time and not running.timed_out:
                running.timed_out = True
                self._backend.kill(task_id)

    def _handle_exit(self, process_exit: ProcessExit) -> None:
        running = self._running.pop(process_exit.task_id)
        running.timed_out |= process_exit.exit_code == TIMED_OUT
        try:
            left = [run for run in running.runs if not self._finish_by_record(running, run, process_exit)]
            ended, requeued = self._end_or_requeue(running, left, process_exit)
        finally:
            running.release()
        for outcome in ended:
            self._finish(outcome)
        self._queue.extendleft(reversed(requeued))
        self._observer.task_ended(running.task)

    def _finish_by_record(self, running: RunningTask, run: ReservedRun, process_exit: ProcessExit) -> bool:
        """Whether the run's own record says how it ended; then it is finished."""
        folder = self._reservations.folder(run.job)
        outcome = read_outcome(run.job, folder, running.seconds, since=run.before)
        if outcome is None or (running.timed_out and outcome.status == "interrupted"):
            return False
        if not outcome.is_success and self._may_halve(running, process_exit):
            return False
        self._finish(outcome)
        return True

    def _may_halve(self, running: RunningTask, process_exit: ProcessExit) -> bool:
        """Whether the runs of a stack had no room together, and may have it apart."""
        return (
            len(running.task.jobs) > 1
            and not self._shutdown_level
            and not running.timed_out
            and is_out_of_memory_exit(process_exit.exit_code, running.out_of_memory.has_risen())
        )

    def _end_or_requeue(
        self, running: RunningTask, left: list[ReservedRun], process_exit: ProcessExit
    ) -> tuple[list[Outcome], list[Task]]:
        """What becomes of the runs without a final record of their own: ended, or in tasks to start again."""
        if not left:
            return [], []
        seconds, code = running.seconds, process_exit.exit_code
        rest = running.task.of([run.job for run in left])
        if self._shutdown_level:
            return [Outcome(j.run_id, j.label, "interrupted", seconds=seconds) for j in rest.jobs], []
        if running.timed_out:
            cause = ExitCause("Timeout", f"longer than sweep.run_timeout={self._timeout_seconds:g} s")
            return [self._fail(run, cause, seconds) for run in left], []
        if self._may_halve(running, process_exit):
            return [], self._halved(rest)
        if code == REFUSED and (held := [j for j in rest.jobs if self._reservations.folder(j).is_locked()]):
            self._locked_by_others.append(rest.of(held))
            others = [job for job in rest.jobs if job not in held]
            return [], [rest.of(others)] if others else []
        if code == REFUSED and rest.stack is not None:
            return [], self._apart(rest)
        if code == FORKSERVER_DIED and self._may_retry(rest):
            return [], [rest]
        cause = self._exit_cause(running, process_exit)
        return [self._fail(run, cause, seconds) for run in left], []

    def _halved(self, task: Task) -> list[Task]:
        """The runs of a stack without room, in two tasks; one that is left over gets the room to itself."""
        if len(task.jobs) == 1:
            return [task]
        halves = task.halves()
        self._observer.stack_halved(task, halves)
        return list(halves)

    def _apart(self, task: Task) -> list[Task]:
        """The runs of a stack that was refused: in halves, then alone, where each says why."""
        return list(task.halves()) if len(task.jobs) > 1 else [Task(task.jobs)]

    def _fail(self, run: ReservedRun, cause: ExitCause, seconds: float) -> Outcome:
        return record_failure(run.job, self._reservations.folder(run.job), cause, seconds, run.before)

    def _exit_cause(self, running: RunningTask, process_exit: ProcessExit) -> ExitCause:
        if process_exit.cause:
            return ExitCause("Died", process_exit.cause)
        log_folder = running.configs[0].parent
        return classify_exit(process_exit.exit_code, log_folder, running.out_of_memory.has_risen())

    def _may_retry(self, task: Task) -> bool:
        self._attempts[task.id] = self._attempts.get(task.id, 0) + 1
        return self._attempts[task.id] < _MAX_ATTEMPTS

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._observer.run_ended(outcome)

    # Stopping

    def _advance_shutdown(self, stop_signals: int) -> None:
        """Starts no further run; asks the running ones to stop, and kills them at the second signal."""
        for task in (*self._queue, *self._locked_by_others):
            self._outcomes += [Outcome(job.run_id, job.label, "unstarted") for job in task.jobs]
        self._queue.clear()
        self._locked_by_others.clear()
        if stop_signals > self._shutdown_level:
            self._shutdown_level = stop_signals
            for task_id in self._running:
                self._backend.kill(task_id) if stop_signals > 1 else self._backend.stop(task_id)

    def _kill_all(self) -> None:
        """Leaves no process running, also where the sweep itself fails."""
        for task_id, running in self._running.items():
            self._backend.kill(task_id)
            running.release()
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
