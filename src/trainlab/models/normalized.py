"""Pixels in, logits out: the input normalization travels with the network."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.nn.normalization import Center, Standardize


class NormalizedNetwork(nn.Module):
    """`network(normalization(x))`: x_NCHW holds pixels 0..255 (uint8 or float), the result is logits_NK."""

    def __init__(self, normalization: nn.Module, network: nn.Module):
        super().__init__()
        self.normalization = normalization
        self.network = network

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits_NK; the network's own precision decides (normalization computes in float32)."""
        dtype = next(self.network.parameters()).dtype
        return self.network(self.normalization(x_NCHW).to(dtype))


def with_statistics(model: nn.Module, mean_C: Sequence[float], std_C: Sequence[float]) -> nn.Module:
    """A copy whose `normalization` has other statistics; all other modules are the same, not copies.

    mean_C, std_C: in the unit scale 0..1, one number for all channels or one each.

    Raises RequestError for a normalization that uses none, a wrong number of them, or a std of 0 or less.
    """
    normalization = model.normalization
    if not isinstance(normalization, Standardize | Center):
        used = type(normalization).__name__
        raise RequestError(f"statistics: {used} uses none, expected standardize or center")
    if min(std_C) <= 0:
        raise RequestError(f"statistics: got std {tuple(std_C)}, expected above 0")
    changed = copy.deepcopy(normalization)
    channels = len(changed.mean_C)
    if not {len(mean_C), len(std_C)} <= {1, channels}:
        raise RequestError(f"statistics: got {len(mean_C)} and {len(std_C)}, expected {channels} or 1 each")
    with torch.no_grad():
        changed.mean_C.copy_(torch.tensor(mean_C).expand(channels))
        changed.std_C.copy_(torch.tensor(std_C).expand(channels))
    other = copy.copy(model)
    other._modules = {**model._modules, "normalization": changed}
    return other
