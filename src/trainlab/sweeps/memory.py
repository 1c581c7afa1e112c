"""What the system knows of memory: how much we have used, and whether it has killed for want of it."""

import sys
from pathlib import Path

_EVENTS = Path("/sys/fs/cgroup/memory.events")


class OutOfMemoryCounter:
    """Notes Linux's count of such kills in our control group, to see later whether it has risen."""

    def __init__(self) -> None:
        self._before = _kills()

    def has_risen(self) -> bool:
        """Whether something was killed since; False where the system does not count."""
        return _kills() > self._before


def peak_bytes() -> int:
    """The most memory that this process has held, what it shares included; 0 where that is not known."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def limit_of_memory() -> str:
    """`; memory is limited to 1.1 GiB (ulimit -v)`, for the end of a message; empty where it is not."""
    try:
        import resource
    except ImportError:  # Windows
        return ""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return ""
    return f"; memory is limited to {limit / 2**30:.1f} GiB (ulimit -v): expected a higher limit"


def _kills() -> int:
    try:
        lines = _EVENTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
