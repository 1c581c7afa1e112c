"""A table of faults, each in a function that makes it (True) or leaves it mended (False)."""

from collections.abc import Callable
from typing import Generic, TypeVar

import torch.nn.functional as F
from small_networks import Loop, classes, mlp, pictures
from torch import Tensor, nn

Made = TypeVar("Made")


class FaultTable(dict[str, tuple[str, Callable[[bool], Made]]], Generic[Made]):
    """By the name of the function: the cause, and the function."""

    def of(self, cause: str) -> Callable[[Callable[[bool], Made]], Callable[[bool], Made]]:
        """Puts a function into the table."""

        def add(make: Callable[[bool], Made]) -> Callable[[bool], Made]:
            self[make.__name__] = (cause, make)
            return make

        return add


def ending(last: nn.Module | None) -> nn.Module:
    return nn.Sequential(mlp(3 * 256), *([last] if last is not None else []))


def coloured(model: nn.Module, loss=F.cross_entropy, optimizer=None, x=None, y=None) -> Loop:
    batch = (pictures() if x is None else x, classes() if y is None else y)
    return Loop(model, loss, batch, *([optimizer] if optimizer else []))


class Cut(nn.Module):
    """Two layers, with a function between them."""

    def __init__(self, between: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor] = lambda z: z):
        super().__init__()
        self.a, self.b, self.between, self.after = nn.Linear(768, 32), nn.Linear(32, 10), between, after

    def forward(self, x):
        return self.after(self.b(self.between(self.a(x.flatten(1)).relu())))
