"""What an engine tells while it works; a display shows it."""

from typing import Protocol

from trainlab.sweeps.outcome import Outcome
from trainlab.sweeps.plan import Job


class Watcher(Protocol):
    """Told of every run as it starts and ends, of requests to stop, and often that time passes."""

    def started(self, job: Job) -> None:
        """A run has started."""

    def ended(self, outcome: Outcome) -> None:
        """A run has ended, or was found finished."""

    def elsewhere(self, count: int, holder: str = "") -> None:
        """So many runs are being worked on by another process; `holder` is that of the last one."""

    def stopping(self, requests: int) -> None:
        """The user has asked to stop, once or again."""

    def tick(self) -> None:
        """A moment to redraw."""


class Silent:
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
