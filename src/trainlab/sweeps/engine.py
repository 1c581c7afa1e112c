"""What an engine is (Ray, SLURM, this machine), and what it reports while runs start and end."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from trainlab.errors import RequestError
from trainlab.settings import SweepSettings
from trainlab.sweeps.forkserver import ForkServer
from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job, Plan


class SweepObserver(Protocol):
    """Told of every run as it starts and ends, of requests to stop, and often that time passes."""

    def started(self, job: Job) -> None:
        """A run has started."""

    def ended(self, outcome: Outcome) -> None:
        """A run has ended, or was found finished."""

    def elsewhere(self, count: int, holder: str = "") -> None:
        """So many runs are locked by another process; `holder` is that of the last one."""

    def stopping(self, requests: int) -> None:
        """The user has asked to stop, once or again."""

    def tick(self) -> None:
        """A moment to redraw."""


class NullObserver:
    """A watcher that shows nothing."""

    def started(self, job: Job) -> None:
        """Nothing."""

    def ended(self, outcome: Outcome) -> None:
        """Nothing."""

    def elsewhere(self, count: int, holder: str = "") -> None:
        """Nothing."""

    def stopping(self, requests: int) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""


def require_package(package: str, launcher: str, extra: str) -> None:
    """Raises RequestError, with the command that installs it, where `package` is missing."""
    if find_spec(package) is None:
        raise RequestError(
            f"hydra/launcher={launcher} needs the package {package}: pip install 'trainlab[{extra}]'"
        )


@dataclass(frozen=True)
class ProcessExit:
    """A process that is gone: its run, its exit code, and what the engine knows of its death."""

    run_id: str
    exit_code: int | None
    cause: str | None = None


class Backend(Protocol):
    """An engine's own part: how a frozen settings file becomes a process somewhere."""

    threads: int

    def has_room(self, job: Job) -> bool:
        """Whether the run can start now."""
        ...

    def start(self, job: Job, config: Path) -> None:
        """Starts the run of a settings file. Raises OSError where that cannot be done."""
        ...

    def wait(self, seconds: float) -> list[ProcessExit]:
        """The runs that are over, waiting for at most so long for one."""
        ...

    def stop(self, run_id: str) -> None:
        """Asks a run to write a checkpoint and end."""
        ...

    def kill(self, run_id: str) -> None:
        """Ends a run at once, with everything that it has started."""
        ...

    def close(self) -> None:
        """Gives back what the engine holds; nothing is running any more."""
        ...


class Engine(Protocol):
    """Where the runs of a plan are done."""

    def slots(self, plan: Plan) -> int:
        """How many runs go at the same time. Raises RequestError where the plan cannot be run here."""
        ...

    def run(
        self, plan: Plan, sweep: SweepSettings, server: ForkServer, watcher: SweepObserver
    ) -> list[Outcome]:
        """Does what is to do and returns how each run ended."""
        ...
