"""What device work needs to be recorded and run again: inputs that stay in place, state given back.

Where such work is recorded (CUDA graphs) it is run some times before; nothing of that may stay.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Shaped
from torch import Tensor


def at_fixed_address(x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """A copy in the same memory layout, which is written to and never replaced."""
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x)


@contextmanager
def restored(tensors: Iterable[Tensor]) -> Iterator[None]:
    """After the block these tensors (one at least, all of one device) and random numbers are as before."""
    tensors = list(tensors)
    copies = [tensor.detach().clone() for tensor in tensors]
    device = tensors[0].device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, copy in zip(tensors, copies, strict=True):
                    tensor.copy_(copy)
