"""What a process of a sweep executes first. Imports nothing heavy before it is inside the new process."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainlab import project
from trainlab.errors import RequestError, error_with_type

if TYPE_CHECKING:
    from trainlab.sweeps.plan import Task

LOG_FILE = "log.txt"
"""In a run's folder: what the run printed while a sweep had the terminal."""

PID_FILE = ".pid"
"""In a run's folder, from the moment when its process has begun: a queue may hold it back for hours."""


Work = Callable[[Sequence[Path]], int]
"""What a task's process does with the `config.yaml` of its runs; returns the exit code."""


class Works(NamedTuple):
    """What a process does with the one run of a task, and with the runs of a stack."""

    run: Work
    stack: Work

    def of(self, task: "Task") -> Work:
        """What the task's process does."""
        return self.run if task.stack is None else self.stack


@dataclass(frozen=True)
class Reply:
    """What came of a function that was called in another process: a value, a RequestError's text, a fault."""

    value: object = None
    refusal: str | None = None
    fault: str | None = None


def train_run(configs: Sequence[Path]) -> int:
    """The work of a run: trains it. torch is imported here, in the run's own process."""
    from trainlab.training.worker import run_config_file

    [config] = configs
    return run_config_file(config)


def train_checked_run(configs: Sequence[Path]) -> int:
    """The same for a run whose settings were checked as the sweep was planned, on this machine."""
    from trainlab.training.worker import run_config_file

    [config] = configs
    return run_config_file(config, is_checked=True)


def train_stack_run(configs: Sequence[Path]) -> int:
    """The work of a stack: trains its runs together."""
    from trainlab.training.worker import run_stack_files

    return run_stack_files(configs)


TRAINING = Works(train_run, train_stack_run)
CHECKED_TRAINING = Works(train_checked_run, train_stack_run)


def run_in_process(
    configs: Sequence[Path], work: Work, environment: Mapping[str, str], sentinel: Connection
) -> None:
    """One task in a process of its own; ends the process with the exit code of `work(configs)`.

    `sentinel` is only kept open: its other end sees when this process is gone, however it went.
    """
    os.environ.update(environment)
    project.add_to_path()
    _detach(configs)
    code = work(configs)
    sentinel.close()
    sys.stdout.flush()
    sys.exit(code)


def run_on_devices(configs: Sequence[Path], environment: Mapping[str, str], sentinel: Connection) -> None:
    """One run over several devices: its launcher starts the same command once more for every device."""
    [config] = configs
    os.environ.update(environment)
    _detach(configs)
    process = subprocess.Popen(_run_command(config))
    with forward_signals(process):
        code = process.wait()
    sentinel.close()
    sys.exit(code if code >= 0 else 128 - code)


@contextmanager
def forward_signals(process: subprocess.Popen) -> Iterator[None]:
    """Passes the signals that ask this process to stop on to one that it has started."""
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, lambda n, _: process.send_signal(n)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_submitted(configs: Sequence[Path], work: Work | None, environment: Mapping[str, str]) -> int:
    """One task in a process that a cluster has started; `work` None for a run over several devices."""
    os.environ.update(environment)
    project.add_to_path()
    _detach(configs)
    if work is None:
        [config] = configs
        return subprocess.run(_run_command(config), check=False).returncode
    return work(configs)


def call_in_process(
    function: Callable[..., object],
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    connection: Connection,
) -> None:
    """Calls a function in a process of its own and sends back what it returns, or what it raised."""
    _terminate_with_parent()
    try:
        reply = Reply(function(*arguments, **keywords))
    except RequestError as error:
        reply = Reply(refusal=str(error))
    except Exception as error:  # an import that finds no memory, a class of the user's, …
        reply = Reply(fault=_root_cause(error))
    connection.send(reply)
    connection.close()


def _root_cause(error: BaseException) -> str:
    """`MemoryError: …`: what an exception came of, in one line."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return error_with_type(error)


def _run_command(config: Path) -> list[str]:
    """The command line of one run and nothing else: a launcher repeats it for every device."""
    return [sys.executable, "-m", "trainlab.training", str(config)]


def _detach(configs: Sequence[Path]) -> None:
    """Leaves the terminal's process group, sends output to the run's folder, ends with the parent process.

    The output of a stack is in its first run's folder; the logs of the others say so.
    """
    folder, *others = [config.parent for config in configs]
    if hasattr(os, "setsid"):
        os.setsid()
    for other in others:
        with (other / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(f"in a stack of {len(configs)}: its output is in ../{folder.name}/{LOG_FILE}\n")
    (folder / PID_FILE).write_text(str(os.getpid()), encoding="ascii")
    descriptor = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    _terminate_with_parent()


def _terminate_with_parent() -> None:
    """Asks this process to stop once its parent process is gone: runs are interrupted then, not orphaned."""
    parent = parent_process()
    if parent is None:
        return

    def terminate_after_it() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminate_after_it, name="parent-watch", daemon=True).start()
