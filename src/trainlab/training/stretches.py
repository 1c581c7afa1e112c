"""Stretches of training steps between two events, taken without Lightning's hooks as captured steps.

Lightning's own loop spends some 0.3 ms of Python a step, more than a GPU needs for a small network's whole
step. It takes the steps at which something happens: measured ones, the last of an epoch, the first after a
checkpoint was loaded. Those between are replays of one whole step that was recorded as a fixed sequence of
device work (`CapturedStep`); losses are read as often as elsewhere, and a signal or a loss that is not finite
ends the stretch.
"""

from bisect import bisect_left
from collections.abc import Callable
from contextlib import AbstractContextManager

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.nn.device_work import at_fixed_address, restored
from trainlab.settings import RunSettings
from trainlab.signals.measured_steps import measured_steps
from trainlab.training.classifier import READ_EVERY_STEPS, Classifier
from trainlab.training.cuda_graph import (
    CAPTURE,
    NotCapturable,
    Work,
    not_capturable_error,
    why_not_capturable,
    why_not_captured,
)
from trainlab.training.device_rates import DeviceRates
from trainlab.training.interruption import Interruption
from trainlab.training.lightning_internals import forward_precision, take_steps_without_hooks

LONGEST_STRETCH = 500
"""Steps after which Lightning takes one, with all that looks on: a progress bar moves."""

SHORTEST_STRETCH = 4
"""Fewer steps are Lightning's."""


