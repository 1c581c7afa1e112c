"""The fork server: a process that has imported torch, from which every run is forked."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

from trainlab.errors import RequestError
from trainlab.sweeps import process_main
from trainlab.sweeps.multiprocessing_internals import use_short_socket_folder, without_main_module
from trainlab.sweeps.process_exit import describe_exit_code, memory_limit_note

PRELOAD = ("trainlab.sweeps.preload",)
_MAX_ATTEMPTS = 5
_PAUSE_SECONDS = 0.1
_GRACE_SECONDS = 0.5


class ForkServer:
    """Starts processes in about 0.1 s; where there is no forkserver (Windows), by `spawn`, in seconds."""

    def __init__(self, preload: Sequence[str] = PRELOAD):
        self._forks = "forkserver" in multiprocessing.get_all_start_methods()
        self._context: BaseContext = multiprocessing.get_context("forkserver" if self._forks else "spawn")
        self._preload = list(preload)

    def warm_up(self, *more: str) -> None:
        """Starts the server without waiting until it has imported everything, and `more` modules.

        Raises:
            RequestError: every folder for its socket has too long a path.
        """
        self._preload += [module for module in more if module not in self._preload]
        if self._forks:
            self._context.set_forkserver_preload(self._preload)
            use_short_socket_folder()
            with without_main_module():
                forkserver.ensure_running()

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
        pid = forkserver._forkserver._forkserver_pid  # pyrefly: ignore
        if self._forks and pid is not None:
            at_last = threading.Timer(_GRACE_SECONDS, _kill_if_alive, (pid,))
            at_last.start()
            forkserver._forkserver._stop()  # tells it, waits for it, and forgets it  # pyrefly: ignore
            at_last.cancel()

    def start(self, target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
        """Starts `target(*arguments, connection)` in a new process; returns it and our end of the connection.

        The other end is open for as long as the process lives, whether or not the server does.

        Raises:
            OSError: the server cannot be started, or dies again and again.
        """
        self.warm_up()
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
                    raise OSError(f"the warm server cannot be started: {error}") from error
                time.sleep(_PAUSE_SECONDS * attempt)  # its death takes a moment to be known
            finally:
                theirs.close()
        raise AssertionError

    def ask(self, function: str, *arguments: Any) -> Any:
        """What the function at `package.module:name` returns, called in a process of its own.

        Raises:
            RequestError: it could not answer: what it raised, or how its process died, and its memory limit.
        """
        try:
            process, connection = self.start(process_main.call_in_process, function, arguments)
        except OSError as error:
            raise _call_error(str(error)) from None
        try:
            found, fault = connection.recv()
        except EOFError:
            process.join()
            found, fault = None, describe_exit_code(process.exitcode)
        finally:
            connection.close()
            process.join()
        if fault is not None:
            raise _call_error(fault)
        return found


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
