"""A multilayer perceptron: dense layers on the flattened image."""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    NO_NORM,
    DenseBlock,
    ModuleFactory,
    ShapeCHW,
    refuse_pooling,
    remove_biases,
    require_at_least,
)
from trainlab.nn.norm_layers import NormLayer


class MLP(nn.Module):
    """`depth` hidden dense layers of `width` units, then the output; 3 × 100 as Ioffe & Szegedy 2015, 4.1.

    Of depth 0 it is the output layer alone: a linear classifier.

    `bias` False leaves the biases out. Takes normalized x_NCHW, returns logits_NK. There are no maps to pool.

    Raises RequestError for a size below 1, and for a pooling.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """Hidden layers: any number, here from 1 up to `limit`."""
        return range(1, limit + 1)

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        depth: int = 3,
        width: int = 100,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = None,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        require_at_least("depth", depth, 0)
        require_at_least("width", width, 1)
        refuse_pooling("mlp", pool)
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential()
        features = math.prod(in_shape_CHW)
        for i in range(depth):
            self.hidden.add_module(
                str(i + 1), DenseBlock(features, width, activation=activation, norm_layer=norm_layer)
            )
            features = width
        self.output = nn.Linear(features, num_classes)
        if bias is False:
            remove_biases(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        return self.output(self.hidden(self.flatten(x_NCHW)))
