"""One training step of all runs of a stack: forward, the loss of each run, backward, clipping, update."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.nn.device_work import at_fixed_address, restored
from trainlab.nn.losses import as_loss_dtype
from trainlab.stacked.normalization import StackedModel
from trainlab.stacked.optimizer import StackedOptimizer

Capture = Callable[[Callable[[], None]], Callable[[], None]]
"""Records a fixed sequence of device work, and returns what does it again."""


def run_losses(logits_BNK: Tensor, y_BN: Tensor, smoothing: float = 0.0) -> Tensor:
    """loss_B (nats): `smoothed_cross_entropy` of each run's own images."""
    logits_BNK = as_loss_dtype(logits_BNK)
    if not smoothing:
        return image_losses(logits_BNK, y_BN).mean(1)
    log_p_BNK = F.log_softmax(logits_BNK, dim=2)
    cross_entropy_B = -log_p_BNK.gather(2, y_BN[..., None]).mean((1, 2))
    smoothed_B = (1 - smoothing) * cross_entropy_B - smoothing * log_p_BNK.mean((1, 2))
    return cross_entropy_B.detach() + (smoothed_B - smoothed_B.detach())


def image_losses(logits_BNK: Tensor, y_BN: Tensor) -> Tensor:
    """loss_BN: the cross-entropy (nats) of each image."""
    logits_MK = as_loss_dtype(logits_BNK).flatten(0, 1)
    return F.cross_entropy(logits_MK, y_BN.flatten(), reduction="none").view(y_BN.shape)


class StackedStep:
    """`step(x_BNCHW, y_BN, lr_B)` trains each run on its own batch and returns outcome_2B.

    outcome_2B, float64 on the device: the mean loss (nats) of each run's batch, and its right answers.
    Nothing waits for the device. The loss that is propagated back is the sum of the runs' mean losses: the
    gradient of each run is that of the run alone.

    max_norm_B: largest norm of each run's whole gradient, infinite where it is not clipped; None: of none.
    smoothing: of the labels, 0..1.
    autocast: the context of the forward pass.
    """

    def __init__(
        self,
        model: StackedModel,
        optimizer: StackedOptimizer,
        max_norm_B: Tensor | None = None,
        smoothing: float = 0.0,
        autocast: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self._max_norm_B, self._smoothing, self._autocast = max_norm_B, smoothing, autocast
        self._replay: Callable[[], None] | None = None

    def __call__(self, x_BNCHW: Tensor, y_BN: Tensor, lr_B: Tensor) -> Tensor:
        """The step, as it was recorded where it was."""
        if self._replay is None or x_BNCHW.shape != self._x_BNCHW.shape:
            outcome_2B, _ = self.forward_backward(x_BNCHW, y_BN)
            self.update(lr_B)
            return outcome_2B
        self._x_BNCHW.copy_(x_BNCHW)
        self._y_BN.copy_(y_BN)
        self._lr_B.copy_(lr_B)
        self._replay()
        return self._outcome_2B.clone()  # the next replay writes over it

    def forward_backward(self, x_BNCHW: Tensor, y_BN: Tensor) -> tuple[Tensor, Tensor]:
        """(outcome_2B, loss_B); the gradients are in the parameters."""
        with self._autocast():
            logits_BNK = self.model(x_BNCHW)
            loss_B = run_losses(logits_BNK, y_BN, self._smoothing)
        self.optimizer.zero_grad()
        loss_B.sum().backward()
        loss_B = loss_B.detach()
        right_B = (logits_BNK.detach().argmax(2) == y_BN).sum(1)
        return torch.stack([loss_B.double(), right_B.double()]), loss_B

    def update(self, lr_B: Tensor) -> None:
        """Clips, and moves the parameters."""
        self.optimizer.step(lr_B, self._max_norm_B)

    @property
    def is_captured(self) -> bool:
        return self._replay is not None

    def capture(self, capture: Capture, x_BNCHW: Tensor, y_BN: Tensor, lr_B: Tensor) -> None:
        """Records the step for batches of this shape; at least one step has been taken before.

        Weights, buffers and the optimizer's state are afterwards as they were. Raises what `capture` raises.
        """
        self._x_BNCHW, self._y_BN, self._lr_B = (at_fixed_address(t) for t in (x_BNCHW, y_BN, lr_B))
        self.optimizer.zero_grad()  # the graph's gradients lie in its own memory
        state = [*self.model.parameters(), *self.model.buffers(), *self.optimizer.state_tensors()]
        with restored(state):
            self._replay = capture(self._work)

    def _work(self) -> None:
        self._outcome_2B, _ = self.forward_backward(self._x_BNCHW, self._y_BN)
        self.update(self._lr_B)


def autocast_of(precision: str, device: torch.device) -> Callable[[], AbstractContextManager[object]]:
    """The context of a forward pass in a mixed precision by Lightning's name; else one that does nothing."""
    if precision == "bf16-mixed":
        return partial(torch.autocast, device.type, dtype=torch.bfloat16)
    return nullcontext


def dtype_of(precision: str) -> torch.dtype:
    """Of parameters, by Lightning's name of the precision."""
    return {"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(precision, torch.float32)
