"""One whole training step as a fixed sequence of device work: forward, backward, clipping, update."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.nn.device_work import at_fixed_address, restored
from trainlab.training.cuda_graph import Work
from trainlab.training.device_rates import DeviceRates

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
