"""A socket's path holds about a hundred bytes, and the folder for temporary files may be longer."""

import multiprocessing.process
import multiprocessing.util
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trainlab.errors import RequestError

MOST_BYTES = 70
"""Of the folder: macOS takes 104 bytes, and multiprocessing adds `/pymp-xxxxxxxx/listener-xxxxxxxx`."""
MOST_BYTES_OF_RAY = 30
"""The same for Ray, which adds `/ray/session_…/sockets/plasma_store`."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def make_room_for_sockets() -> None:
    """Has multiprocessing keep its sockets in a folder whose path is short enough, whatever TMPDIR says.

    It makes that folder once for the whole process; everything else goes where TMPDIR says.

    Raises:
        RequestError: none can be written.
    """
    chosen = tempfile.gettempdir()
    if multiprocessing.process.current_process()._config.get("tempdir") or _fits(chosen):  # pyrefly: ignore
        return
    before = tempfile.tempdir
    try:
        tempfile.tempdir = _short_folder(chosen)
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = before


def make_room_for_sockets_of_ray() -> None:
    """The same for Ray, which goes by an environment variable of its own. Raises RequestError."""
    chosen = tempfile.gettempdir()
    if "RAY_TMPDIR" not in os.environ and not _fits(chosen, MOST_BYTES_OF_RAY):
        os.environ["RAY_TMPDIR"] = _short_folder(chosen, MOST_BYTES_OF_RAY)


def _short_folder(too_long: str, most_bytes: int = MOST_BYTES) -> str:
    for folder in _candidates():
        if _fits(folder, most_bytes) and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise RequestError(
        f"TMPDIR={too_long}: too long for the path of a socket; expected at most {most_bytes} bytes"
    )


def _candidates() -> Iterator[str]:
    yield from SHORT_FOLDERS
    if "XDG_RUNTIME_DIR" in os.environ:
        yield os.environ["XDG_RUNTIME_DIR"]
    yield str(Path.home())
    yield str(Path.cwd())


def _fits(folder: str, most_bytes: int = MOST_BYTES) -> bool:
    return len(os.fsencode(folder)) <= most_bytes
