"""Convolution of a stack by Triton kernels, forward and backward, for maps with few channels.

cuDNN's grouped convolution takes several times the time in which a GPU reads and writes the maps, where a
run has a few to some dozens of channels. `trainlab.stacked.triton_kernels` says how the kernels compute, and
what they need: `triton`, which comes with torch's CUDA builds, and a GPU. Tests run them on a CPU by
Triton's interpreter (TRITON_INTERPRET=1).

float32 (TF32 where `torch.backends.cudnn.allow_tf32`), bfloat16 and float16; sums are float32. Which tile
sizes are the fastest for a shape is measured at its first call, never while a CUDA graph is captured; the
calls need no synchronization then. Deterministic: no atomic sums.

Legend: B runs, N images, C channels in, O maps out, k × k kernel, H × W map in, h × w map out.
"""

from importlib.util import find_spec
from typing import TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from trainlab.stacked.layout import grouped, ungrouped
from trainlab.stacked.product import Pair
from trainlab.stacked.triton_blocks import (
    Blocks,
    convolution_blocks,
    direct_convolution_blocks,
    direct_gradient_blocks,
    gradient_blocks,
    is_flat,
    run_fastest,
)

Gradients: TypeAlias = tuple[Tensor | None, Tensor | None, Tensor | None, None, None, None]

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
PROGRAMS = 1056
"""Programs that a weight gradient is split into, where there are rows enough: 8 for each of 132 SMs."""
MIN_CHANNELS_TO_COPY = 16
"""From so many channels on x is copied to channels last, where y is asked for so."""
PLANES = (0, 1, 2, 3, 4)
CHANNELS_LAST = (0, 1, 3, 4, 2)
"""The dimensions of (B, N, C, H, W) in the order (B, N, H, W, C)."""


def is_supported(x_BNCHW: Tensor, weight_BOCkk: Tensor, stride: Pair, padding: Pair) -> bool:
    """Whether the kernels compute this: no dilation and no groups, stride 1 or 2, not float64."""
    if find_spec("triton") is None:
        return False
    dtypes = {compute_dtype(x_BNCHW), compute_dtype(weight_BOCkk)}
    h, w = _positions(x_BNCHW, weight_BOCkk, stride, padding)
    runs, images, channels, H, W = x_BNCHW.shape
    largest = images * max(channels, weight_BOCkk.shape[1]) * max(H * W, h * w)
    return (
        len(dtypes) == 1
        and dtypes.issubset(DTYPES)
        and channels == weight_BOCkk.shape[2]
        and set(stride) <= {1, 2}
        and min(padding) >= 0
        and min(h, w, images) >= 1
        and runs < 2**16
        and largest < 2**31
    )


def stacked_conv2d(
    x_BNCHW: Tensor,
    weight_BOCkk: Tensor,
    bias_BO: Tensor | None,
    stride: Pair,
    padding: Pair,
    channels_last: bool = False,
) -> Tensor:
    """y_BNOhw: the convolution of each run with its own weights.

    y lies in memory like x, or as (B, N, h, w, O) with `channels_last`: x is copied to that order if it lies
    otherwise and has more than a few channels. The kernels are fastest on it from 16 channels.
    """
    x_BNCHW, weight_BOCkk = x_BNCHW.to(compute_dtype(x_BNCHW)), weight_BOCkk.to(compute_dtype(weight_BOCkk))
    if bias_BO is not None:
        bias_BO = bias_BO.to(weight_BOCkk.dtype)
    if padding == (0, 0) and weight_BOCkk.shape[3:] == x_BNCHW.shape[3:]:  # one position: a matrix product
        x_BNK, weight_BKO = x_BNCHW.flatten(2), weight_BOCkk.flatten(2).transpose(1, 2)
        if bias_BO is None:
            return torch.bmm(x_BNK, weight_BKO)[..., None, None]
        return torch.baddbmm(bias_BO[:, None], x_BNK, weight_BKO)[..., None, None]
    if channels_last and x_BNCHW.shape[2] >= MIN_CHANNELS_TO_COPY and x_BNCHW.stride(2) != 1:
        x_BNCHW = x_BNCHW.movedim(2, 4).contiguous().movedim(4, 2)
    return _Convolution.apply(x_BNCHW, weight_BOCkk, bias_BO, stride, padding, channels_last)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        x_BNCHW: Tensor,
        weight_BOCkk: Tensor,
        bias_BO: Tensor | None,
        stride: Pair,
        padding: Pair,
        channels_last: bool,
    ) -> Tensor:
        ctx.save_for_backward(x_BNCHW, weight_BOCkk, bias_BO)  # pyrefly: ignore[bad-argument-type]
        ctx.geometry = stride, padding  # pyrefly: ignore[missing-attribute]
        return _outputs(x_BNCHW, weight_BOCkk, bias_BO, stride, padding, channels_last)

    @staticmethod
    def backward(ctx, dy_BNOhw: Tensor) -> Gradients:  # pyrefly: ignore[bad-override]
        x_BNCHW, weight_BOCkk, _ = ctx.saved_tensors
        stride, padding = ctx.geometry
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # a second derivative is asked for
            return _differentiable_gradients(ctx, dy_BNOhw)
        dx_BNCHW = dweight_BOCkk = dbias_BO = None
        if needs_x:
            dx_BNCHW = _input_gradient(x_BNCHW, dy_BNOhw, weight_BOCkk, stride, padding)
        if needs_weight or needs_bias:
            dweight_BOCkk, dbias_BO = _weight_gradient(
                x_BNCHW, dy_BNOhw, weight_BOCkk, needs_bias, stride, padding
            )
        return dx_BNCHW, dweight_BOCkk if needs_weight else None, dbias_BO, None, None, None


