"""Input normalization: what turns pixels into the network's first signal.

Legend: N images, C channels, H × W pixels; u = x / 255 is the pixel in the unit scale.

Each option is a module inside the network, so that a checkpoint predicts with no config beside it. All are
built alike, from the statistics of the official training split, and keep them as buffers `mean_C` and
`std_C` whether their formula needs them or not.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from trainlab.errors import RequestError

Pixels = Shaped[Tensor, "N C H W"]
"""uint8 or float, 0..255."""

Images = Float[Tensor, "N C H W"]
"""float32, in the scale of the option."""

MAX_PIXEL = 255.0
"""The largest pixel value: what x is divided by to reach the unit scale."""


class InputNormalization(nn.Module):
    """What all options share: the buffers `mean_C`, `std_C` (unit scale 0..1, of the training split).

    Subclasses give `forward(x_NCHW)`: x is uint8 or float pixels 0..255, the result float32.
    Raises RequestError where the two do not have the same number of channels.
    """

    mean_C: Float[Tensor, " C"]
    std_C: Float[Tensor, " C"]

    def __init__(self, mean_C: Sequence[float] = (0.0,), std_C: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        if len(mean_C) != len(std_C):
            raise RequestError(
                f"normalization: got {len(mean_C)} means and {len(std_C)} stds, expected one each"
            )
        self.register_buffer("mean_C", torch.tensor(tuple(mean_C), dtype=torch.float32))
        self.register_buffer("std_C", torch.tensor(tuple(std_C), dtype=torch.float32))


def _expand_like(
    value_C: Float[Tensor, " C"], like_NCHW: Float[Tensor, "N C H W"]
) -> Float[Tensor, "1 C H W"]:
    """The value of each channel at each pixel of one image, in the memory layout of `like_NCHW`.

    Spread over channels-last images channel by channel instead, an operation runs over three numbers at a
    time: five times slower for a batch of CIFAR-10.
    """
    return torch.zeros_like(like_NCHW[:1]) + value_C[:, None, None]


class Standardize(InputNormalization):
    """(u − mean_C) / std_C: zero mean and unit variance per channel over the training split.

    Raises RequestError where a channel is constant (std 0): it has no unit variance.
    """

    def __init__(self, mean_C: Sequence[float] = (0.0,), std_C: Sequence[float] = (1.0,)) -> None:
        super().__init__(mean_C, std_C)
        if min(std_C) <= 0:
            raise RequestError(
                f"normalization=standardize needs a std above 0 in every channel, got {tuple(std_C)}"
            )

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to standardized float32."""
        x_NCHW = x_NCHW.float()
        offset_1CHW = _expand_like(-self.mean_C / self.std_C, x_NCHW)
        scale_1CHW = _expand_like(1 / (MAX_PIXEL * self.std_C), x_NCHW)
        return torch.addcmul(offset_1CHW, x_NCHW, scale_1CHW)


class Shifted(Standardize):
    """to_mean + to_std · (u − mean_C) / std_C: any mean and std per channel, over the training split.

    Raises RequestError where `to_std` is not above 0, or a channel is constant.
    """

    to_mean: Tensor
    to_std: Tensor

    def __init__(
        self,
        mean_C: Sequence[float] = (0.0,),
        std_C: Sequence[float] = (1.0,),
        *,
        to_mean: float = 0.0,
        to_std: float = 1.0,
    ) -> None:
        super().__init__(mean_C, std_C)
        if not to_std > 0:
            raise RequestError(f"normalization.to_std: got {to_std}, expected above 0")
        self.register_buffer("to_mean", torch.tensor(float(to_mean)))
        self.register_buffer("to_std", torch.tensor(float(to_std)))

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to float32 of that mean and std."""
        return torch.addcmul(self.to_mean, super().forward(x_NCHW), self.to_std)


class Center(InputNormalization):
    """u − mean_C: zero mean per channel over the training split, the unit scale kept."""

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to centred float32."""
        x_NCHW = x_NCHW.float()
        return torch.add(_expand_like(-self.mean_C, x_NCHW), x_NCHW, alpha=1 / MAX_PIXEL)


class Unit(InputNormalization):
    """u: 0..1."""

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to 0..1."""
        return x_NCHW.float() / MAX_PIXEL


class Symmetric(InputNormalization):
    """2u − 1: −1..1."""

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to −1..1."""
        return x_NCHW.float() * (2 / MAX_PIXEL) - 1


class Raw(InputNormalization):
    """x: 0..255, as it comes."""

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to the same in float32."""
        return x_NCHW.float()


class PerImage(InputNormalization):
    """(x − mean of the image) / std of the image, over its C · H · W pixels; a constant image becomes zero.

    Invariant to a·x + b with a > 0 (contrast and brightness): there is no ε beside the std, which would
    break it for faint images, and the sums run in float64, because in float32 the mean of pixels near 255
    is off by more than 1e-5 of a grey level.
    """

    def forward(self, x_NCHW: Pixels) -> Images:
        """Pixels 0..255 to float32 of zero mean and unit variance in every image."""
        # Apple's MPS has no float64
        x_NCHW = x_NCHW.to(torch.float32 if x_NCHW.device.type == "mps" else torch.float64)
        constant_N111 = x_NCHW.amax((1, 2, 3), keepdim=True) == x_NCHW.amin((1, 2, 3), keepdim=True)
        centred_NCHW = x_NCHW - x_NCHW.mean((1, 2, 3), keepdim=True)
        std_N111 = centred_NCHW.square().mean((1, 2, 3), keepdim=True).sqrt()
        # not torch.where: it would copy the 0 to a GPU at every step, and wait for that
        return (centred_NCHW / std_N111).masked_fill(constant_N111, 0.0).float()


class NormalizedNetwork(nn.Module):
    """`network(normalization(x))`: x_NCHW holds pixels 0..255 (uint8 or float), the result is logits_NK."""

    def __init__(self, normalization: nn.Module, network: nn.Module):
        super().__init__()
        self.normalization = normalization
        self.network = network

    def forward(self, x_NCHW: Pixels) -> Float[Tensor, "N K"]:
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
