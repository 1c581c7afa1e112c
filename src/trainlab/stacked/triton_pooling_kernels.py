"""Triton kernels of a 2 × 2 pooling with stride 2, which write every number of their result once.

A dense tensor whose rows and columns lie one inside the other is, in memory, (P, H, W, D): D numbers that
belong to one pixel (1 where a map's pixels lie together; the channels, where those do) and P of everything
else. Results lie in the same order. A program computes BLOCK outputs, or the inputs of BLOCK windows.

Import this file only where `triton` can be imported; `TRITON_INTERPRET=1`, set before, runs it on a CPU.
"""

import triton
import triton.language as tl

SIZES = ("height", "width", "rows", "columns")
"""Whole numbers whose value is not compiled into a kernel."""


@triton.jit
def _larger(value, code, largest, largest_code):
    """What torch takes of two: the later one where it is larger, or NaN."""
    is_taken = (value > largest) | (value != value)
    return tl.where(is_taken, value, largest), tl.where(is_taken, code, largest_code)


@triton.jit(do_not_specialize=SIZES)
def pool_kernel(
    x_pointer, y_pointer, code_pointer, total, height, width, rows, columns,
    D: tl.constexpr, LARGEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y: the largest (LARGEST) or the mean of each window; code: which of the four it is, row by row.

    total: P · rows · columns · D outputs, of maps height × width.
    """
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_valid = m < total
    pixel = m // D
    line = pixel // columns
    plane = line // rows
    first = (plane * height + (line - plane * rows) * 2) * width + (pixel - line * columns) * 2
    x_at = x_pointer + first * D + m % D
    a = tl.load(x_at, mask=is_valid, other=0.0).to(tl.float32)
    b = tl.load(x_at + D, mask=is_valid, other=0.0).to(tl.float32)
    c = tl.load(x_at + width * D, mask=is_valid, other=0.0).to(tl.float32)
    d = tl.load(x_at + (width * D + D), mask=is_valid, other=0.0).to(tl.float32)
    if LARGEST:
        code = tl.zeros((BLOCK,), dtype=tl.int32)
        y, code = _larger(b, 1, a, code)
        y, code = _larger(c, 2, y, code)
        y, code = _larger(d, 3, y, code)
        tl.store(code_pointer + m, code.to(tl.uint8), mask=is_valid)
    else:
        y = (a + b + c + d) * 0.25
    tl.store(y_pointer + m, y.to(y_pointer.dtype.element_ty), mask=is_valid)


@triton.jit(do_not_specialize=SIZES)
def pool_gradient_kernel(
    dy_pointer, code_pointer, dx_pointer, total, height, width, rows, columns,
    D: tl.constexpr, LARGEST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """dx of each window, and of what is left of one at the border of a map of odd size, which is zero.

    total: P · ⌈height / 2⌉ · ⌈width / 2⌉ · D windows.
    """
    m = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_valid = m < total
    wide = (width + 1) // 2
    high = (height + 1) // 2
    inner = m % D
    pixel = m // D
    line = pixel // wide
    column = pixel - line * wide
    plane = line // high
    row = line - plane * high
    is_pooled = is_valid & (row < rows) & (column < columns)
    y_at = ((plane * rows + row) * columns + column) * D + inner
    dy = tl.load(dy_pointer + y_at, mask=is_pooled, other=0.0)
    if LARGEST:
        code = tl.load(code_pointer + y_at, mask=is_pooled, other=0).to(tl.int32)
        a = tl.where(code == 0, dy, 0.0)
        b = tl.where(code == 1, dy, 0.0)
        c = tl.where(code == 2, dy, 0.0)
        d = tl.where(code == 3, dy, 0.0)
    else:
        a = (dy.to(tl.float32) * 0.25).to(dx_pointer.dtype.element_ty)
        b = a
        c = a
        d = a
    dx_at = dx_pointer + ((plane * height + row * 2) * width + column * 2) * D + inner
    has_right = is_valid & (column * 2 + 1 < width)
    has_below = is_valid & (row * 2 + 1 < height)
    tl.store(dx_at, a, mask=is_valid)
    tl.store(dx_at + D, b, mask=has_right)
    tl.store(dx_at + width * D, c, mask=has_below)
    tl.store(dx_at + (width * D + D), d, mask=has_right & has_below)