class Stretches(L.Callback):
    """Which of a run's next steps are taken as captured steps, and their taking; the loop asks at each step.

    `why_not` says why none are; None while they are. With `trainer.cuda_graph=on` that is an error.
    """

    def __init__(self, settings: RunSettings, interruption: Interruption) -> None:
        super().__init__()
        self.why_not: str | None = "there was no training"
        self.steps = 0
        self._settings, self._interruption = settings, interruption
        self._classifier: Classifier | None = None
        self._step: CapturedStep | None = None
        self._measured: list[int] = []

    def attach(self, trainer: L.Trainer) -> None:
        """Takes what it can of this trainer's steps; one on a device that records none stays as it is."""
        self.why_not = self._why_not_here(trainer)
        if self.why_not is None:
            self.why_not = "no stretch of steps was long enough"
            take_steps_without_hooks(trainer, self)

    def _why_not_here(self, trainer: L.Trainer) -> str | None:
        return why_not_captured(self._settings.trainer, trainer.strategy.root_device, trainer.world_size)

    def on_train_start(self, trainer: L.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """The optimizer is known. Raises RequestError where `on` was asked for and cannot be."""
        if (why := self._why_not_here(trainer)) is None:
            self._begin(trainer, pl_module)
        else:
            self._give_up(why)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The graph goes, and its memory: the weights that it holds are about to move."""
        self._step = None

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The same, whatever happened."""
        self._step = None

    def _begin(self, trainer: L.Trainer, classifier: Classifier) -> None:
        settings, why = self._settings, None
        self._classifier = classifier
        if settings.trainer.cuda_graph == "auto":
            why = why_not_capturable(classifier.model)
        if why is None and classifier.rates is None:
            why = f"{type(trainer.optimizers[0]).__name__} reads its learning rate from the host"
        if why is not None or classifier.rates is None:
            self._give_up(why or "")
            return
        self._measured = sorted(measured_steps(settings.signals, trainer.estimated_stepping_batches))
        self._step = CapturedStep(
            classifier.model,
            classifier.loss_and_logits,
            trainer.optimizers[0],
            classifier.rates,
            gradient_clip=settings.trainer.gradient_clip,
            precision=lambda: forward_precision(trainer),
            capture=CAPTURE[classifier.device.type],
        )

    def next_steps(self, at_most: int) -> int:
        """How many of the next steps, up to `at_most`, to take here before Lightning takes one."""
        if self._step is None or self._classifier is None or self._interruption.requested:
            return 0
        step = self._classifier.global_step
        following = bisect_left(self._measured, step)
        until_measured = self._measured[following] - step if following < len(self._measured) else at_most
        steps = min(at_most, until_measured, LONGEST_STRETCH)
        return steps if steps >= SHORTEST_STRETCH else 0

    def take(self, batch: tuple[Tensor, Tensor]) -> None:
        """Trains on one batch; Lightning's counters are the caller's."""
        classifier = self._classifier
        assert classifier is not None and self._step is not None
        x_NCHW, y_N = (part.to(classifier.device, non_blocking=True) for part in batch)
        x_NCHW = classifier.augment_batch(x_NCHW)
        try:
            outcome = self._step(x_NCHW, y_N)
            self.why_not = None
            self.steps += 1
        except NotCapturable as reason:
            outcome = self._step.compute(x_NCHW, y_N)
            self._give_up(str(reason))
        classifier.meter.add_counted(outcome, len(y_N))

    def goes_on(self) -> bool:
        """After a step and its counting: reads the losses every so often; whether to take the next one."""
        classifier = self._classifier
        assert classifier is not None
        if len(classifier.meter.pending) >= READ_EVERY_STEPS:
            classifier.log_losses_and_check_finite()
        stops = classifier.trainer.should_stop or self._interruption.requested
        return not stops and self._step is not None

    def describe(self) -> str:
        """For the record."""
        return f"used in {self.steps} steps" if self.why_not is None else f"not used: {self.why_not}"

    def _give_up(self, why: str) -> None:
        self._step, self.why_not = None, why
        if self._settings.trainer.cuda_graph == "on":
            raise not_capturable_error(why)


LossFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(x_NCHW, y_N) to (mean loss, logits_NK)."""


class CapturedStep:
    """`step(x_NCHW, y_N)` trains `model` on a batch, as one recorded piece of work, from the first call on.

    The result is (loss, right answers), float64 on the device; nothing waits for it. `capture` records
    (`trainlab.training.cuda_graph`), `precision` is the context of the forward pass. A batch of another shape
    than the first one is computed one operation after the other. The optimizer has stepped before, so that
    its state exists; parameters, buffers and state are changed in place and nowhere else.

    The first call raises NotCapturable where the step cannot be recorded: nothing is changed then, and
    `compute` does the step.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_function: LossFunction,
        optimizer: Optimizer,
        rates: DeviceRates,
        *,
        gradient_clip: float | None,
        precision: Callable[[], AbstractContextManager[None]],
        capture: Callable[[Work], Work],
    ) -> None:
        self._model, self._loss_function = model, loss_function
        self._optimizer, self._rates = optimizer, rates
        self._gradient_clip, self._precision, self._capture = gradient_clip, precision, capture
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._replay: Work | None = None

    def __call__(self, x_NCHW: Tensor, y_N: Tensor) -> Tensor:
        """Trains on this batch."""
        if self._replay is None:
            self._replay = self._record(x_NCHW, y_N)
        if x_NCHW.shape != self._x_NCHW.shape or x_NCHW.dtype != self._x_NCHW.dtype:
            return self.compute(x_NCHW, y_N)
        self._x_NCHW.copy_(x_NCHW, non_blocking=True)
        self._y_N.copy_(y_N, non_blocking=True)
        self._rates.write()
        self._replay()
        return self._outcome.clone()  # the next replay writes over it

    def compute(self, x_NCHW: Tensor, y_N: Tensor) -> Tensor:
        """The same step, one operation after the other."""
        with self._precision():
            loss, logits_NK = self._loss_function(x_NCHW, y_N)
        self._optimizer.zero_grad()
        loss.backward()
        if self._gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._gradient_clip)
        self._optimizer.step()
        right = (logits_NK.detach().argmax(dim=1) == y_N).sum()
        return torch.stack([loss.detach().double(), right.double()])

    def _record(self, x_NCHW: Tensor, y_N: Tensor) -> Work:
        self._x_NCHW, self._y_N = at_fixed_address(x_NCHW), at_fixed_address(y_N)
        # gradients of the steps before must not lie where the graph's own will: it makes its own
        self._optimizer.zero_grad()
        with restored(self._state()), self._rates.fixed():
            return self._capture(self._work)

    def _work(self) -> None:
        self._outcome = self.compute(self._x_NCHW, self._y_N)

    def _state(self) -> list[Tensor]:
        """Weights, buffers and the optimizer's state: what a step changes."""
        states = self._optimizer.state.values()
        kept = [value for state in states for value in state.values() if isinstance(value, Tensor)]
        return [*self._parameters, *self._model.buffers(), *kept]
