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
"""A file that another machine has not freshened for so long, by our own steady clock, is left over."""
STALE_SECONDS = 10 * LEASE_SECONDS
"""By its date alone, where there is no time to watch it."""
POLL_SECONDS = 0.02

_contended: dict[str, SoftFileLease] = {}
"""Files that were another's at the last attempt: the same object has watched them since."""


class LockHeldError(Exception):
    """Somebody else holds it; the text says who, as far as that is known, and what tells us so."""

    def __init__(self, who: str | None, told_by: str = "") -> None:
        self.who = who or "another process"
        super().__init__(f"{self.who}{told_by}")


@contextmanager
def hold_lock(path: Path, timeout_seconds: float = 0.0) -> Iterator[None]:
    """Holds the lock at `path` for this process, waiting so long for another to release it.

    For a holder on another machine, whose end cannot be seen, it is waited until its file is left over,
    unless no wait was asked for.

    Raises:
        Held: another process holds it.
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
    """Whether a process holds the lock at `path` now; nobody does where nothing can be written."""
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
    """The file beside the lock, made. Raises Held where another's is there, though the lock let us in."""
    name = str(_owner_file(path))
    lease = _contended.pop(name, None) or SoftFileLease(name, lease_duration=LEASE_SECONDS)
    if timeout_seconds and _is_of_another_machine(lease):
        timeout_seconds = LEASE_SECONDS + 5
    try:
        lease.acquire(timeout=timeout_seconds, poll_interval=POLL_SECONDS)
    except Timeout:
        _contended[name] = lease
        told_by = f", by {name}, which counts until {LEASE_SECONDS:g} s after its last sign of life"
        raise LockHeldError(_describe_owner(path), told_by) from None
    return lease


def _owner_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.owner")


def _is_of_another_machine(lease: SoftFileLease) -> bool:
    return lease.owner is not None and lease.owner.hostname.partition("?")[0] != socket.gethostname()


def _describe_owner(path: Path) -> str | None:
    owner = SoftFileLease(str(_owner_file(path)), lease_duration=LEASE_SECONDS).owner
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}" if owner else None


def _is_stale(path: Path) -> bool:
    """Whether what keeps us out is another machine's file that nobody has freshened for long."""
    owner_file = _owner_file(path)
    try:
        old = time.time() - owner_file.stat().st_mtime > STALE_SECONDS
    except OSError:
        return False
    return old and _is_of_another_machine(SoftFileLease(str(owner_file), lease_duration=LEASE_SECONDS))
