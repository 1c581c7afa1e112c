"""VGG (Simonyan & Zisserman 2015): five stages of 3 × 3 convolutions, each followed by a pooling."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    MAX_POOL,
    NO_NORM,
    AverageHead,
    ConvStage,
    DenseBlock,
    ModuleFactory,
    ShapeCHW,
    convolution_with,
    remove_biases,
    require_at_least,
    require_poolings,
)
from trainlab.nn.norm_layers import NormLayer

CONVOLUTIONS_BY_DEPTH = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions per stage (the paper's Table 1: A, B, D, E), by the weight layers of the ImageNet form."""

MAPS_BY_STAGE = (1, 2, 4, 8, 8)
"""Maps per stage, in units of `width`."""

MAX_CIFAR_HEAD_SIZE = 64
"""Up to this side the network takes the CIFAR form."""


class VGG(nn.Module):
    """VGG-`depth`, of 11, 13, 16 or 19 weight layers; 64-128-256-512-512 maps at the default width of 64.

    Images of more than 64 pixels get the ImageNet head: 4096-4096-classes (64 width units each), with dropout
    0.5. VGG-16 at 224 × 224 has 138,357,544 parameters. Smaller ones, from 32 × 32, get the head usual for
    CIFAR: global average pooling (nothing to average at 32 × 32) and one dense layer, in place of three.
    `padding` and `bias` are as in `PlainCNN`. Takes normalized x_NCHW, returns logits_NK.

    Raises RequestError for another depth, an unknown padding, or images too small for five poolings.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """Weight layers up to `limit`: the forms of the paper."""
        return [depth for depth in CONVOLUTIONS_BY_DEPTH if depth <= limit]

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        depth: int = 16,
        width: int = 64,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = MAX_POOL,
        padding: str | None = None,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        if depth not in CONVOLUTIONS_BY_DEPTH:
            expected = ", ".join(map(str, CONVOLUTIONS_BY_DEPTH))
            raise RequestError(f"model=vgg: got depth={depth}, expected one of {expected}")
        require_at_least("width", width, 1)
        require_poolings("vgg", in_shape_CHW, len(MAPS_BY_STAGE))
        self.stages = nn.Sequential()
        shape = in_shape_CHW
        for i, (count, maps) in enumerate(zip(CONVOLUTIONS_BY_DEPTH[depth], MAPS_BY_STAGE, strict=True)):
            stage = ConvStage(
                shape,
                maps * width,
                count,
                pool=pool,
                activation=activation,
                norm_layer=norm_layer,
                convolution=convolution_with(padding),
            )
            self.stages.add_module(str(i + 1), stage)
            shape = stage.out_shape_CHW
        if max(in_shape_CHW[1:]) > MAX_CIFAR_HEAD_SIZE:
            self.head = ImageNetHead(
                math.prod(shape), 64 * width, num_classes, activation=activation, norm_layer=norm_layer
            )
        else:
            self.head = AverageHead(shape[0], num_classes)
        if bias is False:
            remove_biases(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        return self.head(self.stages(x_NCHW))


class ImageNetHead(nn.Sequential):
    """Two hidden dense layers of `units`, dropout 0.5 after each, and the output."""

    def __init__(
        self,
        in_features: int,
        units: int,
        num_classes: int,
        *,
        activation: ModuleFactory,
        norm_layer: NormLayer,
    ) -> None:
        super().__init__()
        self.flatten = nn.Flatten()
        self.dense1 = DenseBlock(in_features, units, activation=activation, norm_layer=norm_layer)
        self.dropout1 = nn.Dropout(0.5)
        self.dense2 = DenseBlock(units, units, activation=activation, norm_layer=norm_layer)
        self.dropout2 = nn.Dropout(0.5)
        self.output = nn.Linear(units, num_classes)
