"""What an engine is (Ray, SLURM, this machine), and what it reports while runs start and end."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from trainlab.errors import RequestError
from trainlab.settings import SweepSettings
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Plan, Task


class SweepObserver(Protocol):
    """Is told what happens while the runs of a sweep are done; a display is one."""

    def task_started(self, task: Task) -> None: ...

    def task_ended(self, task: Task) -> None:
        """Its process is gone; how each of its runs ended is told before."""
        ...

    def run_ended(self, outcome: Outcome) -> None:
        """A run has ended, or was found finished."""
        ...

    def stack_halved(self, task: Task, halves: Sequence[Task]) -> None:
        """The runs of a stack have no room together: these are tried instead."""
        ...

    def held_elsewhere(self, count: int, holder: str = "") -> None:
        """Other processes work on so many of the runs; `holder` is that of the last one found."""
        ...

    def stop_requested(self, requests: int) -> None:
        """The user has asked to stop, for the first time (1) or again (2, …)."""
        ...

    def tick(self) -> None:
        """Called several times a second: a moment to redraw."""
        ...


class NullObserver:
    """Shows nothing."""

    def task_started(self, task: Task) -> None: ...

    def task_ended(self, task: Task) -> None: ...

    def run_ended(self, outcome: Outcome) -> None: ...

    def stack_halved(self, task: Task, halves: Sequence[Task]) -> None: ...

    def held_elsewhere(self, count: int, holder: str = "") -> None: ...

    def stop_requested(self, requests: int) -> None: ...

    def tick(self) -> None: ...


def require_package(package: str, launcher: str, extra: str) -> None:
    """Raises RequestError, with the command that installs it, where `package` is missing."""
    if find_spec(package) is None:
        raise RequestError(
            f"hydra/launcher={launcher} needs the package {package}: pip install 'trainlab[{extra}]'"
        )


@dataclass(frozen=True)
class ProcessExit:
    """A process that has ended: its task, its exit code, and the cause of its end if the engine knows it."""

    task_id: str
    exit_code: int | None
    cause: str | None = None


class Backend(Protocol):
    """How an engine turns the frozen settings files of a task into a process somewhere, and ends it."""

    threads: int

    def has_room(self, task: Task) -> bool:
        """Whether the task can start now."""
        ...

    def start(self, task: Task, configs: Sequence[Path]) -> None:
        """Starts the runs of these settings files. Raises OSError where that cannot be done."""
        ...

    def wait(self, seconds: float) -> list[ProcessExit]:
        """The tasks that are over, waiting for at most so long for one."""
        ...

    def stop(self, task_id: str) -> None:
        """Asks a task's runs to write a checkpoint and end."""
        ...

    def kill(self, task_id: str) -> None:
        """Ends a task at once, with everything that it has started."""
        ...

    def close(self) -> None:
        """Gives back what the engine holds; nothing is running any more."""
        ...


class Engine(Protocol):
    """Where the runs of a plan are done.

    `takes_stacks`: it starts tasks of several runs. `tasks_per_gpu`: so many share the memory of a GPU.
    """

    takes_stacks: bool

    @property
    def tasks_per_gpu(self) -> int: ...

    def slots(self, plan: Plan) -> int:
        """How many tasks go at the same time. Raises RequestError where the plan cannot be run here."""
        ...

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, observer: SweepObserver
    ) -> list[Outcome]:
        """Does the runs of the plan that are left to do, and returns how each ended."""
        ...