def _differentiable_gradients(ctx, dy_BNOhw: Tensor) -> Gradients:
    """The gradients by torch's own convolution, whose own gradients torch knows."""
    tensors = ctx.saved_tensors
    x_BNCHW, weight_BOCkk, bias_BO = tensors
    stride, padding = ctx.geometry
    bias = None if bias_BO is None else bias_BO.flatten()
    runs = len(weight_BOCkk)
    weight = weight_BOCkk.flatten(0, 1)
    y_BNOhw = ungrouped(F.conv2d(grouped(x_BNCHW), weight, bias, stride, padding, groups=runs), runs)
    asked = [i for i in range(3) if ctx.needs_input_grad[i]]
    found = torch.autograd.grad(y_BNOhw, [tensors[i] for i in asked], dy_BNOhw, create_graph=True)
    by_place = dict(zip(asked, found, strict=True))
    return by_place.get(0), by_place.get(1), by_place.get(2), None, None, None


def compile_kernels(
    x_BNCHW: Tensor,
    weight_BOCkk: Tensor,
    bias_BO: Tensor | None,
    stride: Pair,
    padding: Pair,
    channels_last: bool,
    needs_input_gradient: bool,
) -> None:
    """Compiles what `stacked_conv2d` and its gradients launch for such tensors; all on the device "meta"."""
    assert x_BNCHW.is_meta
    if padding == (0, 0) and weight_BOCkk.shape[3:] == x_BNCHW.shape[3:]:
        return
    y_BNOhw = _outputs(x_BNCHW, weight_BOCkk, bias_BO, stride, padding, channels_last)
    _weight_gradient(x_BNCHW, y_BNOhw, weight_BOCkk, bias_BO is not None, stride, padding)
    if needs_input_gradient:
        _input_gradient(x_BNCHW, y_BNOhw, weight_BOCkk, stride, padding)


def _outputs(
    x_BNCHW: Tensor,
    weight_BOCkk: Tensor,
    bias_BO: Tensor | None,
    stride: Pair,
    padding: Pair,
    channels_last: bool,
) -> Tensor:
    h, w = _positions(x_BNCHW, weight_BOCkk, stride, padding)
    order = CHANNELS_LAST if channels_last else _order(x_BNCHW)
    shape = (*x_BNCHW.shape[:2], weight_BOCkk.shape[1], h, w)
    y_BNOhw = torch.empty_permuted(shape, order, dtype=x_BNCHW.dtype, device=x_BNCHW.device)
    weight_BOkkC = weight_BOCkk.permute(0, 1, 3, 4, 2).contiguous()
    _convolve(x_BNCHW, weight_BOkkC, bias_BO, y_BNOhw, stride, (1, 1), padding)
    return y_BNOhw


