"""2 × 2 pooling with stride 2 of a stack by Triton kernels: forward and backward, in x's order of memory.

cuDNN's and torch's own backward passes fill the gradient with zeros first, and with channels last read every
window several times. These kernels write every number once. Values and gradients are those of torch to the
bit: of equal numbers of a window the first is the largest (row by row), and NaN is larger than any.

Legend: B runs, N images, C channels, H × W map in, h × w map out; P, D as in `triton_pooling_kernels`.
"""

from importlib.util import find_spec
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

from trainlab.stacked.layout import on_each_map

Kind: TypeAlias = Literal["max", "mean"]

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
BLOCK = 1024
HEIGHT, WIDTH = 3, 4
CHECKED_NUMBERS = 2**16
"""Of about so many inputs the kernels' results are compared with torch's."""

_differences: dict[tuple[object, ...], str | None] = {}


def why_not_pooled(x_BNCHW: Tensor, kind: Kind) -> str | None:
    """Why the kernels cannot pool x; None where they can.

    Their results are compared with torch's own at the first call of a process with such maps, dtype and order
    of memory, which waits for the device; not while a CUDA graph is captured.
    """
    if find_spec("triton") is None:
        return "triton is not installed"
    if x_BNCHW.dtype not in DTYPES:
        return f"dtype {x_BNCHW.dtype}"
    if x_BNCHW.numel() >= 2**31:
        return f"{x_BNCHW.numel()} numbers, of 2**31 at most"
    block = memory_block(x_BNCHW)
    if block is None:
        return f"strides {x_BNCHW.stride()} of shape {tuple(x_BNCHW.shape)}"
    key = (kind, x_BNCHW.dtype, x_BNCHW.device, *block[1:])
    if key not in _differences:
        if x_BNCHW.is_cuda and torch.cuda.is_current_stream_capturing():
            return "not yet compared with torch, in a CUDA graph"
        _differences[key] = _difference(x_BNCHW, block, kind)
    return _differences[key]


def memory_block(x_BNCHW: Tensor) -> tuple[int, int, int, int] | None:
    """(P, H, W, D), as x lies in memory; None where it has gaps, or its rows do not lie one after another."""
    H, W = x_BNCHW.shape[HEIGHT:]
    if min(H, W) < 2 or not x_BNCHW.numel():
        return None
    inner = x_BNCHW.stride(WIDTH)
    if not _lies_in(x_BNCHW, _order(x_BNCHW)) or x_BNCHW.stride(HEIGHT) != W * inner:
        return None
    return x_BNCHW.numel() // (H * W * inner), H, W, inner


