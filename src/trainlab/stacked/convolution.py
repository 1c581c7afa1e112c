"""Convolutions of B networks: grouped, as a batched product, or one after the other; the same numbers.

Legend: B runs, N images, C channels in, F maps out, g groups, k × k kernel, H × W map in, h × w map out,
L = h · w positions, K = C / g · k² inputs of one output.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainlab.nn.whitening import PatchWhitening
from trainlab.stacked.layout import grouped, on_each_map, ungrouped
from trainlab.stacked.leaf import StackedLeaf, StackedTensors
from trainlab.stacked.product import Pair, product_convolution
from trainlab.stacked.triton_convolution import (
    MIN_CHANNELS_TO_COPY,
    compile_kernels,
    is_supported,
    stacked_conv2d,
)

Implementation: TypeAlias = Literal[
    "grouped", "grouped_channels_last", "product", "loop", "triton", "triton_channels_last"
]
"""How the convolutions of all runs are computed.

grouped: one convolution of B · g groups over (N, B · C, H, W); grouped_channels_last: the same with
(N, H, W, B, C) in memory; product: patches × weights, one batched matrix product; loop: B convolutions;
triton: kernels written for stacks, in x's order of memory; triton_channels_last: the same, which give
(B, N, h, w, F) in memory.
"""

IMPLEMENTATIONS: tuple[Implementation, ...] = ("grouped", "grouped_channels_last", "product", "loop")
"""Those that compute every convolution, on every device."""

RUNS_WITHOUT_LOOP = 8
"""From so many runs on, starting the kernels of each run costs more than any of them gains."""
MAX_TRIED_PATCH_BYTES = 2**27
"""Writing and reading more patches than this takes longer than kernels that keep them in registers."""


class StackedConv2d(StackedLeaf):
    """`nn.Conv2d`, or `PatchWhitening`, of each run: weight (B, F, C / g, k, k), bias (B, F).

    `implementation`: None until it is chosen (`trainlab.stacked.tune`): `default_implementation` is used.
    `milliseconds`: what was measured of each, forward and backward.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, singles: Sequence[nn.Conv2d | PatchWhitening], tensors: StackedTensors) -> None:
        super().__init__(singles)
        tensors.fill(self, singles)
        first = singles[0]
        self.kernel_size = (self.weight.shape[3], self.weight.shape[4])
        self.stride: Pair = (1, 1)
        self.dilation: Pair = (1, 1)
        self.groups, self.padding, self.padding_mode = 1, (0, 0), "zeros"
        if isinstance(first, nn.Conv2d):
            self.stride, self.dilation, self.groups = _pair(first.stride), _pair(first.dilation), first.groups
            self.padding: str | tuple[int, ...] = first.padding
            self.padding_mode = first.padding_mode
        self.implementation: Implementation | None = None
        self.milliseconds: dict[Implementation, float] = {}

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """x_BNCHW to y_BNFhw."""
        implementation = self.implementation or default_implementation(x_BNCHW.device)
        return self.compute(x_BNCHW, implementation)

    def implementations(self, x_BNCHW: Tensor) -> tuple[Implementation, ...]:
        """Those that can compute this layer of x where x is, and could be the fastest; likely ones first."""
        if not x_BNCHW.is_cuda or not self.has_kernels(x_BNCHW):
            return IMPLEMENTATIONS
        return self.worth_a_trial(x_BNCHW)

    def has_kernels(self, x_BNCHW: Tensor) -> bool:
        """Whether the kernels that are written for stacks compute this layer."""
        top, _, left, _ = self._margins()
        plain = self.dilation == (1, 1) and self.groups == 1
        return plain and is_supported(x_BNCHW, self.weight, self.stride, (top, left))

    def worth_a_trial(self, x_BNCHW: Tensor) -> tuple[Implementation, ...]:
        """Those that could be the fastest where there are kernels written for stacks.

        Each costs time before training. The loop over runs is out from some runs on; patches, where they are
        many times what the layer reads and writes; channels last in groups, where a run has a few channels.
        """
        maps, channels = self.weight.shape[1:3]
        names: list[Implementation] = []
        if channels < MIN_CHANNELS_TO_COPY or x_BNCHW.stride(2) == 1:
            names.append("triton")
        if max(maps, channels) >= 8 and x_BNCHW.stride(2) != 1:  # else the other order gains nothing
            names.append("triton_channels_last")
        names.append("grouped")
        if channels >= 8:
            names.append("grouped_channels_last")
        if self._patch_bytes(x_BNCHW) <= MAX_TRIED_PATCH_BYTES:
            names.append("product")
        if self.runs < RUNS_WITHOUT_LOOP:
            names.append("loop")
        return tuple(names)

    def compile_kernels(self, x_BNCHW: Tensor, *, needs_input_gradient: bool) -> None:
        """Compiles the kernels of this layer that inputs like x, on the device "meta", would start."""
        top, _, left, _ = self._margins()
        weight = torch.empty(self.weight.shape, dtype=x_BNCHW.dtype, device="meta")
        bias = None if self.bias is None else torch.empty(weight.shape[:2], dtype=weight.dtype, device="meta")
        for name in self.worth_a_trial(x_BNCHW):
            if name in ("triton", "triton_channels_last"):
                last = name == "triton_channels_last"
                compile_kernels(x_BNCHW, weight, bias, self.stride, (top, left), last, needs_input_gradient)

    def _patch_bytes(self, x_BNCHW: Tensor) -> int:
        positions = 1
        top, bottom, left, right = self._margins()
        sides = zip(x_BNCHW.shape[3:], (top + bottom, left + right), strict=True)
        for (size, margin), k, s in zip(sides, self.kernel_size, self.stride, strict=True):
            positions *= (size + margin - k) // s + 1
        inputs = self.weight[0, 0].numel()
        return x_BNCHW.shape[0] * x_BNCHW.shape[1] * positions * inputs * x_BNCHW.element_size()

    def compute(self, x_BNCHW: Tensor, implementation: Implementation) -> Tensor:
        """The same by an implementation that is named."""
        top, bottom, left, right = self._margins()
        padding = (top, left)
        if self.padding_mode != "zeros" or (top, left) != (bottom, right) or implementation == "product":
            if any((top, bottom, left, right)):
                mode = "constant" if self.padding_mode == "zeros" else self.padding_mode
                margins = [left, right, top, bottom]
                x_BNCHW = on_each_map(lambda x: F.pad(x, margins, mode=mode), x_BNCHW)
            padding = (0, 0)
        if implementation == "product":
            return product_convolution(
                x_BNCHW, self.weight, self.bias, self.stride, self.dilation, self.groups
            )
        if implementation == "loop":
            return self._looped(x_BNCHW, padding)
        if implementation in ("triton", "triton_channels_last"):
            channels_last = implementation == "triton_channels_last"
            return stacked_conv2d(x_BNCHW, self.weight, self.bias, self.stride, padding, channels_last)
        return self._grouped(x_BNCHW, padding, channels_last=implementation == "grouped_channels_last")

    def _grouped(self, x_BNCHW: Tensor, padding: tuple[int, int], channels_last: bool) -> Tensor:
        x_NDHW, weight = grouped(x_BNCHW), self.weight.flatten(0, 1)
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        x_NDHW, weight = (t.contiguous(memory_format=memory_format) for t in (x_NDHW, weight))
        bias = None if self.bias is None else self.bias.flatten()
        groups = self.runs * self.groups
        y_NDhw = F.conv2d(x_NDHW, weight, bias, self.stride, padding, self.dilation, groups)
        return ungrouped(y_NDhw, self.runs)

    def _looped(self, x_BNCHW: Tensor, padding: tuple[int, int]) -> Tensor:
        biases = [None] * self.runs if self.bias is None else self.bias.unbind()
        weights = self.weight.unbind()
        outputs = []
        for x, weight, bias in zip(x_BNCHW.unbind(), weights, biases, strict=True):
            x, weight = (t.contiguous(memory_format=torch.channels_last) for t in (x, weight))
            outputs.append(F.conv2d(x, weight, bias, self.stride, padding, self.dilation, self.groups))
        return torch.stack([y.movedim(1, 3) for y in outputs]).movedim(4, 2)

    def _margins(self) -> tuple[int, int, int, int]:
        """Rows and columns added at the top, bottom, left and right."""
        if self.padding == "valid":
            return (0, 0, 0, 0)
        if self.padding == "same":
            rows, columns = (d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True))
            return (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
        assert not isinstance(self.padding, str)
        rows, columns = self.padding
        return (rows, rows, columns, columns)


def _pair(sizes: tuple[int, ...]) -> Pair:
    rows, columns = sizes
    return rows, columns


def default_implementation(device: torch.device) -> Implementation:
    """What is used where nothing was measured."""
    return "grouped" if device.type == "cuda" else "loop"
