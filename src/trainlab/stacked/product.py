"""Convolution as one batched matrix product over all runs: patches × weights, with its own backward pass.

y[b, f, n, l] = Σ_K w[b, f, K] · patches[b, K, n, l]: B matrix products (F × K) · (K × N·L), which a GPU does
at once. The patches are K / C times the input: they are made for so many runs at a time as a limit of memory
allows, and again in the backward pass instead of being kept. The result lies in memory as (B, F, N, h, w).

Legend: B runs, N images, C channels in, F maps out, g groups, k × k kernel, H × W padded map in, h × w map
out, L = h · w positions, K = C / g · k² inputs of one output.
"""

from typing import TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

Pair: TypeAlias = tuple[int, int]

MAX_PATCH_BYTES = 2**30
"""Patches held at a time."""


def product_convolution(
    x_BNCHW: Tensor,
    weight_BFCkk: Tensor,
    bias_BF: Tensor | None,
    stride: Pair = (1, 1),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """The convolution of each run, without padding: x_BNCHW to y_BNFhw.

    Where the output is one position, or the kernel one tap, patches are the input itself.
    """
    if torch.is_autocast_enabled(x_BNCHW.device.type):
        dtype = torch.get_autocast_dtype(x_BNCHW.device.type)
        x_BNCHW, weight_BFCkk = x_BNCHW.to(dtype), weight_BFCkk.to(dtype)
        bias_BF = None if bias_BF is None else bias_BF.to(dtype)
    kernel = (weight_BFCkk.shape[3], weight_BFCkk.shape[4])
    if groups == 1 and kernel == x_BNCHW.shape[3:]:
        return _one_position(x_BNCHW, weight_BFCkk, bias_BF)
    y_BNFhw = _Product.apply(x_BNCHW, weight_BFCkk, stride, dilation, groups)
    return y_BNFhw if bias_BF is None else y_BNFhw + bias_BF[:, None, :, None, None]


def _one_position(x_BNCHW: Tensor, weight_BFCkk: Tensor, bias_BF: Tensor | None) -> Tensor:
    x_BNK, weight_BKF = x_BNCHW.flatten(2), weight_BFCkk.flatten(2).transpose(1, 2)
    if bias_BF is None:
        return torch.bmm(x_BNK, weight_BKF)[..., None, None]
    return torch.baddbmm(bias_BF[:, None], x_BNK, weight_BKF)[..., None, None]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x_BNCHW: Tensor, weight_BFCkk: Tensor, stride: Pair, dilation: Pair, groups: int
    ) -> Tensor:
        ctx.save_for_backward(x_BNCHW, weight_BFCkk)
        ctx.geometry = stride, dilation, groups  # pyrefly: ignore[missing-attribute]
        B, maps = weight_BFCkk.shape[:2]
        kernel = (weight_BFCkk.shape[3], weight_BFCkk.shape[4])
        h, w = _positions(x_BNCHW, kernel, stride, dilation)
        y_BFNhw = x_BNCHW.new_empty(B, maps, x_BNCHW.shape[1], h, w)
        weight_BgFK = weight_BFCkk.reshape(B, groups, maps // groups, -1)
        for runs in _chunks(x_BNCHW, kernel, (h, w)):
            patches_DKM = _patches(x_BNCHW[runs], kernel, stride, dilation, groups)
            torch.bmm(weight_BgFK[runs].flatten(0, 1), patches_DKM, out=_matrices(y_BFNhw[runs], groups))
        return y_BFNhw.transpose(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, dy_BNFhw: Tensor):  # pyrefly: ignore[bad-override]
        x_BNCHW, weight_BFCkk = ctx.saved_tensors
        stride, dilation, groups = ctx.geometry
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        kernel = (weight_BFCkk.shape[3], weight_BFCkk.shape[4])
        dy_BFNhw = dy_BNFhw.transpose(1, 2).contiguous()
        B, maps = weight_BFCkk.shape[:2]
        weight_BgFK = weight_BFCkk.reshape(B, groups, maps // groups, -1)
        dweight_BgFK = torch.empty_like(weight_BgFK) if needs_weight else None
        dx_BCNHW = x_BNCHW.new_empty(B, *x_BNCHW.transpose(1, 2).shape[1:]) if needs_x else None
        widest = x_BNCHW if x_BNCHW.shape[2] >= maps else dy_BNFhw
        for runs in _chunks(widest, kernel, (x_BNCHW.shape[3], x_BNCHW.shape[4])):
            dy_DFM = _matrices(dy_BFNhw[runs], groups)
            if dweight_BgFK is not None:
                patches_DKM = _patches(x_BNCHW[runs], kernel, stride, dilation, groups)
                torch.bmm(dy_DFM, patches_DKM.transpose(1, 2), out=dweight_BgFK[runs].flatten(0, 1))
            if dx_BCNHW is not None:
                _input_gradient(dy_BFNhw[runs], weight_BFCkk[runs], dx_BCNHW[runs], stride, dilation, groups)
        dx_BNCHW = None if dx_BCNHW is None else dx_BCNHW.transpose(1, 2)
        dweight = None if dweight_BgFK is None else dweight_BgFK.view_as(weight_BFCkk)
        return dx_BNCHW, dweight, None, None, None


def _positions(x_BNCHW: Tensor, kernel: Pair, stride: Pair, dilation: Pair) -> Pair:
    """(h, w) of the output."""
    h, w = (
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x_BNCHW.shape[3:], kernel, stride, dilation, strict=True)
    )
    return h, w


def _chunks(x_BNCHW: Tensor, kernel: Pair, size: Pair) -> list[slice]:
    """The runs, in slices whose patches are not above MAX_PATCH_BYTES; one run at least."""
    B, N, C = x_BNCHW.shape[:3]
    bytes_of_run = N * C * kernel[0] * kernel[1] * size[0] * size[1] * x_BNCHW.element_size()
    step = max(1, MAX_PATCH_BYTES // max(1, bytes_of_run))
    return [slice(start, min(start + step, B)) for start in range(0, B, step)]


def _matrices(y_BFNhw: Tensor, groups: int) -> Tensor:
    """(B · g, F / g, N · L): a view."""
    B, maps = y_BFNhw.shape[:2]
    return y_BFNhw.view(B * groups, maps // groups, -1)


def _patches(x_BNCHW: Tensor, kernel: Pair, stride: Pair, dilation: Pair, groups: int) -> Tensor:
    """(B · g, K, N · L): what each output sees, copied once."""
    B, N, C = x_BNCHW.shape[:3]
    h, w = _positions(x_BNCHW, kernel, stride, dilation)
    run, image, channel, row, column = x_BNCHW.stride()
    seen_BCkkNhw = x_BNCHW.as_strided(
        (B, C, *kernel, N, h, w),
        (run, channel, row * dilation[0], column * dilation[1], image, row * stride[0], column * stride[1]),
        x_BNCHW.storage_offset(),
    )
    return seen_BCkkNhw.reshape(B * groups, C // groups * kernel[0] * kernel[1], N * h * w)


def _input_gradient(
    dy_BFNhw: Tensor, weight_BFCkk: Tensor, dx_BCNHW: Tensor, stride: Pair, dilation: Pair, groups: int
) -> None:
    """Fills dx: by the convolution of dy with the turned kernels, or by the sum over patches.

    Of the two that which moves less memory: patches of dy are k² F / C times dx, those of dx k² h w / (H W).
    The first one is possible where the kernel moves by one.
    """
    _, maps, _, h, w = dy_BFNhw.shape
    _, channels, _, H, W = dx_BCNHW.shape
    kernel = (weight_BFCkk.shape[3], weight_BFCkk.shape[4])
    weight_BgFCkk = weight_BFCkk.unflatten(1, (groups, -1))
    if stride == (1, 1) and maps * H * W <= 2 * channels * h * w:
        rows, columns = (d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
        dy_BNFhw = F.pad(dy_BFNhw, (columns, columns, rows, rows)).transpose(1, 2)
        patches_DKM = _patches(dy_BNFhw, kernel, stride, dilation, groups)
        turned_BgCFkk = weight_BgFCkk.flip(4, 5).transpose(2, 3)
        torch.bmm(turned_BgCFkk.flatten(3).flatten(0, 1), patches_DKM, out=_matrices(dx_BCNHW, groups))
        return
    weight_DKF = weight_BgFCkk.flatten(3).flatten(0, 1).transpose(1, 2)
    dpatches_DKM = torch.bmm(weight_DKF, _matrices(dy_BFNhw, groups))
    _fold(dpatches_DKM, dx_BCNHW, kernel, stride, dilation, (h, w))


def _fold(
    dpatches_DKM: Tensor, dx_BCNHW: Tensor, kernel: Pair, stride: Pair, dilation: Pair, size: Pair
) -> None:
    """Sums the gradients of all patches at the pixels that they were read from, tap by tap."""
    B, C, N, _, _ = dx_BCNHW.zero_().shape
    dpatches_BCkkNhw = dpatches_DKM.view(B, C, *kernel, N, *size)
    for i in range(kernel[0]):
        rows = slice(i * dilation[0], i * dilation[0] + (size[0] - 1) * stride[0] + 1, stride[0])
        for j in range(kernel[1]):
            columns = slice(j * dilation[1], j * dilation[1] + (size[1] - 1) * stride[1] + 1, stride[1])
            dx_BCNHW[..., rows, columns] += dpatches_BCkkNhw[:, :, i, j]
