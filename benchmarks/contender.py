"""A process of its own that does a round whenever it is asked to: its own threads, its own terminal."""

import multiprocessing
import os
import pty
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar, cast

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


T = TypeVar("T")


class Contender(Generic[T]):
    """`make(*arguments)` is called in the process and returns what does a round.

    threads: of every library in the process; None leaves each at its default.
    terminal: whether the process has one, as a user's has; else its output goes to `log`.

    Raises RuntimeError with the process's own traceback where a round raises.
    """

    def __init__(
        self,
        make: Callable[..., Callable[[], T]],
        *arguments: object,
        log: Path,
        threads: int | None = 1,
        terminal: bool = False,
    ):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._terminal = _Terminal(log) if terminal else None
        output = self._terminal.name if self._terminal else str(log)
        with _threads(threads):
            self._process = context.Process(target=_serve, args=(theirs, output, make, arguments))
            self._process.start()
        theirs.close()
        self._answer()

    def round(self) -> T:
        """What a round returns."""
        self._connection.send("round")
        return cast("T", self._answer())

    def _answer(self) -> object:
        try:
            fault, answer = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"the process died with exit code {self._process.exitcode}") from None
        if fault:
            raise RuntimeError(fault)
        return answer

    def __enter__(self) -> "Contender[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()  # the process ends when nobody can ask it any more
        self._process.join(timeout=20)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        if self._terminal:
            self._terminal.close()


class _Terminal:
    """A pseudo-terminal of 120 × 40 that is read as fast as it is written, as a terminal window does."""

    def __init__(self, log: Path):
        self._ours, self._theirs = pty.openpty()
        self.name = os.ttyname(self._theirs)
        self._log = log.open("ab")
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                shown = os.read(self._ours, 65536)
            except OSError:  # the other end is closed
                return
            self._log.write(shown)

    def close(self) -> None:
        os.close(self._theirs)
        self._reader.join(timeout=5)
        os.close(self._ours)
        self._log.close()


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """The environment that a process is started with."""
    before = dict(os.environ)
    for variable in THREAD_VARIABLES:
        os.environ.pop(variable, None)
        if count is not None:
            os.environ[variable] = str(count)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _serve(
    connection: Connection,
    output: str,
    make: Callable[..., Callable[[], object]],
    arguments: tuple[object, ...],
) -> None:
    _write_to(output)
    os.environ["COLUMNS"], os.environ["LINES"] = "120", "40"
    try:
        do_round = make(*arguments)
        connection.send((None, None))
        while True:
            connection.recv()
            connection.send((None, do_round()))
    except EOFError:
        return
    except BaseException:
        connection.send((traceback.format_exc(), None))


def _write_to(output: str) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOCTTY, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
