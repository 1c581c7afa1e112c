"""How long a run takes: over all its attempts, whatever somebody does to the clock."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import lightning as L


class Elapsed(L.Callback):
    """Seconds since `begin`, and what the attempts before took up to the checkpoint that this one loads."""

    def __init__(self) -> None:
        self._before = 0.0
        self.begin()

    def begin(self) -> None:
        """The clock goes: a monotonic one, beside the date that people read."""
        self._since, self._date = time.monotonic(), datetime.now(UTC)

    @property
    def seconds(self) -> float:
        """Of all attempts together, the time between them left out."""
        return self._before + self._of_this_attempt

    @property
    def started(self) -> str:
        """When this attempt began (ISO 8601, UTC)."""
        return self._date.isoformat(timespec="seconds")

    @property
    def finished(self) -> str:
        """Now (ISO 8601, UTC); never before it can be, where the clock has been set back meanwhile."""
        possible = self._date + timedelta(seconds=self._of_this_attempt)
        return max(possible, datetime.now(UTC)).isoformat(timespec="seconds")

    @property
    def _of_this_attempt(self) -> float:
        return time.monotonic() - self._since

    def state_dict(self) -> dict[str, Any]:
        """In every checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of the attempt that this one continues."""
        self._before = float(state_dict["seconds"])
