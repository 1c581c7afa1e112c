"""One process at a time, also where the locks of the file system do not lock.

A lock (`flock`) is released when its process ends, but on some network folders it holds on one machine only,
or nowhere. So the holder also leaves a file beside it that names its machine, process and start. The file is
created exclusively, refreshed while the lock is held, and removed afterwards. One whose process has ended is
ignored; one of another machine counts for as long as it is refreshed."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, SoftFileLease, Timeout

LEASE_SECONDS = 30.0
"""A lease file that another machine has not refreshed for so long, by our own monotonic clock, is stale."""
STALE_SECONDS = 10 * LEASE_SECONDS
"""The same by its date alone, where there is no time to watch it."""
POLL_SECONDS = 0.02

_contended: dict[str, SoftFileLease] = {}
"""Lease files that another process held at the last attempt: the same object has watched them since."""


class LockHeldError(Exception):
    """Another process holds the lock; the text names it, as far as it is known, and says how we know."""

    def __init__(self, owner: str | None, evidence: str = "") -> None:
        self.owner = owner or "another process"
        super().__init__(f"{self.owner}{evidence}")


@contextmanager
def hold_lock(path: Path, timeout_seconds: float = 0.0) -> Iterator[None]:
    """Holds the lock at `path` for this process, waiting up to `timeout_seconds` for another to release it.

    The end of a holder on another machine cannot be seen: it is waited until its lease file is stale, unless
    the timeout is 0.

    Raises:
        LockHeldError: another process holds it.
        OSError: nothing can be written there, or locks are refused.
    """
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout_seconds, poll_interval=POLL_SECONDS)
    except Timeout:
        raise LockHeldError(_describe_owner(path)) from None
    try:
        lease = _acquire_lease(path, timeout_seconds)
        try:
            yield
        finally:
            lease.release()
    finally:
        lock.release()


def is_lock_held(path: Path) -> bool:
    """Whether a process holds the lock at `path` now; none does where nothing can be written."""
    if not path.exists():
        return False
    try:
        with hold_lock(path):
            return False
    except LockHeldError:
        return not _is_stale(path)
    except OSError:
        return False


def _acquire_lease(path: Path, timeout_seconds: float) -> SoftFileLease:
    """The lease file beside the lock. Raises LockHeldError for another's, though we have the lock."""
    name = str(_owner_file(path))
    lease = _contended.pop(name, None) or SoftFileLease(name, lease_duration=LEASE_SECONDS)
    if timeout_seconds and _is_of_another_machine(lease):
        timeout_seconds = LEASE_SECONDS + 5
    try:
        lease.acquire(timeout=timeout_seconds, poll_interval=POLL_SECONDS)
    except Timeout:
        _contended[name] = lease
        evidence = f", by {name}, which counts until {LEASE_SECONDS:g} s after its last refresh"
        raise LockHeldError(_describe_owner(path), evidence) from None
    return lease


def _owner_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")


def _is_of_another_machine(lease: SoftFileLease) -> bool:
    return lease.owner is not None and lease.owner.hostname.partition("?")[0] != socket.gethostname()


def _describe_owner(path: Path) -> str | None:
    owner = SoftFileLease(str(_owner_file(path)), lease_duration=LEASE_SECONDS).owner
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}" if owner else None


def _is_stale(path: Path) -> bool:
    """Whether the lease file is another machine's and has not been refreshed for long."""
    owner_file = _owner_file(path)
    try:
        is_old = time.time() - owner_file.stat().st_mtime > STALE_SECONDS
    except OSError:
        return False
    return is_old and _is_of_another_machine(SoftFileLease(str(owner_file), lease_duration=LEASE_SECONDS))
