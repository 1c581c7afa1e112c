"""Does the items: each in a process of its own, which may fail, hang or be late."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.gpu import outcome as outcomes
from benchmarks.gpu.catalogue import Item
from benchmarks.gpu.lab import GO_FILE
from benchmarks.gpu.outcome import Outcome
from benchmarks.workspace import REPOSITORY
from trainlab.sweeps.forkserver import ForkServer

MARK = "TRAINLAB_GPU_ITEM"
"""In the environment of an item's commands and of all that they start, wherever they have gone."""
POLL_SECONDS = 0.05
LOG_TAIL_CHARACTERS = 2000
PRELOAD = (
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "trainlab.training.worker",
    "benchmarks.gpu.lab",
)


class ItemProcess(Protocol):
    """A process that is forked."""

    pid: int | None

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        ...


@dataclass(frozen=True)
class Place:
    """Where the items work, and on what. at_once: how many of those that are not timed go side by side.

    prepares_early: timed items get ready while others run, which takes cores that are free. patience: so many
    times the seconds of each item.
    """

    device: str
    folder: Path
    data: Path
    at_once: int = 1
    prepares_early: bool = False
    patience: float = 1.0


@dataclass
class _Running:
    """An item's process; `began` is None while a timed item gets ready."""

    item: Item
    process: "ItemProcess | subprocess.Popen[bytes]"
    folder: Path
    mark: str
    limit: float
    began: float | None
    started: float

    @property
    def seconds(self) -> float:
        """Since its time began."""
        return time.monotonic() - (self.started if self.began is None else self.began)


