"""Normalization layers: which one, on which side of the activation, and the same one for maps and features.

Legend: N images, C channels, H × W positions, F features.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from trainlab.errors import RequestError, unknown_name

POSITIONS = ("before_activation", "after_activation")


@dataclass(frozen=True)
class NormLayer:
    """Which normalization layer, and where it stands: `layer(num_features)` builds it for maps (N, C, H, W).

    `position` is before_activation (Ioffe & Szegedy 2015) or after_activation. Where the layer stands before
    the activation, the convolution or dense layer below has no bias (`keeps_bias`): BatchNorm subtracts it
    again, so that it would never get a gradient, and the layer's own β does its work.

    Raises RequestError for an unknown position.
    """

    position: str = "before_activation"
    layer: Callable[[int], nn.Module] | None = None

    def __post_init__(self) -> None:
        if self.position not in POSITIONS:
            raise unknown_name("norm_layer.position", self.position, POSITIONS)

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
            _refuse_if_input_is_lost(self.layer, num_features)
        norm = self.layer(num_features)
        return {"norm": norm if map_HW else FeatureNorm(norm)}


class FeatureNorm(nn.Module):
    """Lets a normalization layer for maps (N, C, H, W) take features (N, F), as F maps of 1 × 1."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x_NF: Float[Tensor, "N F"]) -> Float[Tensor, "N F"]:
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


def fixed_scale_batch_norm(num_features: int, momentum: float = 0.4, eps: float = 1e-12) -> nn.BatchNorm2d:
    """BatchNorm whose scale γ stays 1 and whose shift β is learned, for runs of a few hundred steps.

    Running statistics take `momentum` of each batch, so that they are right after ten (Jordan 2024,
    arXiv:2404.00498, section 3). γ is a frozen parameter, and a checkpoint fits any other BatchNorm.
    """
    layer = nn.BatchNorm2d(num_features, eps=eps, momentum=momentum)
    layer.weight.requires_grad_(False)
    return layer


def _refuse_if_input_is_lost(layer: Callable[[int], nn.Module], num_features: int) -> None:
    """Raise RequestError where the layer cannot work on 1 × 1 maps: it fails or forgets its input."""
    x_C11 = torch.linspace(1, -1, num_features, device="cpu")[:, None, None]
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        norm = layer(num_features)
        try:
            y_NC11 = norm(torch.stack([x_C11, -x_C11]))
        except (ValueError, RuntimeError) as error:
            raise _input_lost_error(norm, num_features) from error
    if torch.allclose(y_NC11[0], y_NC11[1], atol=1e-3):  # one value less its own mean is rounding noise
        raise _input_lost_error(norm, num_features)


def _input_lost_error(norm: nn.Module, num_features: int) -> RequestError:
    kind = type(norm).__name__
    return RequestError(
        f"norm_layer: {kind} cannot normalize {num_features} features of one position each (a dense layer or "
        f"a 1 × 1 map): nothing is left of them; expected batchnorm, layernorm or none there"
    )


class _AverageOverProcesses(torch.autograd.Function):
    """The mean of a tensor over all processes; its gradient is the mean of their gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return _average(x)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return _average(gradients[0])


def _average(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class SyncBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose training statistics are those of the global batch.

    x_NCHW holds one process' equal share of it. With μ and σ² over N, H, W of all processes,
    y = γ (x − μ)/√(σ² + ε) + β, and the running variance takes the unbiased estimate (Ioffe & Szegedy 2015,
    algorithm 1). In eval mode, and without a process group, it is BatchNorm2d itself.
    """

    def forward(self, input: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Normalizes x_NCHW; same shape."""
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        mean_C = _AverageOverProcesses.apply(input.mean(dim=(0, 2, 3)))
        centred = input - mean_C[:, None, None]
        var_C = _AverageOverProcesses.apply(centred.square().mean(dim=(0, 2, 3)))
        self._update(mean_C.detach(), var_C.detach(), input.numel() // input.shape[1] * dist.get_world_size())
        normalized = centred * (var_C + self.eps).rsqrt()[:, None, None]
        if self.affine:
            normalized = normalized * self.weight[:, None, None] + self.bias[:, None, None]
        return normalized

    @torch.no_grad()
    def _update(self, mean_C: Float[Tensor, " C"], var_C: Float[Tensor, " C"], count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return  # track_running_stats=False
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C, momentum)
        self.running_var.lerp_(var_C * count / max(1, count - 1), momentum)


def synchronize_batchnorm(network: nn.Module) -> None:
    """Turns each BatchNorm2d of a network into a SyncBatchNorm2d, in place: same parameters, same state."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d
