"""What multiprocessing keeps private and a sweep needs: its fork server's process, its sockets' folder.

Nothing else of trainlab touches these parts; `tests/sweeps/test_multiprocessing_internals.py` says which of
them has changed when a new Python version breaks one.
"""

import multiprocessing.process
import multiprocessing.util
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path

from trainlab.errors import RequestError

MAX_FOLDER_BYTES = 70
"""Of the folder: macOS takes 104 bytes, and multiprocessing adds `/pymp-xxxxxxxx/listener-xxxxxxxx`."""
MAX_RAY_FOLDER_BYTES = 30
"""The same for Ray, which adds `/ray/session_…/sockets/plasma_store`."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


def ensure_forkserver() -> None:
    """Starts the fork server of this process unless it runs; it imports what is to be preloaded."""
    forkserver.ensure_running()


def forkserver_pid() -> int | None:
    """The process id of the fork server; None where none was started, or it was stopped."""
    return forkserver._forkserver._forkserver_pid  # pyrefly: ignore


def stop_forkserver() -> None:
    """Tells the fork server to end, waits until it has, and forgets it: the next process starts another."""
    forkserver._forkserver._stop()  # pyrefly: ignore


@contextmanager
def without_main_module() -> Iterator[None]:
    """Keeps multiprocessing from running the user's script once more in every new process."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


# A socket's path holds about a hundred bytes, and the folder for temporary files may be longer


def use_short_socket_folder() -> None:
    """Has multiprocessing keep its sockets in a folder whose path is short enough, whatever TMPDIR says.

    It makes that folder once for the whole process; everything else goes where TMPDIR says.

    Raises:
        RequestError: none can be written.
    """
    chosen = tempfile.gettempdir()
    if socket_folder() or _fits(chosen):
        return
    before = tempfile.tempdir
    try:
        tempfile.tempdir = _short_folder(chosen)
        multiprocessing.util.get_temp_dir()
    finally:
        tempfile.tempdir = before


def socket_folder() -> str | None:
    """The folder in which multiprocessing keeps its sockets; None before it has made one."""
    return multiprocessing.process.current_process()._config.get("tempdir")  # pyrefly: ignore


def use_short_ray_folder() -> None:
    """The same for Ray, which goes by an environment variable of its own. Raises RequestError."""
    chosen = tempfile.gettempdir()
    if "RAY_TMPDIR" not in os.environ and not _fits(chosen, MAX_RAY_FOLDER_BYTES):
        os.environ["RAY_TMPDIR"] = _short_folder(chosen, MAX_RAY_FOLDER_BYTES)


def _short_folder(too_long: str, most_bytes: int = MAX_FOLDER_BYTES) -> str:
    for folder in _candidate_folders():
        if _fits(folder, most_bytes) and Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise RequestError(
        f"TMPDIR={too_long}: too long for the path of a socket; expected at most {most_bytes} bytes"
    )


def _candidate_folders() -> Iterator[str]:
    yield from SHORT_FOLDERS
    if "XDG_RUNTIME_DIR" in os.environ:
        yield os.environ["XDG_RUNTIME_DIR"]
    yield str(Path.home())
    yield str(Path.cwd())


def _fits(folder: str, most_bytes: int = MAX_FOLDER_BYTES) -> bool:
    return len(os.fsencode(folder)) <= most_bytes
