"""From values on the device to rows (layer, quantity, value), in one transfer for all runs.

Legend: B runs, V tensors to read.
"""

from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from trainlab.signals.run_dimension import OneRun
from trainlab.signals.tensor_sampling import wide_dtype

Row: TypeAlias = tuple[str, str, float]
"""(layer, quantity, value)."""


class Conditional(NamedTuple):
    """A value that has a row only where `applies`, a tensor of bool of the same shape."""

    value: Shaped[Tensor, "*B"]
    applies: Bool[Tensor, "*B"]


Value: TypeAlias = Tensor | Conditional | float
"""A scalar tensor, in a stack (B,); a number that is known without a tensor is that of all runs."""

LayerQuantities: TypeAlias = dict[tuple[str, str], Value]
"""Values by (layer, quantity)."""


def read_rows(values: LayerQuantities, runs: OneRun) -> list[list[Row]]:
    """The rows of each run, in the order of `values`."""
    tensors: list[Tensor] = []
    places: list[tuple[str, str, int | None, float, int | None]] = []  # … value at, or number, applies at
    for (layer, quantity), value in values.items():
        if isinstance(value, Conditional):
            places.append((layer, quantity, len(tensors), 0.0, len(tensors) + 1))
            tensors += value
        elif isinstance(value, Tensor):
            places.append((layer, quantity, len(tensors), 0.0, None))
            tensors.append(value)
        else:
            places.append((layer, quantity, None, float(value), None))
    return [
        [
            (layer, quantity, number if at is None else numbers_V[at])
            for layer, quantity, at, number, applies in places
            if applies is None or numbers_V[applies]
        ]
        for numbers_V in _read(tensors, runs)
    ]


def _read(tensors: list[Tensor], runs: OneRun) -> list[list[float]]:
    """(B, V)"""
    if not tensors:
        return [[] for _ in range(runs.count)]
    device = tensors[0].device
    dtype = wide_dtype(device)
    numbers = torch.stack([tensor.detach().to(device, dtype) for tensor in tensors], -1)
    return numbers.reshape(runs.count, len(tensors)).tolist()
