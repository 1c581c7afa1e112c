"""Seconds of a training step, without what a run costs beside its steps: the slope between two lengths."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.gpu.lab import Lab

if TYPE_CHECKING:
    from trainlab.settings import RunSettings

_SEEDS = itertools.count()
"""No run twice: a finished one would have to be set aside first."""
BATCH_SIZE = 128
FEW_STEPS = 60
LEAST_STEPS, MOST_STEPS = 200, 20_000
QUIET = (
    "signals=false",
    "checkpoint=none",
    "trainer.val_every_epochs=1000",
    "data.val_size=1000",
    "data.test_size=1000",
)
"""Overrides of a run that is timed: no evaluation but the one at its end."""


@dataclass
class StepTimer:
    """`do(steps)` does whole runs of so many steps and waits for the device; the device is warm already."""

    lab: Lab
    do: Callable[[int], object]
    few: int
    many: int | None = None

    def warm_up(self, target_seconds: float) -> None:
        """The first runs, not counted; chooses a length of which the steps take about `target_seconds`."""
        self._seconds(self.few)
        guess = max(1e-5, (self._seconds(4 * self.few) - self._seconds(self.few)) / (3 * self.few))
        least, most = self.lab.size((LEAST_STEPS, MOST_STEPS), (2 * self.few, 4 * self.few))
        self.many = self.few + max(least, min(most, int(target_seconds / guess)))

    def seconds_per_step(self) -> float:
        """The slope between a short and a long run, both timed now."""
        assert self.many is not None, "warm_up comes first"
        short = min(self._seconds(self.few), self._seconds(self.few))
        return max(1e-7, (self._seconds(self.many) - short) / (self.many - self.few))

    def _seconds(self, steps: int) -> float:
        began = time.perf_counter()
        self.do(steps)
        self.lab.synchronize()
        return time.perf_counter() - began


def single_runs(lab: Lab, network: tuple[str, ...], *more: str) -> Callable[[int], object]:
    """Does one run of so many steps, in this process; each time another seed."""
    from trainlab.training.run import train

    return _each_time_new(lab, (*network, *more), 1, lambda settings: train(settings[0]))


def stacks(lab: Lab, network: tuple[str, ...], size: int, *more: str) -> Callable[[int], object]:
    """Does a stack of `size` runs of so many steps, in this process; each time other seeds.

    Raises ImportError where there are no stacks.
    """
    from trainlab.training.stack import train_stack  # pyrefly: ignore[missing-import]

    return _each_time_new(lab, (*network, *more), size, train_stack)


def _each_time_new(
    lab: Lab, words: tuple[str, ...], runs: int, do: "Callable[[list[RunSettings]], object]"
) -> Callable[[int], object]:
    from trainlab.config import identify

    lab.configure()
    composed = lab.composed(*words, *QUIET, "trainer.max_steps=1")

    def do_steps(steps: int) -> object:
        sized = composed.with_value("trainer.max_steps", steps)
        return do([identify(sized.with_value("seed", next(_SEEDS))) for _ in range(runs)])

    return do_steps
