"""Files that are either there, whole, or not there."""

import os
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A path beside `path` to write to; at the end it is on the disk and takes the place of `path`.

    When the block raises (or the disk is full) the half-written file is removed and `path` stays as it was.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        _to_disk(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself lasts only once the folder is on the disk; Windows cannot ask
        _to_disk(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step. Raises OSError (disk full, …) and changes nothing."""
    with replacing(path) as beside:
        beside.write_bytes(text.encode())


def append_whole(path: Path, text: str) -> None:
    """Append `text` in a single write, so that lines of several processes never mix. Raises OSError,
    also for a link in its place: it may lead anywhere."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe in its place is an error, not a wait
    descriptor = os.open(path, flags, 0o666)  # the umask decides who else may write
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