def pool_2x2(x_BNCHW: Tensor, kind: Kind) -> Tensor:
    """y_BNChw: the largest number or the mean of each window; see `why_not_pooled`."""
    return _Pool.apply(x_BNCHW, kind)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x_BNCHW: Tensor, kind: Kind) -> Tensor:
        from trainlab.stacked.triton_pooling_kernels import pool_kernel

        planes, H, W, inner = _block(x_BNCHW)
        h, w, order = H // 2, W // 2, _order(x_BNCHW)
        y_BNChw = _empty(x_BNCHW, (h, w), order)
        codes_BNChw = _empty(x_BNCHW, (h, w), order, torch.uint8) if kind == "max" else None
        total = planes * h * w * inner
        with torch.cuda.device_of(x_BNCHW):
            pool_kernel.run(
                x_BNCHW, y_BNChw, codes_BNChw, total, H, W, h, w,
                D=inner, LARGEST=kind == "max", BLOCK=BLOCK,
                grid=(_programs(total),), warmup=False,
            )  # fmt: skip
        ctx.save_for_backward(codes_BNChw)  # pyrefly: ignore[bad-argument-type]
        ctx.geometry = planes, H, W, inner, order  # pyrefly: ignore[missing-attribute]
        return y_BNChw

    @staticmethod
    def backward(ctx, dy_BNChw: Tensor) -> tuple[Tensor, None]:  # pyrefly: ignore[bad-override]
        from trainlab.stacked.triton_pooling_kernels import pool_gradient_kernel

        (codes_BNChw,) = ctx.saved_tensors
        planes, H, W, inner, order = ctx.geometry
        if torch.is_grad_enabled():  # a second derivative is asked for
            return _differentiable_gradient(dy_BNChw, codes_BNChw, (H, W)), None
        h, w = dy_BNChw.shape[HEIGHT:]
        if not _lies_in(dy_BNChw, order):
            dy_BNChw = _empty(dy_BNChw, (h, w), order).copy_(dy_BNChw)
        dx_BNCHW = _empty(dy_BNChw, (H, W), order)
        total = planes * ((H + 1) // 2) * ((W + 1) // 2) * inner
        with torch.cuda.device_of(dy_BNChw):
            pool_gradient_kernel.run(
                dy_BNChw, codes_BNChw, dx_BNCHW, total, H, W, h, w,
                D=inner, LARGEST=codes_BNChw is not None, BLOCK=BLOCK,
                grid=(_programs(total),), warmup=False,
            )  # fmt: skip
        return dx_BNCHW, None


def _differentiable_gradient(dy_BNChw: Tensor, codes_BNChw: Tensor | None, size: tuple[int, int]) -> Tensor:
    """The gradient by torch's operations, whose own gradients torch knows."""
    h, w = dy_BNChw.shape[HEIGHT:]
    dx_BNCHW = dy_BNChw.new_zeros(*dy_BNChw.shape[:HEIGHT], *size)
    for code in range(4):
        part = dy_BNChw / 4 if codes_BNChw is None else dy_BNChw.where(codes_BNChw == code, 0)
        dx_BNCHW[..., code // 2 : 2 * h : 2, code % 2 : 2 * w : 2] = part
    return dx_BNCHW


def _difference(x_BNCHW: Tensor, block: tuple[int, int, int, int], kind: Kind) -> str | None:
    """What differs between the kernels and torch, on planted numbers with equals, infinities and NaN."""
    planes, H, W, inner = block
    planes = max(1, min(planes, CHECKED_NUMBERS // (H * W * inner)))
    generator = torch.Generator().manual_seed(0)
    planted = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, float("-inf"), float("nan"), float("inf")])
    drawn = torch.randint(3 * len(planted), (planes, 1, H, W, inner), generator=generator)
    values = torch.where(
        drawn < len(planted), planted[drawn % len(planted)], torch.randn(drawn.shape, generator=generator)
    )
    x = values.to(x_BNCHW.device, x_BNCHW.dtype).movedim(4, 2).requires_grad_()
    pool = F.max_pool2d if kind == "max" else F.avg_pool2d
    try:
        with torch.enable_grad():
            right, got = on_each_map(lambda maps: pool(maps, 2), x), pool_2x2(x, kind)
            dy = torch.randn(right.shape, generator=generator).to(right)
            (right_dx,), (got_dx,) = (torch.autograd.grad(y, [x], dy) for y in (right, got))
    except Exception as error:  # a compiler of kernels raises anything
        return f"{type(error).__name__}: {error}".split("\n", 1)[0]
    for name, one, other in (("y", right, got), ("dx", right_dx, got_dx)):
        if not bool(((one == other) | (one.isnan() & other.isnan())).all()):
            return f"{name} of a pooling differs from torch's"
    return None


def _order(x: Tensor) -> tuple[int, ...]:
    """Dimensions as they lie in memory, the outermost first."""
    return tuple(sorted(range(x.ndim), key=lambda d: (-x.stride(d), d)))


def _block(x_BNCHW: Tensor) -> tuple[int, int, int, int]:
    block = memory_block(x_BNCHW)
    assert block is not None, "ask why_not_pooled first"
    return block


def _lies_in(x: Tensor, order: tuple[int, ...]) -> bool:
    """Whether x is dense in this order of its dimensions."""
    expected = 1
    for dim in reversed(order):
        if x.shape[dim] != 1 and x.stride(dim) != expected:
            return False
        expected *= x.shape[dim]
    return True


def _empty(
    like: Tensor, size: tuple[int, int], order: tuple[int, ...], dtype: torch.dtype | None = None
) -> Tensor:
    """Maps of this size in this order of memory."""
    shape = (*like.shape[:HEIGHT], *size)
    return torch.empty_permuted(shape, order, dtype=dtype or like.dtype, device=like.device)


def _programs(total: int) -> int:
    return -(-total // BLOCK)
