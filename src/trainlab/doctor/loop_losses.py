"""The loss of each step of a loop: what was propagated back since the step before; no device is waited for.

The optimizer steps along the gradient of the sum of all that was propagated back: parts of an accumulated
batch, several losses. Losses of other networks (the other half of a GAN) are told by the measured steps,
which see what a backward pass reaches. Of a closure that is called several times in a step the first call
counts.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from trainlab.diagnosis.evidence import MetricRow

WAITING = 64
"""Losses that are left on their device, at most, before they are read."""

KEPT_WHOLE = 4096
"""Steps from which on only every second, fourth, … loss is kept: a table of 4,096 rows for each doubling."""


Loss: TypeAlias = Tensor | float
"""On the processor a number at once; on another device a copy there, read later."""


class LoopLosses:
    """Losses by step, by what is propagated back for each."""

    def __init__(self) -> None:
        self.by_step: dict[int, float] = {}
        self._waiting: list[tuple[int, Loss]] = []
        self._passes: list[tuple[Loss, bool | None]] = []
        self._roles: tuple[bool, ...] = ()
        self._taken = -1
        self.is_scaled = False

    def add(self, tensors: Sequence[Tensor]) -> None:
        """A backward pass begins from these."""
        value = _total(tensors)
        if value is None:
            self._passes.append((0.0, False))
            return
        if self.is_scaled and (scale := getattr(tensors[0].grad_fn, "_saved_other", None)) is not None:
            value = value / scale
        self._passes.append((value, None))

    def reached(self, whether: bool) -> None:
        """Whether the last pass came to the network; said in measured steps alone."""
        if self._passes:
            self._passes[-1] = self._passes[-1][0], whether

    def end_step(self, step: int) -> Loss | None:
        """The loss of the step, still on its device; None of a step without one."""
        told = [known for _, known in self._passes]
        if told and None not in told:
            self._roles = tuple(bool(known) for known in told)
        counted = [value for k, (value, known) in enumerate(self._passes) if self._counts(k, known)]
        self._passes = []
        if not counted:
            return None
        loss = sum(counted[1:], counted[0])
        if _is_kept(step):
            self._waiting.append((step, loss))
            if len(self._waiting) >= WAITING:
                self.read()
        return loss

    def _counts(self, k: int, known: bool | None) -> bool:
        if known is not None:
            return known
        return self._roles[k] if k < len(self._roles) and any(self._roles) else True

    @property
    def last_step(self) -> int:
        """Of the last loss that is known; −1 before the first."""
        return max(self.by_step, default=-1)

    def read(self) -> None:
        """Brings what waits from its device."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            devices = [loss.double().reshape(()) for _, loss in waiting if isinstance(loss, Tensor)]
            read = iter(torch.stack(devices).tolist() if devices else ())
            self.by_step |= {step: next(read) if isinstance(loss, Tensor) else loss for step, loss in waiting}

    def take(self) -> list[MetricRow]:
        """The rows that were read since the last call."""
        rows: list[MetricRow] = [
            (s, 0, "train/loss_step", v) for s, v in self.by_step.items() if s > self._taken
        ]
        self._taken = max(self._taken, self.last_step)
        return rows


def _total(tensors: Sequence[Tensor]) -> Loss | None:
    """The sum of all that are single numbers; None where none is."""
    losses = [
        tensor.item() if tensor.device.type == "cpu" else tensor.detach().clone()
        for tensor in tensors
        if tensor.numel() == 1 and not tensor.is_complex()
    ]
    return sum(losses[1:], losses[0]) if losses else None


def _is_kept(step: int) -> bool:
    every = 1
    while step >= KEPT_WHOLE * every:
        every *= 2
    return step % every == 0
