"""Which part of a tensor is looked at: evenly spread images and positions, always the same, no dice.

Legend: N images, P positions, F units (channels of a map, features of a dense layer), C channels, H × W map.
"""

import math

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def as_NPF(x: Shaped[Tensor, "..."], features_last: bool) -> Shaped[Tensor, "N P F"]:
    """A layer's tensor as (N, P, F): from (N, F), from (N, C, H, W), or with `features_last` from (N, …, F).

    A view where the memory allows it (channels_last maps do).
    """
    if x.dim() < 2:
        return x.reshape(-1, 1, 1)
    if x.dim() == 2 or features_last:
        return x.reshape(len(x), -1, x.shape[-1])
    return x.flatten(2).transpose(1, 2)


def evenly_spaced(n: int, wanted: int, row: int = 1) -> slice:
    """At most `wanted` of n indices, evenly spaced and centred.

    The stride shares no factor with `row`, the length of a map's row: else the positions of a map could all
    lie in one column, such as the border, where zero padding takes variance away.
    """
    stride = max(1, n // wanted)
    while math.gcd(stride, row) > 1:
        stride -= 1
    taken = min(wanted, -(-n // stride))
    start = (n - 1 - (taken - 1) * stride) // 2
    return slice(start, start + (taken - 1) * stride + 1, stride)


def sample_NPF(
    x: Shaped[Tensor, "..."], features_last: bool, images: int, observations: int
) -> Shaped[Tensor, "N P F"]:
    """All units, at up to `images` images and about `observations` positions in all, at least one each."""
    row = 1 if features_last or x.dim() != 4 else x.shape[3]
    x_NPF = as_NPF(x[evenly_spaced(len(x), images)], features_last)
    positions = max(1, observations // max(1, len(x_NPF)))
    return x_NPF[:, evenly_spaced(x_NPF.shape[1], positions, row)]


def to_wide(x: Shaped[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """In float64, in which no square over- or underflows; in float32 on a device that has no float64."""
    return x.to(wide_dtype(x.device), copy=True)


def wide_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 where the device has no float64 (`to_wide`)."""
    return torch.float32 if device.type == "mps" else torch.float64
