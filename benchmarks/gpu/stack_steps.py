"""The steps of a stack alone, as its trainer takes them: nothing is validated or recorded."""

import gc
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.gpu.lab import Lab
from benchmarks.gpu.step_time import QUIET
from trainlab.build.data import load_data
from trainlab.build.networks import build_initialized_model
from trainlab.config import identify

if TYPE_CHECKING:
    from trainlab.nn.normalization import NormalizedNetwork
    from trainlab.settings import RunSettings
    from trainlab.stacked.assembly import Stack

READ_EVERY_STEPS = 50
SCHEDULED_STEPS = 5000
WARM_UP_STEPS = 5


class StackSteps:
    """A stack of runs that differ in their seeds. Building it may raise, when it is first used."""

    def __init__(self, lab: Lab, network: tuple[str, ...], size: int) -> None:
        self.size, self.build_seconds = size, 0.0
        self._lab, self._network = lab, network
        self._settings: list[RunSettings] = []
        self._models: list[NormalizedNetwork] = []
        self._stack: Stack | None = None
        self._steps = 0

    def prepare(self) -> None:
        """The networks, on the processor."""
        if not self._models:
            self._lab.configure()
            composed = self._lab.composed(*self._network, *QUIET, f"trainer.max_steps={SCHEDULED_STEPS}")
            self._settings = [identify(composed.with_value("seed", seed)) for seed in range(self.size)]
            self._images = load_data(self._settings[0])
            self._models = [build_initialized_model(own, self._images) for own in self._settings]

    def build(self) -> "Stack":
        """On the device, each layer in its fastest form: this measures, and wants a device for itself."""
        from trainlab.stacked.assembly import Stack

        if self._stack is None:
            self.prepare()
            began = time.perf_counter()
            images = [self._images] * self.size
            self._stack = Stack.build(self._settings, images, self._models, self._lab.torch_device)
            self._step = self._stack.step
            self._batches = self._endless(self._stack)
            self._lab.synchronize()
            self.build_seconds = time.perf_counter() - began
        return self._stack

    def release(self) -> None:
        """Gives the device's memory back, a captured graph's too: other stacks, and processes, want it."""
        self._stack = None
        for name in ("_step", "_batches"):
            self.__dict__.pop(name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def use_graph(self, wanted: bool) -> None:
        """Whether the next steps are replays of a CUDA graph. Raises NotCapturable."""
        from trainlab.stacked.step import StackedStep
        from trainlab.training.cuda_graph import CAPTURE

        stack = self.build()
        self._step = StackedStep(stack.model, stack.optimizer)
        if wanted:
            self._take(WARM_UP_STEPS)
            x_BNCHW, y_BN = next(self._batches)
            x_BNCHW = stack.augment(x_BNCHW, self._steps)
            self._step.capture(CAPTURE["cuda"], x_BNCHW, y_BN, stack.lr_TB[0])

    def seconds_per_step(self, target_seconds: float) -> float:
        """Of all runs together; as many steps as take about so long."""
        self.build()
        self._take(WARM_UP_STEPS)
        taken, began = 0, time.perf_counter()
        while taken == 0 or time.perf_counter() - began < target_seconds:
            steps = self._lab.size(READ_EVERY_STEPS, 2)
            self._take(steps)
            taken += steps
        return (time.perf_counter() - began) / taken

    def _take(self, steps: int) -> None:
        """Steps, and their losses read at the end, as the trainer does."""
        stack, pending = self.build(), []
        for _ in range(steps):
            x_BNCHW, y_BN = next(self._batches)
            step = self._steps % SCHEDULED_STEPS
            pending.append(self._step(stack.augment(x_BNCHW, step), y_BN, stack.lr_TB[step]))
            self._steps += 1
        torch.stack(pending).cpu()

    @staticmethod
    def _endless(stack: "Stack") -> Iterator[tuple[Tensor, Tensor]]:
        epoch = 0
        while True:
            yield from stack.batches(epoch)
            epoch += 1
