"""When a loop is measured: at log-spaced steps, and no more than a share of its time allows."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from trainlab.signals.measured_steps import log_spaced_steps

FIRST_STEPS = 3
"""Steps that are measured whatever they cost: how a loop is wired shows in them. The time is made up for."""


GROWTH = 1.5
"""Times a measured step that the next one comes, of a loop whose length is not known."""

UNSEEN = 1.1
"""Times what the clock here counts that a measured step costs: hooks inside the backward pass, and what torch
does to call hooks, lie outside. Measured as 1.03 to 1.11 on small networks."""

WIRING_ONLY = 1
"""The step that is looked at for its wiring alone: its layers are shown by the steps beside it."""


class MeasurementPlan:
    """Which steps are measured.

    The first three; then, of a loop of `steps` steps, `measurements` log-spaced ones in all, or where its
    length is not known each that comes half as late again as the last. A step whose turn has come waits until
    what was spent so far, and what a measurement costs, is at most `budget` (a share of the time since the
    beginning; 1: no limit).
    """

    def __init__(self, steps: int | None, measurements: int, budget: float) -> None:
        self.budget = budget
        self._planned = None if steps is None else set(log_spaced_steps(max(0, steps - 1), measurements))
        self._next = 0
        self._began = time.perf_counter()
        self.spent_seconds = 0.0
        self._cost_seconds = 0.0
        self._block_began: float | None = None

    def spent_now(self) -> float:
        """Seconds spent on measuring, with those of a block that has not ended."""
        running = 0.0 if self._block_began is None else time.perf_counter() - self._block_began
        return self.spent_seconds + running

    @property
    def share(self) -> float:
        """Of the time since the beginning, what was spent on measuring."""
        return self.spent_seconds / max(time.perf_counter() - self._began, 1e-9)

    def is_due(self, step: int) -> bool:
        """Whether to measure this step."""
        if step < FIRST_STEPS:
            return True
        if step < self._next:
            return False
        elapsed = time.perf_counter() - self._began
        return self.budget >= 1 or self.spent_seconds + self._cost_seconds <= self.budget * elapsed

    def measured(self, step: int, cost_seconds: float) -> None:
        """This step was measured, at this cost."""
        self._cost_seconds = cost_seconds
        self._next = self._after(step)

    def _after(self, step: int) -> int:
        if self._planned is None:
            return max(step + 1, int(step * GROWTH))
        return min((planned for planned in self._planned if planned > step), default=2**62)

    def begin(self) -> bool:
        """Measuring begins; True where it had not begun already: blocks may be nested."""
        if self._block_began is not None:
            return False
        self._block_began = time.perf_counter()
        return True

    def end(self, began: bool) -> None:
        """What `begin` began is done."""
        if began and self._block_began is not None:
            self.spent_seconds += UNSEEN * (time.perf_counter() - self._block_began)
            self._block_began = None

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Counts the time of the block."""
        began = self.begin()
        try:
            yield
        finally:
            self.end(began)
