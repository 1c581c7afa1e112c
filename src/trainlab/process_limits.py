"""What the system lets this process have: open files; CPU cores, by a container's limit too."""

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cores() -> int:
    """CPU cores that this process may use: those it may run on, and no more than a quota pays for.

    A part of a core counts as one: at a quota of 1.5, two runs at a time use more of it than one does.
    """
    known = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(known, math.ceil(min(cpu_quota(), known))))


def cpu_quota(root: Path = Path("/")) -> float:
    """The smallest CPU quota of this process's control group and of those above it; infinite without one.

    Version 2 says it in cpu.max, version 1 in cpu.cfs_quota_us and cpu.cfs_period_us. `root` is for tests.
    """
    return min(
        (quota for folder in _cgroup_folders(root) if (quota := _folder_quota(folder)) is not None),
        default=math.inf,
    )


def _cgroup_folders(root: Path) -> Iterator[Path]:
    """The folders of our control group and all above it, in each hierarchy that limits the CPU.

    Inside a container its own group may be mounted as the top, and the path in /proc is then not there.
    """
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        names = controllers.split(",")
        if controllers and "cpu" not in names:
            continue
        tops = [mounted / controllers, mounted / "cpu"] if controllers else [mounted, mounted / "unified"]
        for top in tops:
            folder = top / path.lstrip("/")
            while folder != top and top in folder.parents:
                yield folder
                folder = folder.parent
            yield top


def _folder_quota(folder: Path) -> float | None:
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    try:
        quota, period = map(float, words)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


FILES_PER_RUN = 8
"""Locks, the rows of metrics and signals as they come, a log, and what a tracker holds."""


def allow_open_files(runs: int) -> None:
    """Lets this process have the files of so many runs open, as far as the system's own limit allows.

    Linux gives a process 1,024 unless it asks for more. Does nothing where there is no such limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1024 + FILES_PER_RUN * runs
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
