"""Why a process ended that left no record: its exit code, its log, and what the system knows of memory."""

import shutil
import signal
from pathlib import Path
from typing import NamedTuple

from trainlab.sweeps.process_main import LOG_FILE
from trainlab.training.out_of_memory import OUT_OF_MEMORY_STACK

_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


class OutOfMemoryCounter:
    """Notes Linux's count of such kills in our control group, to see later whether it has risen."""

    def __init__(self) -> None:
        self._before = _oom_kill_count()

    def has_risen(self) -> bool:
        """Whether something was killed since; False where the system does not count."""
        return _oom_kill_count() > self._before


def memory_limit_note() -> str:
    """`; memory is limited to 1.1 GiB (ulimit -v)`, for the end of a message; empty where it is not."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return f"; memory is limited to {limit / 2**30:.1f} GiB (ulimit -v): expected a higher limit"


def _oom_kill_count() -> int:
    try:
        lines = _CGROUP_EVENTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


FORKSERVER_DIED = 255
"""The exit code that multiprocessing reports when the server died that would have known the real one."""
REFUSED = 2
"""The exit code of a worker that refused its settings, or found the run locked; nothing is recorded."""
TIMED_OUT = 124
"""The exit code of a run that was ended where it ran because it took too long, as `timeout` has it."""

MIN_FREE_BYTES = 2**16
"""A disk with less room than this is full: no record fits."""


class ExitCause(NamedTuple):
    """Why a run failed that could not say so itself: what kind of end, and what is known of it."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def is_out_of_memory_exit(exit_code: int | None, ran_out_of_memory: bool) -> bool:
    """Whether a stack's process ended because its runs had no room: by itself, or killed by the system.

    Or aborted (seen on a GPU): libraries do so that find no room where they cannot say so. What aborts for
    another reason is found by it too: in the end it is a run alone, and the others are done.
    """
    if exit_code in (OUT_OF_MEMORY_STACK, -signal.SIGABRT):
        return True
    return ran_out_of_memory and (exit_code is None or exit_code < 0)


def classify_exit(exit_code: int | None, folder: Path, ran_out_of_memory: bool = False) -> ExitCause:
    """Why a process ended without a record, as far as its exit code and its log tell."""
    if ran_out_of_memory:
        return ExitCause("OutOfMemory", "the system killed it for want of memory")
    if exit_code == OUT_OF_MEMORY_STACK:
        words = _last_log_line(folder / LOG_FILE)
        return ExitCause("OutOfMemory", words or "it needs more memory than there is")
    if exit_code is not None and exit_code < 0:
        return ExitCause("Killed", describe_exit_code(exit_code).removeprefix("killed "))
    words = _last_log_line(folder / LOG_FILE)
    if words is None and _is_disk_full(folder):
        return ExitCause("DiskFull", "no space left on device, not even for its log")
    kind = "Refused" if exit_code == REFUSED and words else "Died"
    return ExitCause(kind, words or f"exit code {exit_code} and no record")


def _is_disk_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < MIN_FREE_BYTES
    except OSError:
        return False


def _last_log_line(log: Path) -> str | None:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    # submitit logs a line of its own after the run's last one
    own = (line for line in reversed(lines) if line.strip() and not line.startswith("submitit "))
    return next((line.removeprefix("trainlab: ").strip() for line in own), None)


def describe_exit_code(exit_code: int | None) -> str:
    """How a process ended that left no word, by its exit code; a negative one is a signal's number."""
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    guess = ", perhaps for want of memory" if name in ("SIGKILL", "SIGABRT", "SIGSEGV", "SIGBUS") else ""
    return f"killed by {name}{guess}"
