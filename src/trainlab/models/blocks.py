"""The blocks that all architectures are made of: weight layer → [norm] → activation → [norm], and stages.

Legend: C channels, H × W map, F features. Every block has its own activation module, so that a hook on it
sees pre-activations (its input) and activations (its output).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import nn

from trainlab.errors import RequestError, unknown_name
from trainlab.nn.layers import weight_layers
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.pooling import conv_stride

ShapeCHW: TypeAlias = tuple[int, int, int]
"""C, H, W."""

ModuleFactory: TypeAlias = Callable[[], nn.Module]
"""Builds a new activation or pooling module."""

MAX_LISTED_DEPTH = 64
"""Most architectures take any depth: so far the app's controls go."""

PADDINGS = ("zeros", "circular", "reflect", "replicate")

HEADS = ("mean", "dense")
"""What the output layer sees of the last maps: the mean of each, or every position by itself."""

NO_NORM = NormLayer()
MAX_POOL: ModuleFactory = partial(nn.MaxPool2d, 2)


class ConvBlock(nn.Sequential):
    """Convolution → [norm] → activation → [norm], from maps of `in_shape_CHW` to maps of `out_shape_CHW`.

    `convolution` is torch.nn.Conv2d or what is built alike (a partial of it with circular padding).
    Raises RequestError where the kernel does not fit or the norm layer cannot work on the map.
    """

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        convolution: Callable[..., nn.Module] = nn.Conv2d,
    ) -> None:
        conv = convolution(
            in_shape_CHW[0], channels, kernel, stride=stride, padding=padding, bias=norm_layer.keeps_bias
        )
        shape = output_shape(conv, in_shape_CHW)
        parts = {
            "conv": conv,
            **norm_layer.before(shape),
            "activation": activation(),
            **norm_layer.after(shape),
        }
        super().__init__()
        for name, module in parts.items():
            self.add_module(name, module)
        self.out_shape_CHW = shape


class ConvStage(nn.Sequential):
    """`count` 3 × 3 convolution blocks of `channels` maps, then a pooling, unless `pool` is None."""

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        channels: int,
        count: int,
        *,
        pool: ModuleFactory | None,
        activation: ModuleFactory,
        norm_layer: NormLayer,
        convolution: Callable[..., nn.Module] = nn.Conv2d,
    ) -> None:
        super().__init__()
        shape = in_shape_CHW
        pooling = None if pool is None else pool()
        for i in range(count):
            stride = conv_stride(pooling) if i == count - 1 else 1
            block = ConvBlock(
                shape,
                channels,
                kernel=3,
                stride=stride,
                padding=1,
                activation=activation,
                norm_layer=norm_layer,
                convolution=convolution,
            )
            self.add_module(f"conv{i + 1}", block)
            shape = block.out_shape_CHW
        if pooling is not None:
            self.add_module("pool", pooling)
            shape = output_shape(pooling, shape)
        self.out_shape_CHW = shape


class DenseBlock(nn.Sequential):
    """Dense layer → [norm] → activation → [norm], from (N, in_features) to (N, out_features).

    Raises RequestError where the norm layer cannot work on features.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
    ) -> None:
        super().__init__()
        self.add_module("linear", nn.Linear(in_features, out_features, bias=norm_layer.keeps_bias))
        parts = {
            **norm_layer.before((out_features,)),
            "activation": activation(),
            **norm_layer.after((out_features,)),
        }
        for name, module in parts.items():
            self.add_module(name, module)


class AverageHead(nn.Sequential):
    """Global average pooling, then one dense layer: maps (N, C, H, W) of any size to logits (N, K)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.add_module("pool", nn.AdaptiveAvgPool2d(1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(channels, num_classes))


class DenseHead(nn.Sequential):
    """One dense layer on all positions: maps (N, C, H, W) of one size to logits (N, K)."""

    def __init__(self, in_shape_CHW: ShapeCHW, num_classes: int) -> None:
        super().__init__()
        self.add_module("flatten", nn.Flatten())
        self.add_module("linear", nn.Linear(math.prod(in_shape_CHW), num_classes))


def convolution_with(padding: str | None) -> Callable[..., nn.Module]:
    """torch.nn.Conv2d, its maps continued as `padding` says; with zeros when None. Raises RequestError."""
    if padding is None:
        return nn.Conv2d
    if padding not in PADDINGS:
        raise unknown_name("model.padding", padding, PADDINGS)
    return partial(nn.Conv2d, padding_mode=padding)


def remove_biases(network: nn.Module) -> None:
    """Take the bias of every weight layer out, the output's too; norm layers keep their shift β.

    What is left starts with the numbers that it would have had beside biases.
    """
    for _, layer in weight_layers(network):
        layer.register_parameter("bias", None)


def output_shape(module: nn.Module, in_shape_CHW: ShapeCHW) -> ShapeCHW:
    """Shape C, H, W that `module` gives for maps of `in_shape_CHW`; nothing is computed (meta device).

    Raises RequestError where the maps are too small for it.
    """
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
    try:
        y_NCHW = torch.func.functional_call(module, on_meta, torch.empty(2, *in_shape_CHW, device="meta"))
    except RuntimeError as error:
        C, H, W = in_shape_CHW
        raise RequestError(f"model: {module} cannot take a map of {H} × {W} ({C} channels)") from error
    _, C, H, W = y_NCHW.shape
    return C, H, W


def require_at_least(name: str, got: int, at_least: int) -> None:
    """Raise RequestError where a size is below its least value."""
    if got < at_least:
        raise RequestError(f"{name}: got {got}, expected at least {at_least}")


def require_head(head: str) -> None:
    """Raise RequestError where there is no such head."""
    if head not in HEADS:
        raise unknown_name("model.head", head, HEADS)


def refuse_pooling(model: str, pool: ModuleFactory | None) -> None:
    """Raise RequestError where an architecture without pooling is given one: it would change nothing."""
    if pool is not None:
        raise RequestError(f"model={model}: there is nothing to pool; expected pool=none")


def max_poolings(in_shape_CHW: ShapeCHW) -> int:
    """How often maps can be halved, rounding down, before the smaller side is one position."""
    return min(in_shape_CHW[1:]).bit_length() - 1


def require_poolings(model: str, in_shape_CHW: ShapeCHW, poolings: int) -> None:
    """Raise RequestError where images are too small to be halved `poolings` times."""
    _, H, W = in_shape_CHW
    if poolings > max_poolings(in_shape_CHW):
        raise RequestError(
            f"model={model}: {poolings} poolings on {H} × {W} pixels, expected at most "
            f"{max_poolings(in_shape_CHW)}: they need images of {2**poolings} × {2**poolings} or larger"
        )


def allowed_depths(model: Callable[..., nn.Module], limit: int = MAX_LISTED_DEPTH) -> Sequence[int] | None:
    """The depths that a model option takes, ascending, up to `limit`; None where it does not say.

    model: the class, or a partial of it, as the option is built. A class says so by its static method
    `depths(limit)`; one that has no depth to choose gives none.
    """
    depths = getattr(getattr(model, "func", model), "depths", None)
    return None if depths is None else depths(limit)
