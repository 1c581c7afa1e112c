"""How many files a process may have open: one that works on a hundred runs holds several for each of them."""

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
