"""Whether the system has killed a process of ours for want of memory."""

from pathlib import Path

_EVENTS = Path("/sys/fs/cgroup/memory.events")


class OutOfMemoryCounter:
    """Notes Linux's count of such kills in our control group, to see later whether it has risen."""

    def __init__(self) -> None:
        self._before = _kills()

    def has_risen(self) -> bool:
        """Whether something was killed since; False where the system does not count."""
        return _kills() > self._before


def _kills() -> int:
    try:
        lines = _EVENTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