class Runner:
    """After `seconds` nothing of it is running any more; `on_end` is told of each outcome at once.

    import_seconds: what it took to start Python and import torch and Lightning, once it is known.

    An item gets what is left where that is less than its own limit, and is not begun where it needs more.
    """

    def __init__(
        self,
        place: Place,
        seconds: float,
        on_end: Callable[[Outcome], None],
        preload: Sequence[str] = PRELOAD,
    ):
        self._place, self._on_end = place, on_end
        self._deadline = time.monotonic() + seconds
        self._running: list[_Running] = []
        self._server = ForkServer(preload)
        self._is_warm = threading.Event()
        self.import_seconds: float | None = None

    def run(self, items: Sequence[Item]) -> None:
        """Does all of them."""
        with self._server:
            if any(item.is_forked for item in items):
                threading.Thread(target=self._warm_up, daemon=True).start()
            try:
                self._run([i for i in items if not i.is_timed], [i for i in items if i.is_timed])
            finally:
                for one in self._running:  # Ctrl-C, or a fault of the kit's own
                    _kill(one)

    def _warm_up(self) -> None:
        """The server has imported everything once it has answered."""
        began = time.monotonic()
        with suppress(Exception):  # the items that need it will say what is wrong
            self._server.call(os.getpid)
            self.import_seconds = round(time.monotonic() - began, 1)
        self._is_warm.set()

    def _run(self, untimed: list[Item], timed: list[Item]) -> None:
        while untimed or timed or self._running:
            busy = [one for one in self._running if not one.item.is_timed]
            while untimed and len(busy) < self._place.at_once and (item := self._next(untimed)):
                untimed.remove(item)
                busy += self._begin(item)
            if timed and (self._place.prepares_early or not (untimed or self._running)):
                while timed and (item := self._next(timed[:1])):  # in their order
                    timed.remove(item)
                    self._begin(item)
                    if not self._place.prepares_early:
                        break
            if not untimed:
                self._let_one_go()
            for one in [one for one in self._running if self._is_over(one)]:
                self._running.remove(one)
                self._on_end(_outcome(one))
            time.sleep(POLL_SECONDS)

    def _next(self, waiting: Sequence[Item]) -> Item | None:
        """The first that can be started: those that are forked wait until the server is warm."""
        return next((item for item in waiting if not item.is_forked or self._is_warm.is_set()), None)

    def _begin(self, item: Item) -> list[_Running]:
        left = self._left
        if left < item.least:
            self._on_end(Outcome(item.name, item.question, error=f"{max(0.0, left):.0f} s were left"))
            return []
        try:
            one = self._start(item, min(item.seconds * self._place.patience, left))
        except OSError as error:
            self._on_end(Outcome(item.name, item.question, "FAILED", error=str(error)))
            return []
        self._running.append(one)
        return [one]

    def _let_one_go(self) -> None:
        """The next timed item may begin once nothing is running but others that are getting ready."""
        if any(one.began is not None for one in self._running):
            return
        for one in [one for one in self._running if one.began is None]:
            if self._left < one.item.least:
                self._running.remove(one)
                _kill(one)
                text = f"{max(0.0, self._left):.0f} s were left"
                self._on_end(Outcome(one.item.name, one.item.question, error=text))
                continue
            one.began, one.limit = time.monotonic(), min(one.item.seconds * self._place.patience, self._left)
            beside = one.folder / f".{GO_FILE}"
            beside.write_text(f"{one.limit:.3f}", encoding="ascii")
            beside.replace(one.folder / GO_FILE)
            return

    @property
    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _is_over(self, one: _Running) -> bool:
        if one.process.poll() is not None:
            return True
        return self._left <= 0 or (one.began is not None and one.seconds > one.limit)

    def _start(self, item: Item, seconds: float) -> _Running:
        folder = self._place.folder / "".join(c if c.isalnum() else "-" for c in item.name)
        folder.mkdir(parents=True, exist_ok=True)
        request, log, mark = folder / "request.json", folder / "log.txt", uuid.uuid4().hex
        request.write_text(
            json.dumps(
                {
                    "name": item.name, "question": item.question, "function": item.function,
                    "seconds": seconds, "is_timed": item.is_timed, "device": self._place.device,
                    "folder": str(folder), "cache": str(self._place.folder / "cache"),
                    "data": str(self._place.data), "answer": str(folder / "answer.json"),
                }
            ),
            encoding="utf-8",
        )  # fmt: skip
        if item.is_forked:
            process: ItemProcess | subprocess.Popen[bytes] = _Forked(self._server, request, log, {MARK: mark})
        else:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", "benchmarks.gpu.item_process", str(request)],
                    cwd=REPOSITORY, env=os.environ | {MARK: mark}, stdin=subprocess.DEVNULL,
                    stdout=output, stderr=output, start_new_session=True,
                )  # fmt: skip
        now = time.monotonic()
        return _Running(item, process, folder, mark, seconds, None if item.is_timed else now, now)


class _Forked:
    """A process that is forked from the warm server."""

    def __init__(self, server: ForkServer, request: Path, log: Path, environment: dict[str, str]):
        from benchmarks.gpu.item_process import serve

        self._process, self._sentinel = server.start_process(serve, str(request), str(log), environment)
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode


def _outcome(one: _Running) -> Outcome:
    """The outcome of an item whose process has ended, or is ended now because its time is up."""
    is_late = one.process.poll() is None
    code = one.process.poll()
    _kill(one)  # also what it may have left behind
    found = outcomes.read(one.folder / "answer.json", one.item.name, one.item.question)
    found.seconds = round(one.seconds, 1)
    if is_late:
        found.status, found.error = "FAILED", f"not done after {one.seconds:.0f} s: killed"
    elif found.status == "no time":  # it died before it could judge itself
        log = _read(one.folder / "log.txt").strip()
        found.status = "FAILED"
        found.error = f"{log[-LOG_TAIL_CHARACTERS:]}\nits process died with exit code {code}".lstrip()
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _kill(one: _Running) -> None:
    """SIGKILL to the process group, and to what has left it: runs of a sweep have sessions of their own."""
    if one.process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(one.process.pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):  # it has not made its group yet
            if one.process.poll() is None:
                os.kill(one.process.pid, signal.SIGKILL)
    for pid in _marked(one.mark):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _marked(mark: str) -> list[int]:
    """The processes that were started with the mark; empty where the system does not tell."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in environment.read_bytes().split(b"\0"):
                found.append(int(environment.parent.name))
    return found
