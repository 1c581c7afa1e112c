"""What a process of a sweep executes first. Imports nothing heavy before it is inside the new process."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from trainlab import project
from trainlab.errors import error_with_type

LOG_FILE = "log.txt"
"""In a run's folder: what the run printed while a sweep had the terminal."""

PID_FILE = ".pid"
"""In a run's folder, from the moment when its process has begun: a queue may hold it back for hours."""


def run_in_process(config: Path, work: str, environment: Mapping[str, str], lifeline: Connection) -> None:
    """One run in a process of its own; ends the process with the exit code of `work(config)`.

    `lifeline` is only held: its other end sees when this process is gone, however it went.
    """
    os.environ.update(environment)
    project.add_to_path()
    _detach(config.parent)
    code = import_function(work)(config)
    lifeline.close()
    sys.stdout.flush()
    sys.exit(code)


def run_on_devices(config: Path, environment: Mapping[str, str], lifeline: Connection) -> None:
    """One run over several devices: its launcher starts the same command once more for every device."""
    os.environ.update(environment)
    _detach(config.parent)
    process = subprocess.Popen(_run_command(config))
    with forward_signals(process):
        code = process.wait()
    lifeline.close()
    sys.exit(code if code >= 0 else 128 - code)


@contextmanager
def forward_signals(process: subprocess.Popen) -> Iterator[None]:
    """What asks this process to stop asks the one that it has started: SIGTERM, SIGINT and their like."""
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda n, _: process.send_signal(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_submitted(config: Path, work: str | None, environment: Mapping[str, str]) -> int:
    """One run in a process that a cluster has started; `work` None for one over several devices."""
    os.environ.update(environment)
    project.add_to_path()
    _detach(config.parent)
    if work is None:
        return subprocess.run(_run_command(config), check=False).returncode
    return import_function(work)(config)


def call_in_process(function: str, arguments: tuple[Any, ...], connection: Connection) -> None:
    """Calls a function in a process of its own and sends back what it returns, or what it raised."""
    _terminate_with_parent()
    try:
        found, fault = import_function(function)(*arguments), None
    except Exception as error:  # an import that finds no memory, a class of the user's, …
        found, fault = None, _root_cause(error)
    connection.send((found, fault))
    connection.close()


def import_function(function: str) -> Any:
    """The function at `package.module:name`."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


def _root_cause(error: BaseException) -> str:
    """`MemoryError: …`: what an exception came of, in one line."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error_with_type(error)


def _run_command(config: Path) -> list[str]:
    """The command line of one run and nothing else: a launcher repeats it for every device."""
    return [sys.executable, "-m", "trainlab.training", str(config)]


def _detach(folder: Path) -> None:
    """Out of the terminal's process group, output into the run's folder, and no longer than the sweep."""
    if hasattr(os, "setsid"):
        os.setsid()
    (folder / PID_FILE).write_text(str(os.getpid()), encoding="ascii")
    descriptor = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    _terminate_with_parent()


def _terminate_with_parent() -> None:
    """Asks this process to stop once the sweep is gone: its runs are then interrupted, not orphaned."""
    sweep = parent_process()
    if sweep is None:
        return

    def watch() -> None:
        wait([sweep.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="sweep-watch", daemon=True).start()
