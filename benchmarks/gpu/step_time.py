"""Seconds of a training step, without what a run costs beside its steps."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.gpu.lab import Lab

BATCH_SIZE = 128
FEW_STEPS = 60
LEAST_STEPS, MOST_STEPS = 200, 20_000
QUIET = (
    "signals=false", "checkpoint=none", "trainer.val_every_epochs=1000", "data.val_size=1000",
    "data.test_size=1000",
)  # fmt: skip
"""Overrides of a run that is timed: no evaluation but the one at its end."""

_SEEDS = itertools.count()
"""No run twice: a finished one would have to be set aside first."""

Run = Callable[[int], float]
"""Does a run of so many steps, and returns the seconds of its steps by the run's own record."""


def single_runs(lab: Lab, network: tuple[str, ...], *more: str) -> Run:
    """Runs in this process, each with another seed."""
    from trainlab.config import identify
    from trainlab.training.run import train

    lab.configure()
    composed = lab.composed(*network, *QUIET, *more, "trainer.max_steps=1")

    def do(steps: int) -> float:
        sized = composed.with_value("trainer.max_steps", steps).with_value("seed", next(_SEEDS))
        result = train(identify(sized), is_checked=True)
        if result.status != "finished" or not result.samples_per_second:
            raise RuntimeError(f"run {result.run_id} is {result.status}")
        return steps * BATCH_SIZE / result.samples_per_second

    return do


@dataclass
class StepTimer:
    """The slope between a short and a long run: what a run's first steps cost is in both."""

    lab: Lab
    run: Run
    few: int
    many: int | None = None

    def seconds_per_step(self, target_seconds: float) -> float:
        """Measured now. The first time it chooses a length of which the steps take about `target_seconds`."""
        if self.many is None:
            self.choose_length(target_seconds)
        assert self.many is not None
        short = self.run(self.few)
        return max(1e-7, (self.run(self.many) - short) / (self.many - self.few))

    def choose_length(self, target_seconds: float) -> None:
        """A length of which the steps take about `target_seconds`."""
        self.run(self.few)  # libraries load, kernels are chosen
        guess = max(1e-5, (self.run(8 * self.few) - self.run(self.few)) / (7 * self.few))
        least, most = self.lab.size((LEAST_STEPS, MOST_STEPS), (2 * self.few, 4 * self.few))
        self.many = self.few + max(least, min(most, int(target_seconds / guess)))
