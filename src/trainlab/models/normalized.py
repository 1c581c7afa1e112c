"""Pixels in, logits out: the input normalization travels with the network."""

from torch import Tensor, nn


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
