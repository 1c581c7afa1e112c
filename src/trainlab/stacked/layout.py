"""Maps of a stack as the four dimensions that torch's operations take, without a copy where memory allows.

Legend: B runs, N images, C channels, H × W map. x_BNCHW is logical: in memory it may lie as (N, B, C, H, W)
after a grouped convolution, as (B, C, N, H, W) after a batched product, or with channels last.
"""

from collections.abc import Callable

from torch import Tensor


def is_one_block(x: Tensor, outer: int, inner: int) -> bool:
    """Whether two dimensions can be merged (outer before inner) without a copy."""
    return x.shape[outer] == 1 or x.stride(outer) == x.stride(inner) * x.shape[inner]


def grouped(x_BNCHW: Tensor) -> Tensor:
    """(N, B · C, H, W): a view where runs and channels lie together in memory, else a copy."""
    return x_BNCHW.transpose(0, 1).flatten(1, 2)


def ungrouped(y_NDHW: Tensor, runs: int) -> Tensor:
    """(B, N, C, H, W), a view of (N, B · C, H, W)."""
    return y_NDHW.unflatten(1, (runs, -1)).transpose(0, 1)


def on_each_map(function: Callable[[Tensor], Tensor], x_BNCHW: Tensor) -> Tensor:
    """A function of maps (M, D, H, W) that treats each map alike, on all maps of a stack.

    Whichever two dimensions lie together in memory are merged; it copies where none do.
    """
    B, N = x_BNCHW.shape[:2]
    if is_one_block(x_BNCHW, 0, 1):
        return function(x_BNCHW.flatten(0, 1)).unflatten(0, (B, N))
    x_BCNHW = x_BNCHW.transpose(1, 2)
    if x_BCNHW.is_contiguous():
        return function(x_BCNHW.flatten(0, 1)).unflatten(0, (B, -1)).transpose(1, 2)
    return ungrouped(function(grouped(x_BNCHW)), B)