def _input_gradient(
    x_BNCHW: Tensor, dy_BNOhw: Tensor, weight_BOCkk: Tensor, stride: Pair, padding: Pair
) -> Tensor:
    rows, columns = weight_BOCkk.shape[3:]
    dx_BNCHW = torch.empty_like(x_BNCHW)
    weight_BCkkO = weight_BOCkk.permute(0, 2, 3, 4, 1).contiguous()
    margins = (rows - 1 - padding[0], columns - 1 - padding[1])
    _convolve(dy_BNOhw, weight_BCkkO, None, dx_BNCHW, (1, 1), stride, margins, flipped=True)
    return dx_BNCHW


def _convolve(
    x_BNCHW: Tensor,
    weight_BOkkC: Tensor,
    bias_BO: Tensor | None,
    y_BNOhw: Tensor,
    stride: Pair,
    up: Pair,
    padding: Pair,
    flipped: bool = False,
) -> None:
    """Writes y: position r of the output reads x at (r · stride + tap − padding) / up."""
    from trainlab.stacked.triton_kernels import convolution_kernel

    B, C = x_BNCHW.shape[0], x_BNCHW.shape[2]
    maps, kernel = weight_BOkkC.shape[1], (weight_BOkkC.shape[2], weight_BOkkC.shape[3])
    sizes = tuple(zip(x_BNCHW.shape[3:], y_BNOhw.shape[3:], kernel, stride, padding, strict=True))
    inside = all(p <= 0 and (out - 1) * s + k - 1 - p < size for size, out, k, s, p in sizes)
    inputs = C * kernel[0] * kernel[1]
    flat = is_flat(C, inputs)
    numbers = _numbers(x_BNCHW, y_BNOhw, padding)
    precision = _precision(x_BNCHW)
    rows = numbers[0]

    def launch(blocks: Blocks) -> None:
        tiles = _ceil(rows, blocks.rows) * _ceil(maps, blocks.maps)
        convolution_kernel.run(
            x_BNCHW, weight_BOkkC, bias_BO, y_BNOhw,
            rows, C, maps, *numbers[1:], *x_BNCHW.stride(), *y_BNOhw.stride(),
            C=C if flat else 0, KH=kernel[0], KW=kernel[1],
            STRIDE_H=stride[0], STRIDE_W=stride[1], UP_H=up[0], UP_W=up[1],
            FLAT=flat, EVEN=C % blocks.inputs == 0, FLIPPED=flipped, PADDED=not inside or up != (1, 1),
            WIDE=_is_wide(x_BNCHW, y_BNOhw), X_LAST=_channels_last(x_BNCHW), Y_LAST=_channels_last(y_BNOhw),
            BIASED=bias_BO is not None, PRECISION=precision, DIRECT=blocks.is_direct,
            BLOCK_M=blocks.rows, BLOCK_O=blocks.maps, BLOCK_K=blocks.inputs,
            grid=(tiles, B), warmup=x_BNCHW.is_meta, num_warps=blocks.warps, num_stages=blocks.stages,
        )  # fmt: skip

    options = convolution_blocks(maps, C, inputs, _channels_last(x_BNCHW), precision)
    if flat and up == (1, 1) and not flipped:
        options = [*options, *direct_convolution_blocks(maps, inputs)]
    key = (
        "convolution",
        B,
        maps,
        kernel,
        stride,
        up,
        padding,
        precision,
        *_layout(x_BNCHW),
        *_layout(y_BNOhw),
    )
    run_fastest(key, options, launch, x_BNCHW)


