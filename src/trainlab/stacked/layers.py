"""Layers of B networks as one: dense, locally connected, activations, pools, dropout, residual parts.

Legend: B runs, N images, C channels, H × W map, F features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainlab.models.resnet import Gain, Shortcut
from trainlab.nn.layers import LocallyConnected2d
from trainlab.stacked.layout import on_each_map
from trainlab.stacked.leaf import RunStreams, StackedLeaf, StackedTensors
from trainlab.stacked.triton_pooling import Kind, pool_2x2, why_not_pooled


class StackedLinear(StackedLeaf):
    """`nn.Linear` of each run: weight (B, F, I), bias (B, F); one batched product."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, singles: Sequence[nn.Linear], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)

    def forward(self, x_BNI: Tensor) -> Tensor:
        """(B, N, …, I) to (B, N, …, F)."""
        x_BMI, weight_BIF = x_BNI.flatten(1, -2), self.weight.transpose(1, 2)
        if self.bias is None:
            y_BMF = torch.bmm(x_BMI, weight_BIF)
        else:
            y_BMF = torch.baddbmm(self.bias[:, None], x_BMI, weight_BIF)
        return y_BMF.unflatten(1, x_BNI.shape[1:-1])


class StackedLocallyConnected2d(StackedLeaf):
    """`LocallyConnected2d` of each run: weight (B, L, F, K), bias (B, F, h, w); one product over B · L."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, singles: Sequence[LocallyConnected2d], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)
        first = singles[0]
        if first.bias is None:
            self.register_parameter("bias", None)
        self.kernel_size, self.stride, self.padding = first.kernel_size, first.stride, first.padding
        self.fan_in, self.out_size_HW = first.fan_in, first.out_size_HW

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """x_BNCHW to y_BNFhw."""
        B, N = x_BNCHW.shape[:2]
        if self.padding:
            x_BNCHW = F.pad(x_BNCHW, [self.padding] * 4)
        patches_BNChwkk = x_BNCHW.unfold(3, self.kernel_size, self.stride).unfold(
            4, self.kernel_size, self.stride
        )
        patches_DNK = patches_BNChwkk.permute(0, 3, 4, 1, 2, 5, 6).reshape(-1, N, self.fan_in)
        y_DNF = torch.bmm(patches_DNK, self.weight.flatten(0, 1).transpose(1, 2))
        y_BNFhw = y_DNF.unflatten(0, (B, *self.out_size_HW)).permute(0, 3, 4, 1, 2)
        return y_BNFhw if self.bias is None else y_BNFhw + self.bias[:, None]


class StackedElementwise(StackedLeaf):
    """An activation without parameters that takes each value alone: the single module does all at once."""

    def __init__(self, singles: Sequence[nn.Module]) -> None:
        super().__init__(singles)
        if "inplace" in self.single.__dict__:  # the same numbers, and what others gave stays as it is
            self.single.__dict__["inplace"] = False

    def forward(self, x_BN: Tensor) -> Tensor:
        """Any shape, to the same shape."""
        return self.single(x_BN)


class StackedPReLU(StackedLeaf):
    """`nn.PReLU` of each run: weight (B, 1) or (B, C)."""

    weight: Tensor

    def __init__(self, singles: Sequence[nn.PReLU], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)

    def forward(self, x_BNC: Tensor) -> Tensor:
        """(B, N, C, …), of the same shape."""
        if self.weight.shape[1] == 1:  # runs in the place that torch takes for channels
            return F.prelu(x_BNC.transpose(0, 1), self.weight.flatten()).transpose(0, 1)
        y_NDHW = F.prelu(x_BNC.transpose(0, 1).flatten(1, 2), self.weight.flatten())
        return y_NDHW.unflatten(1, (self.runs, -1)).transpose(0, 1)


class StackedMapOperation(StackedLeaf):
    """A pooling, or another layer without parameters that treats each map (H × W) alike."""

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """x_BNCHW to maps of another size."""
        return on_each_map(self.single, x_BNCHW)


class StackedPool(StackedMapOperation):
    """`nn.MaxPool2d` or `nn.AvgPool2d`; 2 × 2 windows side by side by kernels of its own on a GPU.

    why_not: for what reason the kernels were last left out; None: they were not.
    """

    def __init__(self, singles: Sequence[nn.MaxPool2d | nn.AvgPool2d]) -> None:
        super().__init__(singles)
        self.pooled = _kind_of_pool(singles[0])
        self.why_not: str | None = "not called yet"

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """x_BNCHW to maps of another size."""
        if self.pooled is None:
            self.why_not = "no 2 × 2 windows side by side"
        else:
            self.why_not = why_not_pooled(x_BNCHW, self.pooled) if x_BNCHW.is_cuda else "not on a GPU"
            if self.why_not is None:
                return pool_2x2(x_BNCHW, self.pooled)
        return super().forward(x_BNCHW)


def _kind_of_pool(pool: nn.MaxPool2d | nn.AvgPool2d) -> Kind | None:
    """What the kernels compute for it; None for what they do not."""
    two, none = (2, (2, 2)), (0, (0, 0))
    if pool.kernel_size not in two or pool.stride not in two or pool.padding not in none or pool.ceil_mode:
        return None
    if isinstance(pool, nn.AvgPool2d):
        return "mean" if pool.divisor_override is None else None
    return None if pool.dilation not in (1, (1, 1)) or pool.return_indices else "max"


class StackedFlatten(StackedLeaf):
    """`nn.Flatten` of each run."""

    def __init__(self, singles: Sequence[nn.Flatten]) -> None:
        super().__init__(singles)
        self.dims = singles[0].start_dim, singles[0].end_dim

    def forward(self, x_BN: Tensor) -> Tensor:
        """(B, N, …) to (B, N, F)."""
        first, last = (dim if dim < 0 else dim + 1 for dim in self.dims)
        return x_BN.flatten(first, last)


class StackedGain(StackedLeaf):
    """`Gain` of each run: factor (B,)."""

    factor: Tensor

    def __init__(self, singles: Sequence[Gain], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)

    def forward(self, x_BN: Tensor) -> Tensor:
        """The maps, scaled."""
        return self.factor.view(-1, *[1] * (x_BN.dim() - 1)) * x_BN


class StackedShortcut(StackedLeaf):
    """`Shortcut` of each run: every `stride`-th position, and maps of zeros."""

    def __init__(self, singles: Sequence[Shortcut]) -> None:
        super().__init__(singles)
        self.stride, self.extra_channels = singles[0].stride, singles[0].extra_channels

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """(B, N, C, H, W) to (B, N, C + extra_channels, ⌈H/stride⌉, ⌈W/stride⌉)."""
        x_BNCHW = x_BNCHW[..., :: self.stride, :: self.stride]
        if not self.extra_channels:
            return x_BNCHW
        return F.pad(x_BNCHW, (0, 0, 0, 0, 0, self.extra_channels))


class StackedDropout(StackedLeaf):
    """`nn.Dropout` of each run, from the run's own stream (RunStreams).

    On the CPU the mask is the one that the run alone draws. On CUDA each run's mask comes from its generator,
    which a graph must be told of (`torch.cuda.CUDAGraph.register_generator_state`).
    Raises RequestError in training mode before the streams were started.
    """

    def __init__(self, singles: Sequence[nn.Module], streams: RunStreams) -> None:
        super().__init__(singles)
        assert isinstance(singles[0], nn.Dropout)
        self.streams, self.p = streams, singles[0].p

    def forward(self, x_BN: Tensor) -> Tensor:
        """Values set to zero with probability p, the others divided by 1 − p; in eval mode as they are."""
        if not self.training or self.p == 0:
            return x_BN
        generators = [self.streams.generator(run) for run in range(self.runs)]
        if x_BN.is_cuda and self.p < 1:
            mask_BN = torch.empty_like(x_BN)
            for mask_N, generator in zip(mask_BN, generators, strict=True):
                mask_N.bernoulli_(1 - self.p, generator=generator)
            return x_BN * mask_BN.div_(1 - self.p)
        outputs = []
        for run, x_N in enumerate(x_BN.unbind()):
            if x_N.dim() == 4 and not x_N.is_contiguous():  # masks are drawn as the values lie in memory
                x_N = x_N.contiguous(memory_format=torch.channels_last)
            with self.streams.as_global(run):
                outputs.append(F.dropout(x_N, self.p, training=True))
        return torch.stack(outputs)
