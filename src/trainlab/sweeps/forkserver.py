"""The fork server: a process that has imported torch, from which every run is forked."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

from trainlab.errors import RequestError
from trainlab.sweeps.multiprocessing_internals import (
    ensure_forkserver,
    forkserver_pid,
    stop_forkserver,
    use_short_socket_folder,
    without_main_module,
)
from trainlab.sweeps.process_exit import describe_exit_code, memory_limit_note
from trainlab.sweeps.process_main import Reply, call_in_process

PRELOAD = ("trainlab.sweeps.preload",)
_MAX_ATTEMPTS = 5
_PAUSE_SECONDS = 0.1
_GRACE_SECONDS = 0.5

P = ParamSpec("P")
R = TypeVar("R")


class ForkServer:
    """Starts processes in about 0.1 s; where there is no forkserver (Windows), by `spawn`, in seconds."""

    def __init__(self, preload: Sequence[str] = PRELOAD):
        self._forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: BaseContext = multiprocessing.get_context("forkserver" if self._forks else "spawn")
        self._preload = list(preload)

    def preload(self, *modules: str) -> None:
        """Starts the server, and does not wait until it has imported everything, these modules included.

        Raises:
            RequestError: every folder for its socket has too long a path.
        """
        self._preload += [module for module in modules if module not in self._preload]
        if self._forks:
            self._context.set_forkserver_preload(self._preload)
            use_short_socket_folder()
            with without_main_module():
                ensure_forkserver()

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the server, also in the middle of its imports; processes that it has started go on.

        One that is not in the middle of something ends by itself, and takes its temporary folders with it.
        """
        if self._forks and (pid := forkserver_pid()) is not None:
            kill = threading.Timer(_GRACE_SECONDS, _kill_if_alive, (pid,))
            kill.start()
            stop_forkserver()
            kill.cancel()

    def start_process(
        self, target: Callable[..., None], *arguments: object
    ) -> tuple[BaseProcess, Connection]:
        """Starts `target(*arguments, connection)` in a new process; returns it and our end of the connection.

        The target is pickled by reference: a function at the top of a module, which the new process imports.
        The other end is open for as long as the process lives, whether or not the server does.

        Raises:
            OSError: the server cannot be started, or dies again and again.
        """
        self.preload()
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            ours, theirs = self._context.Pipe(duplex=False)
            process = self._context.Process(target=target, args=(*arguments, theirs))  # pyrefly: ignore
            try:
                with without_main_module():
                    process.start()
                return process, ours
            except (EOFError, OSError) as error:  # the server was killed: the next attempt starts another
                ours.close()
                if attempt == _MAX_ATTEMPTS:
                    raise OSError(f"the fork server cannot be started: {error}") from error
                time.sleep(_PAUSE_SECONDS * attempt)  # its death takes a moment to be known
            finally:
                theirs.close()
        raise AssertionError

    def call(self, function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
        """What the function returns, called in a process of its own; it is pickled by reference.

        Raises:
            RequestError: as the function raised it; or the process could not answer: what else was raised in
                it, or how it died, and its memory limit.
        """
        try:
            process, connection = self.start_process(call_in_process, function, arguments, keywords)
        except OSError as error:
            raise _call_error(str(error)) from None
        try:
            reply: Reply = connection.recv()
        except EOFError:
            process.join()
            reply = Reply(fault=describe_exit_code(process.exitcode))
        finally:
            connection.close()
            process.join()
        if reply.refusal is not None:
            raise RequestError(reply.refusal)
        if reply.fault is not None:
            raise _call_error(reply.fault)
        return cast("R", reply.value)


def _call_error(fault: str) -> RequestError:
    return RequestError(f"a helper process could not answer: {fault}{memory_limit_note()}")


def kill_process_group(process: BaseProcess) -> None:
    """SIGKILL to a run's process and to all that it has started."""
    try:
        os.killpg(process.pid or 0, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):  # Windows; not yet in its own group
        process.kill()


def _kill_if_alive(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
