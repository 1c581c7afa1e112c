"""LeNet-5 (LeCun et al. 1998), with all connections in C3, parameter-free pooling and a dense output."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    MAX_POOL,
    NO_NORM,
    ConvBlock,
    DenseBlock,
    ModuleFactory,
    ShapeCHW,
    output_shape,
    remove_biases,
)
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.pooling import conv_stride

PADDING_BY_IMAGE_SIZE = {(28, 28): 2, (32, 32): 0}
"""Padding of C1 by image size: the paper's input is 32 × 32, MNIST's digits of 28 × 28 centred in it."""


class LeNet5(nn.Module):
    """LeNet-5, 61,706 parameters for one channel and ten classes.

    | layer  | kind               | output   | parameters |
    |--------|--------------------|----------|------------|
    | C1     | convolution 5 × 5  | 6@28×28  | 156        |
    | S2     | pooling 2 × 2      | 6@14×14  | 0          |
    | C3     | convolution 5 × 5  | 16@10×10 | 2,416      |
    | S4     | pooling 2 × 2      | 16@5×5   | 0          |
    | C5     | convolution 5 × 5  | 120@1×1  | 48,120     |
    | F6     | dense              | 84       | 10,164     |
    | output | dense              | 10       | 850        |

    The paper has 60,000: a sparse C3 (1,516), pools with a weight and a bias per map, fixed RBF outputs; and
    tanh. `bias` False leaves the 236 biases out. Takes normalized x_NCHW, returns logits_NK.

    Raises RequestError for images of other sizes.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """None: it has one depth."""
        return ()

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = MAX_POOL,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        size_HW = (in_shape_CHW[1], in_shape_CHW[2])
        if size_HW not in PADDING_BY_IMAGE_SIZE:
            got = " × ".join(map(str, size_HW))
            raise RequestError(
                f"model=lenet5: got images of {got} pixels, expected 28 × 28 or 32 × 32 (data.image_size=32)"
            )
        conv = partial(ConvBlock, kernel=5, activation=activation, norm_layer=norm_layer)
        if pool is None:
            raise RequestError("model=lenet5: S2 and S4 pool; expected pool=max, avg or stride, got none")
        S2, S4 = pool(), pool()
        self.C1 = conv(in_shape_CHW, 6, padding=PADDING_BY_IMAGE_SIZE[size_HW], stride=conv_stride(S2))
        self.S2 = S2
        self.C3 = conv(output_shape(S2, self.C1.out_shape_CHW), 16, stride=conv_stride(S4))
        self.S4 = S4
        self.C5 = conv(output_shape(S4, self.C3.out_shape_CHW), 120)
        self.flatten = nn.Flatten()
        self.F6 = DenseBlock(120, 84, activation=activation, norm_layer=norm_layer)
        self.output = nn.Linear(84, num_classes)
        if bias is False:
            remove_biases(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        x_NCHW = self.S2(self.C1(x_NCHW))
        x_NCHW = self.S4(self.C3(x_NCHW))
        x_NF = self.flatten(self.C5(x_NCHW))
        return self.output(self.F6(x_NF))
