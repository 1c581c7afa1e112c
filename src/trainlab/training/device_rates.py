"""Learning rates where the parameters are, so that a captured step takes the rate of the moment."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

_READ_A_TENSOR: dict[type[Optimizer], tuple[str, ...]] = {
    Adam: ("fused", "capturable"),
    AdamW: ("fused", "capturable"),
    RMSprop: ("capturable",),
    SGD: ("fused",),
}
"""Optimizers whose kernels read the rate from the device, and the options by which they do."""


class DeviceRates:
    """Lets an optimizer's kernels read the learning rate of each group from a tensor on the device.

    A group's `lr` stays a plain number for schedules, records and checkpoints; only while the optimizer steps
    it is the tensor (float32), in a captured step as in any other: both compute with the same bits.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        device = self._groups[0]["params"][0].device
        self._rates = [torch.zeros((), dtype=torch.float32, device=device) for _ in self._groups]
        self._written: list[float] = []
        self._plain: list[float] | None = None  # while the tensors are in their places
        self._is_fixed = False
        optimizer.register_step_pre_hook(lambda *_: self._put_tensors())
        optimizer.register_step_post_hook(lambda *_: self.put_numbers())

    @property
    def _groups(self) -> list[dict]:
        return self._optimizer.param_groups  # other dictionaries once a state was loaded

    @staticmethod
    def suit(optimizer: Optimizer) -> bool:
        """Whether the optimizer's kernels can read a rate from the device."""
        flags = _READ_A_TENSOR.get(type(optimizer), ())
        return any(all(group.get(flag) for group in optimizer.param_groups) for flag in flags)

    def write(self) -> None:
        """The numbers of the groups to the device, where they have changed; waits for nothing."""
        rates = [float(group["lr"]) for group in self._groups]
        if rates != self._written:
            for tensor, rate in zip(self._rates, rates, strict=True):
                tensor.fill_(rate)
            self._written = rates

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """While a step is captured: its number is not part of it, and is written beforehand."""
        self.write()
        self._is_fixed = True
        try:
            yield
        finally:
            self._is_fixed = False
            self.put_numbers()  # a step that has failed has left the tensors there

    def put_numbers(self) -> None:
        """Back to plain numbers."""
        plain, self._plain = self._plain, None
        for group, rate in zip(self._groups, plain or (), strict=False):
            group["lr"] = rate

    def _put_tensors(self) -> None:
        self.put_numbers()
        if not self._is_fixed:
            self.write()
        self._plain = [group["lr"] for group in self._groups]
        for group, tensor in zip(self._groups, self._rates, strict=True):
            group["lr"] = tensor