def _weight_gradient(
    x_BNCHW: Tensor, dy_BNOhw: Tensor, weight_BOCkk: Tensor, biased: bool, stride: Pair, padding: Pair
) -> tuple[Tensor, Tensor | None]:
    """(dweight_BOCkk, dbias_BO): parts of the rows, then their sum."""
    from trainlab.stacked.triton_kernels import weight_gradient_kernel

    B, maps, C = weight_BOCkk.shape[:3]
    kernel = (weight_BOCkk.shape[3], weight_BOCkk.shape[4])
    inputs = C * kernel[0] * kernel[1]
    numbers = _numbers(x_BNCHW, dy_BNOhw, padding)
    precision = _precision(x_BNCHW)
    rows = numbers[0]

    def launch(blocks: Blocks) -> tuple[Tensor, Tensor | None]:
        tiles = _ceil(inputs, blocks.inputs) * _ceil(maps, blocks.maps)
        wanted = min(_ceil(PROGRAMS, tiles * B), _ceil(rows, 8 * blocks.rows))
        rows_of_split = _ceil(_ceil(rows, wanted), blocks.rows) * blocks.rows
        splits = _ceil(rows, rows_of_split)
        dweights = x_BNCHW.new_empty((splits, *weight_BOCkk.shape), dtype=torch.float32)
        dbiases = x_BNCHW.new_empty((splits, B, maps), dtype=torch.float32) if biased else None
        weight_gradient_kernel.run(
            x_BNCHW, dy_BNOhw, dweights, dbiases,
            rows, rows_of_split, C, maps, *numbers[1:], *x_BNCHW.stride(), *dy_BNOhw.stride(),
            KH=kernel[0], KW=kernel[1], STRIDE_H=stride[0], STRIDE_W=stride[1],
            PADDED=padding != (0, 0), WIDE=_is_wide(x_BNCHW, dy_BNOhw),
            X_LAST=_channels_last(x_BNCHW), Y_LAST=_channels_last(dy_BNOhw),
            BIASED=biased, PRECISION=precision, DIRECT=blocks.is_direct,
            BLOCK_M=blocks.rows, BLOCK_O=blocks.maps, BLOCK_K=blocks.inputs,
            grid=(tiles, splits, B), warmup=x_BNCHW.is_meta, num_warps=blocks.warps, num_stages=blocks.stages,
        )  # fmt: skip
        dtype = weight_BOCkk.dtype
        return dweights.sum(0).to(dtype), None if dbiases is None else dbiases.sum(0).to(dtype)

    options = [*gradient_blocks(maps, inputs, precision), *direct_gradient_blocks(maps, inputs)]
    key = (
        "weight gradient",
        biased,
        kernel,
        stride,
        padding,
        precision,
        *_layout(x_BNCHW),
        *_layout(dy_BNOhw),
    )
    return run_fastest(key, options, launch, x_BNCHW)


def _numbers(x: Tensor, y: Tensor, padding: Pair) -> tuple[int, ...]:
    """`triton_kernels.GEOMETRY`, in its order."""
    h, w = y.shape[3:]
    rows = x.shape[1] * h * w
    return (rows, *x.shape[3:], h * w, *_divisor(h * w), w, *_divisor(w), *padding)


def _divisor(number: int) -> Pair:
    """(magic, shift) by which `triton_kernels` divides; magic is an unsigned number as a signed one."""
    shift = (number - 1).bit_length()
    magic = (2**32 * (2**shift - number)) // number + 1
    return (magic - 2**32 if magic >= 2**31 else magic), shift


def _positions(x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Pair:
    """(h, w) of the output."""
    sizes = zip(x.shape[3:], weight.shape[3:], stride, padding, strict=True)
    h, w = ((size + 2 * p - k) // s + 1 for size, k, s, p in sizes)
    return h, w


def _order(x: Tensor) -> tuple[int, ...]:
    """Dimensions as they lie in memory, the outermost first."""
    return tuple(sorted(range(x.ndim), key=lambda d: (-x.stride(d), d)))


def _channels_last(x: Tensor) -> bool:
    """Whether tiles are read channel by channel; fewer than 8 are read column by column wherever they lie."""
    return x.shape[2] >= 8 and x.stride(2) == 1


def _is_wide(*tensors: Tensor) -> bool:
    """Whether places within one run need 64 bits."""
    return any(
        sum((n - 1) * s for n, s in zip(t.shape[1:], t.stride()[1:], strict=True)) >= 2**31 for t in tensors
    )


def _layout(x: Tensor) -> tuple[object, ...]:
    return x.shape, x.stride(), x.dtype, x.device


def _precision(x: Tensor) -> str:
    """What `tl.dot` does with float32; it says nothing about the other kinds."""
    return "tf32" if x.dtype != torch.float32 or torch.backends.cudnn.allow_tf32 else "ieee"


def compute_dtype(x: Tensor) -> torch.dtype:
    """Under autocast, its dtype: as for torch's own convolutions."""
    kind = x.device.type
    if x.is_meta:
        return x.dtype
    if torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype


def _ceil(number: int, divisor: int) -> int:
    return -(-number // divisor)
