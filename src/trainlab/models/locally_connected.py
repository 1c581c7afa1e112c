"""A locally connected network: the receptive fields of a convolutional one, without shared weights."""

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    MAX_POOL,
    NO_NORM,
    ConvBlock,
    ModuleFactory,
    ShapeCHW,
    output_shape,
    remove_biases,
    require_at_least,
    require_head,
)
from trainlab.nn.layers import LocallyConnected2d
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.pooling import conv_stride

KERNEL = 5


class LocallyConnected(nn.Module):
    """`depth` locally connected layers of `width` maps, kernel × kernel without padding; one dense layer.

    A layer is followed by a pooling where the layers after it still fit into the halved map: at the default
    depth of 2, after both (LeCun 1989, "Generalization and network design strategies"). On 28 × 28 × 1 the
    first layer has 24 · 24 · 6 · (5² + 1) = 89,856 parameters. `bias` False leaves the biases out. `head`
    dense, or None, gives the output layer every position; mean averages each of the last maps before it.
    `shared` True gives every position the same kernel: a convolutional network, alike in all else.
    Takes normalized x_NCHW, returns logits_NK.

    Raises RequestError for a size below 1, more layers than the image holds, and an unknown head.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """Layers up to `limit` that images of 28 × 28 hold at the default kernel; larger images hold more."""
        return range(1, min(limit, (28 - 1) // (KERNEL - 1)) + 1)

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        depth: int = 2,
        width: int = 6,
        kernel: int = KERNEL,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = MAX_POOL,
        bias: bool | None = None,
        head: str | None = None,
        shared: bool | None = None,
    ) -> None:
        super().__init__()
        require_at_least("depth", depth, 1)
        require_at_least("width", width, 1)
        require_at_least("model.kernel", kernel, 1)
        head = head or "dense"
        require_head(head)
        _, H, W = in_shape_CHW
        if min(H, W) - depth * (kernel - 1) < 1:
            raise RequestError(
                f"model=locally_connected: depth={depth} with a kernel of {kernel} × {kernel} on {H} × {W} "
                f"pixels, expected at most {(min(H, W) - 1) // (kernel - 1)}: each takes {kernel - 1} off"
            )

        self.layers = nn.Sequential()
        shape = in_shape_CHW
        for i in range(depth):
            left_after = depth - 1 - i
            halved = (min(shape[1:]) - (kernel - 1)) // 2
            pooling = pool() if pool and halved - left_after * (kernel - 1) >= 1 else None
            block = ConvBlock(
                shape,
                width,
                kernel=kernel,
                stride=conv_stride(pooling),
                activation=activation,
                norm_layer=norm_layer,
                convolution=nn.Conv2d if shared else partial(LocallyConnected2d, in_size_HW=shape[1:]),
            )
            self.layers.add_module(f"local{i + 1}", block)
            shape = block.out_shape_CHW
            if pooling is not None:
                self.layers.add_module(f"pool{i + 1}", pooling)
                shape = output_shape(pooling, shape)
        if head == "mean":
            self.layers.add_module("average", nn.AdaptiveAvgPool2d(1))
            shape = (shape[0], 1, 1)
        self.flatten = nn.Flatten()
        self.output = nn.Linear(math.prod(shape), num_classes)
        if bias is False:
            remove_biases(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        return self.output(self.flatten(self.layers(x_NCHW)))
