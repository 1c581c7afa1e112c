"""Normalization layers: which one, on which side of the activation, and the same one for maps and features.

Legend: N images, C channels, H × W positions, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError, unknown

POSITIONS = ("before_activation", "after_activation")


@dataclass(frozen=True)
class NormLayer:
    """The choice of a normalization layer: `layer(num_features)` builds it for maps (N, C, H, W).

    `position` is before_activation (Ioffe & Szegedy 2015) or after_activation. Where the layer stands before
    the activation, the convolution or dense layer below has no bias (`keeps_bias`): BatchNorm subtracts it
    again, so that it would never get a gradient, and the layer's own β does its work.

    Raises RequestError for an unknown position.
    """

    position: str = "before_activation"
    layer: Callable[[int], nn.Module] | None = None

    def __post_init__(self) -> None:
        if self.position not in POSITIONS:
            raise unknown("norm_layer.position", self.position, POSITIONS)

    @property
    def keeps_bias(self) -> bool:
        """Whether the weight layer below keeps its bias."""
        return self.layer is None or self.position == "after_activation"

    def before(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        """What stands between a weight layer's output of `shape` and the activation: {"norm": …} or {}."""
        return self._at("before_activation", shape)

    def after(self, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        """What follows an activation of `shape`: {"norm": module} or {}."""
        return self._at("after_activation", shape)

    def _at(self, position: str, shape: tuple[int, ...]) -> dict[str, nn.Module]:
        if self.layer is None or self.position != position:
            return {}
        num_features, *map_HW = shape
        if map_HW in ([], [1, 1]):
            _refuse_if_blind(self.layer, num_features)
        norm = self.layer(num_features)
        return {"norm": norm if map_HW else FeatureNorm(norm)}


class FeatureNorm(nn.Module):
    """Lets a normalization layer for maps (N, C, H, W) take features (N, F), as F maps of 1 × 1."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_NF: Tensor) -> Tensor:
        """Features (N, F) normalized, of the same shape."""
        return self.layer(x_NF[:, :, None, None]).flatten(1)


def layer_norm(num_features: int) -> nn.GroupNorm:
    """Layer normalization of maps (Ba et al. 2016): over C, H, W of each image; γ and β per channel."""
    return nn.GroupNorm(1, num_features)


def group_norm(num_features: int, groups: int = 8) -> nn.GroupNorm:
    """Group normalization (Wu & He 2018) in the largest number of equal groups that is not above `groups`.

    Raises RequestError where `groups` is below 1.
    """
    if groups < 1:
        raise RequestError(f"norm_layer.layer.groups: got {groups}, expected at least 1")
    return nn.GroupNorm(max(g for g in range(1, groups + 1) if num_features % g == 0), num_features)


def _refuse_if_blind(layer: Callable[[int], nn.Module], num_features: int) -> None:
    """Raise RequestError where the layer cannot work on 1 × 1 maps: it fails or forgets its input."""
    x_C11 = torch.linspace(1, -1, num_features, device="cpu")[:, None, None]
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        norm = layer(num_features)
        try:
            y_NC11 = norm(torch.stack([x_C11, -x_C11]))
        except (ValueError, RuntimeError) as error:
            raise _blind(norm, num_features) from error
    if torch.allclose(y_NC11[0], y_NC11[1], atol=1e-3):  # one value less its own mean is rounding noise
        raise _blind(norm, num_features)


def _blind(norm: nn.Module, num_features: int) -> RequestError:
    kind = type(norm).__name__
    return RequestError(
        f"norm_layer: {kind} cannot normalize {num_features} features of one position each (a dense layer or "
        f"a 1 × 1 map): nothing is left of them; expected batchnorm, layernorm or none there"
    )
