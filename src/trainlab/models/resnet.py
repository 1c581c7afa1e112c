"""The residual network for CIFAR (He et al. 2015, "Deep residual learning", section 4.2)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.blocks import (
    MAX_LISTED_DEPTH,
    NO_NORM,
    AverageHead,
    ConvBlock,
    ModuleFactory,
    ShapeCHW,
    convolution_with,
    output_shape,
    refuse_pooling,
    remove_biases,
    require_at_least,
)
from trainlab.nn.norm_layers import NormLayer

STAGES = 3


class ResNet(nn.Module):
    """A 3 × 3 convolution, `depth` basic blocks in three stages of 1, 2, 4 · width maps, average, dense.

    Nine blocks of width 16 are ResNet-20: 2 · 9 convolutions, the first one and the dense layer; 269,722
    parameters with BatchNorm on CIFAR-10. The first block of stages 2 and 3 strides, so there is nothing to
    pool. Without a norm layer the variance grows with every block; a `branch_gain` of 0 is what
    normalization does there (SkipInit; De & Smith 2020, arXiv:2002.10444). Takes normalized x_NCHW, returns
    logits_NK.

    `branch_gain` None is none; a number is where a learned factor on each block's branch starts. `padding` is
    what maps are continued with: zeros when None. `bias` False leaves the biases out; `shortcut` False the
    shortcuts: blocks are then branches in a row, the paper's plain network.

    Raises RequestError for a depth that is no multiple of 3, a pooling and an unknown padding.
    """

    @staticmethod
    def depths(limit: int = MAX_LISTED_DEPTH) -> Sequence[int]:
        """Blocks up to `limit`: equally many in each stage."""
        return range(STAGES, limit + 1, STAGES)

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        num_classes: int,
        *,
        depth: int = 9,
        width: int = 16,
        activation: ModuleFactory = nn.ReLU,
        norm_layer: NormLayer = NO_NORM,
        pool: ModuleFactory | None = None,
        branch_gain: float | None = None,
        padding: str | None = None,
        shortcut: bool | None = None,
        bias: bool | None = None,
    ) -> None:
        super().__init__()
        if depth not in self.depths(depth):
            raise RequestError(
                f"model=resnet: got depth={depth} blocks, expected a multiple of 3: 3, 6, 9, 15, 27, …"
            )
        require_at_least("width", width, 1)
        refuse_pooling("resnet", pool)
        convolution = convolution_with(padding)
        self.stem = ConvBlock(
            in_shape_CHW,
            width,
            kernel=3,
            padding=1,
            activation=activation,
            norm_layer=norm_layer,
            convolution=convolution,
        )
        self.stages = nn.Sequential()
        shape = self.stem.out_shape_CHW
        for i in range(STAGES):
            stage = nn.Sequential()
            for j in range(depth // STAGES):
                stride = 2 if i > 0 and j == 0 else 1
                block = BasicBlock(
                    shape,
                    width * 2**i,
                    stride=stride,
                    activation=activation,
                    norm_layer=norm_layer,
                    gain=branch_gain,
                    convolution=convolution,
                    has_shortcut=shortcut is not False,
                )
                stage.add_module(f"block{j + 1}", block)
                shape = block.out_shape_CHW
            self.stages.add_module(str(i + 1), stage)
        self.head = AverageHead(shape[0], num_classes)
        if bias is False:
            remove_biases(self)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Normalized images to logits (N, K)."""
        return self.head(self.stages(self.stem(x_NCHW)))


class BasicBlock(nn.Module):
    """activation(shortcut(x) + branch(x)); the branch is conv → [norm] → activation → conv → [norm] → [gain].

    Without a shortcut it is activation(branch(x)), of the same parameters. A norm layer after the activation
    goes after each of the two activations.
    """

    def __init__(
        self,
        in_shape_CHW: ShapeCHW,
        channels: int,
        *,
        stride: int,
        activation: ModuleFactory,
        norm_layer: NormLayer,
        gain: float | None = None,
        convolution: Callable[..., nn.Module] = nn.Conv2d,
        has_shortcut: bool = True,
    ) -> None:
        super().__init__()
        first = ConvBlock(
            in_shape_CHW,
            channels,
            kernel=3,
            stride=stride,
            padding=1,
            activation=activation,
            norm_layer=norm_layer,
            convolution=convolution,
        )
        second = convolution(channels, channels, 3, padding=1, bias=norm_layer.keeps_bias)
        shape = output_shape(second, first.out_shape_CHW)
        self.first = first
        self.second = nn.Sequential()
        for name, module in {"conv": second, **norm_layer.before(shape)}.items():
            self.second.add_module(name, module)
        if gain is not None:
            self.second.add_module("gain", Gain(gain))
        self.shortcut = Shortcut(stride, channels - in_shape_CHW[0]) if has_shortcut else None
        self.joined = nn.Sequential()
        for name, module in {"activation": activation(), **norm_layer.after(shape)}.items():
            self.joined.add_module(name, module)
        self.out_shape_CHW = shape

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        branch_NCHW = self.second(self.first(x_NCHW))
        return self.joined(branch_NCHW if self.shortcut is None else branch_NCHW + self.shortcut(x_NCHW))


class Gain(nn.Module):
    """One learned factor on all maps; initializers, which fill weight layers, leave it at `start`."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(float(start)))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The maps, scaled."""
        return self.factor * x_NCHW


class Shortcut(nn.Module):
    """The identity; where maps shrink and channels grow, every `stride`-th position, and zeros (option A).

    Without parameters, so that no initializer and no norm layer stands in the way of the signal.
    """

    def __init__(self, stride: int, extra_channels: int) -> None:
        super().__init__()
        self.stride, self.extra_channels = stride, extra_channels

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C + extra_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        x_NCHW = x_NCHW[:, :, :: self.stride, :: self.stride]
        return nn.functional.pad(x_NCHW, (0, 0, 0, 0, 0, self.extra_channels))
