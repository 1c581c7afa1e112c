"""Triton kernels of a stacked convolution: implicit matrix products, each run with its own weights.

Both see a convolution as a product of matrices whose larger one, the patches, is never in memory: rows are
output positions m = (image, row, column), the inner axis is k = (tap row, tap column, channel). Both take x
and y by their strides, so that any memory layout is read as it lies; the tiles are turned so that
neighbouring threads read neighbouring numbers (X_LAST, Y_LAST: channels lie together; else a map's columns).
Every number of a result is written once, by one program: nothing is added atomically, and a repeat gives
the same bits. No program reads the tensors of two runs.

Python's `triton` comes with torch's CUDA builds and is no dependency of this package: import this file only
where it can be imported. `TRITON_INTERPRET=1`, set before the import, runs the kernels on a CPU.

Names: M rows, O maps out, K = taps · channels; `x_b, x_n, x_c, x_h, x_w` the strides of x (and so of y).
"""

import triton
import triton.language as tl

GEOMETRY = (
    "rows", "height", "width", "area", "area_magic", "area_shift",
    "out_width", "width_magic", "width_shift", "pad_h", "pad_w",
)  # fmt: skip
"""Whole numbers whose value is not compiled into a kernel: other map sizes use the same one."""


@triton.jit
def _divided(number, magic, shift):
    """number // divisor of numbers below 2³¹, by one product (Granlund and Montgomery, PLDI 1994)."""
    unsigned = number.to(tl.uint32)
    high = tl.umulhi(unsigned, magic.to(tl.uint32, bitcast=True))
    return ((high + unsigned) >> shift.to(tl.uint32)).to(tl.int32)


@triton.jit(do_not_specialize=GEOMETRY, do_not_specialize_on_alignment=("bias_pointer",))
def convolution_kernel(
    x_pointer, weight_pointer, bias_pointer, y_pointer,
    rows, channels, maps, height, width,
    area, area_magic, area_shift, out_width, width_magic, width_shift, pad_h, pad_w,
    x_b, x_n, x_c, x_h, x_w, y_b, y_n, y_c, y_h, y_w,
    C: tl.constexpr, KH: tl.constexpr, KW: tl.constexpr,
    STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr, UP_H: tl.constexpr, UP_W: tl.constexpr,
    FLAT: tl.constexpr, EVEN: tl.constexpr, FLIPPED: tl.constexpr, PADDED: tl.constexpr, WIDE: tl.constexpr,
    X_LAST: tl.constexpr, Y_LAST: tl.constexpr, BIASED: tl.constexpr, PRECISION: tl.constexpr,
    DIRECT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """y[m, o] = Σ_k patches[m, k] · weight[o, k] + bias[o], of one run and one tile of (M, O).

    A tap (i, j) of output position (r, s) reads x at (r · STRIDE + i − pad) / UP, where that is a whole
    number inside the map. UP > 1 and FLIPPED taps: the input's gradient, whose x is dy.
    Weights lie as (B, O, taps, channels). FLAT: k runs over taps and channels at once (few channels, C
    compiled in); else over the channels of one tap after another. DIRECT: one input after the other is
    multiplied and added, without matrix units, whose tiles would be mostly padding (UP 1, not FLIPPED).
    """
    o_tiles = tl.cdiv(maps, BLOCK_O)
    m_tile = tl.program_id(0) // o_tiles
    o = (tl.program_id(0) % o_tiles) * BLOCK_O + tl.arange(0, BLOCK_O)
    run = tl.program_id(1).to(tl.int64)
    m = m_tile * BLOCK_M + tl.arange(0, BLOCK_M)
    image = _divided(m, area_magic, area_shift)
    position = m - image * area
    row = _divided(position, width_magic, width_shift)
    column = position - row * out_width
    if WIDE:
        image = image.to(tl.int64)
    m_valid = m < rows
    o_valid = o < maps
    top = row * STRIDE_H - pad_h
    left = column * STRIDE_W - pad_w
    x_image = x_pointer + run * x_b + image * x_n
    x_corner = x_image + (top * x_h + left * x_w)
    K = channels * (KH * KW)
    weight_rows = weight_pointer + run * maps * K + o * K

    if Y_LAST:
        total = tl.zeros((BLOCK_M, BLOCK_O), dtype=tl.float32)
    else:
        total = tl.zeros((BLOCK_O, BLOCK_M), dtype=tl.float32)

    if DIRECT:
        for k in tl.static_range(0, C * KH * KW):
            i = (k // C) // KW
            j = (k // C) % KW
            x_valid = m_valid
            if PADDED:
                h = top + i
                w = left + j
                x_valid = x_valid & (h >= 0) & (h < height) & (w >= 0) & (w < width)
            x_M = tl.load(x_corner + (i * x_h + j * x_w + (k % C) * x_c), mask=x_valid, other=0.0)
            weight_O = tl.load(weight_rows + k, mask=o_valid, other=0.0).to(tl.float32)
            if Y_LAST:
                total += x_M.to(tl.float32)[:, None] * weight_O[None, :]
            else:
                total += weight_O[:, None] * x_M.to(tl.float32)[None, :]
    elif FLAT:
        for start in tl.static_range(0, C * KH * KW, BLOCK_K):
            k = start + tl.arange(0, BLOCK_K)
            tap = k // C
            c = k % C
            i = tap // KW
            j = tap % KW
            k_valid = k < C * KH * KW
            if X_LAST:
                x_valid = m_valid[:, None] & k_valid[None, :]
                h = top[:, None] + i[None, :]
                w = left[:, None] + j[None, :]
            else:
                x_valid = m_valid[None, :] & k_valid[:, None]
                h = top[None, :] + i[:, None]
                w = left[None, :] + j[:, None]
            if PADDED:
                x_valid = x_valid & (h >= 0) & (w >= 0)
                if UP_H * UP_W > 1:
                    x_valid = x_valid & (h % UP_H == 0) & (w % UP_W == 0)
                    h = h // UP_H
                    w = w // UP_W
                x_valid = x_valid & (h < height) & (w < width)
            if UP_H * UP_W > 1:
                if X_LAST:
                    x_at = x_image[:, None] + (h * x_h + w * x_w + c[None, :] * x_c)
                else:
                    x_at = x_image[None, :] + (h * x_h + w * x_w + c[:, None] * x_c)
            elif X_LAST:
                x_at = x_corner[:, None] + (i * x_h + j * x_w + c * x_c)[None, :]
            else:
                x_at = x_corner[None, :] + (i * x_h + j * x_w + c * x_c)[:, None]
            weight_k = (KH * KW - 1 - tap) * C + c if FLIPPED else k
            x_tile = tl.load(x_at, mask=x_valid, other=0.0)
            weight_OK = tl.load(
                weight_rows[:, None] + weight_k[None, :], mask=o_valid[:, None] & k_valid[None, :], other=0.0
            )
            if Y_LAST:
                x_MK = x_tile if X_LAST else tl.trans(x_tile)
                total = tl.dot(x_MK, tl.trans(weight_OK), total, input_precision=PRECISION)
            else:
                x_KM = tl.trans(x_tile) if X_LAST else x_tile
                total = tl.dot(weight_OK, x_KM, total, input_precision=PRECISION)
    else:
        blocks = tl.cdiv(channels, BLOCK_K)
        for step in range(0, KH * KW * blocks):
            tap = step // blocks
            c = (step - tap * blocks) * BLOCK_K + tl.arange(0, BLOCK_K)
            i = tap // KW
            j = tap % KW
            x_valid = m_valid
            h = top + i
            w = left + j
            if PADDED:
                x_valid = x_valid & (h >= 0) & (w >= 0)
                if UP_H * UP_W > 1:
                    x_valid = x_valid & (h % UP_H == 0) & (w % UP_W == 0)
                    h = h // UP_H
                    w = w // UP_W
                x_valid = x_valid & (h < height) & (w < width)
            x_rows = x_image + (h * x_h + w * x_w) if UP_H * UP_W > 1 else x_corner + (i * x_h + j * x_w)
            weight_k = (KH * KW - 1 - tap if FLIPPED else tap) * channels + c
            x_at = x_rows[:, None] + (c * x_c)[None, :] if X_LAST else x_rows[None, :] + (c * x_c)[:, None]
            if EVEN:
                weight_valid = o_valid[:, None]
                x_mask = x_valid[:, None] if X_LAST else x_valid[None, :]
            else:
                c_valid = c < channels
                weight_valid = o_valid[:, None] & c_valid[None, :]
                if X_LAST:
                    x_mask = x_valid[:, None] & c_valid[None, :]
                else:
                    x_mask = x_valid[None, :] & c_valid[:, None]
            x_tile = tl.load(x_at, mask=x_mask, other=0.0)
            weight_OK = tl.load(weight_rows[:, None] + weight_k[None, :], mask=weight_valid, other=0.0)
            if Y_LAST:
                x_MK = x_tile if X_LAST else tl.trans(x_tile)
                total = tl.dot(x_MK, tl.trans(weight_OK), total, input_precision=PRECISION)
            else:
                x_KM = tl.trans(x_tile) if X_LAST else x_tile
                total = tl.dot(weight_OK, x_KM, total, input_precision=PRECISION)

    if BIASED:
        bias = tl.load(bias_pointer + run * maps + o, mask=o_valid, other=0.0).to(tl.float32)
        total += bias[None, :] if Y_LAST else bias[:, None]
    y_rows = y_pointer + run * y_b + image * y_n + (row * y_h + column * y_w)
    result = total.to(y_pointer.dtype.element_ty)
    if Y_LAST:
        y_at = y_rows[:, None] + (o * y_c)[None, :]
        tl.store(y_at, result, mask=m_valid[:, None] & o_valid[None, :])
    else:
        y_at = y_rows[None, :] + (o * y_c)[:, None]
        tl.store(y_at, result, mask=m_valid[None, :] & o_valid[:, None])


@triton.jit(do_not_specialize=(*GEOMETRY, "rows_of_split"))
def weight_gradient_kernel(
    x_pointer, dy_pointer, dweight_pointer, dbias_pointer,
    rows, rows_of_split, channels, maps, height, width,
    area, area_magic, area_shift, out_width, width_magic, width_shift, pad_h, pad_w,
    x_b, x_n, x_c, x_h, x_w, y_b, y_n, y_c, y_h, y_w,
    KH: tl.constexpr, KW: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
    PADDED: tl.constexpr, WIDE: tl.constexpr, X_LAST: tl.constexpr, Y_LAST: tl.constexpr,
    BIASED: tl.constexpr, PRECISION: tl.constexpr,
    DIRECT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_O: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """dweight[o, k] = Σ_m dy[m, o] · patches[m, k] and dbias[o] = Σ_m dy[m, o], over the rows of one split.

    Each split writes its own part, (splits, B, O, channels, KH, KW) and (splits, B, O), in float32. DIRECT:
    without matrix units; products are added up over the blocks of rows, and then within the block.
    """
    o_tiles = tl.cdiv(maps, BLOCK_O)
    k_tile = tl.program_id(0) // o_tiles
    o = (tl.program_id(0) % o_tiles) * BLOCK_O + tl.arange(0, BLOCK_O)
    split = tl.program_id(1)
    run = tl.program_id(2).to(tl.int64)
    k = k_tile * BLOCK_K + tl.arange(0, BLOCK_K)
    tap = k // channels
    c = k % channels
    i = tap // KW
    j = tap % KW
    k_valid = tap < KH * KW
    o_valid = o < maps
    x_k = i * x_h + j * x_w + c * x_c
    y_o = o * y_c
    x_run = x_pointer + run * x_b
    dy_run = dy_pointer + run * y_b

    total = tl.zeros((BLOCK_O, BLOCK_K), dtype=tl.float32)
    if Y_LAST:
        dy_sum = tl.zeros((BLOCK_M, BLOCK_O), dtype=tl.float32)
    else:
        dy_sum = tl.zeros((BLOCK_O, BLOCK_M), dtype=tl.float32)
    if DIRECT:
        if Y_LAST:
            products = tl.zeros((BLOCK_K, BLOCK_M, BLOCK_O), dtype=tl.float32)
        else:
            products = tl.zeros((BLOCK_K, BLOCK_O, BLOCK_M), dtype=tl.float32)
    first = split * rows_of_split
    last = tl.minimum(first + rows_of_split, rows)
    for start in range(first, last, BLOCK_M):
        m = start + tl.arange(0, BLOCK_M)
        image = _divided(m, area_magic, area_shift)
        position = m - image * area
        row = _divided(position, width_magic, width_shift)
        column = position - row * out_width
        if WIDE:
            image = image.to(tl.int64)
        m_valid = m < rows
        top = row * STRIDE_H - pad_h
        left = column * STRIDE_W - pad_w
        x_rows = x_run + image * x_n + (top * x_h + left * x_w)
        dy_rows = dy_run + image * y_n + (row * y_h + column * y_w)
        if X_LAST:
            x_at = x_rows[:, None] + x_k[None, :]
            x_valid = m_valid[:, None] & k_valid[None, :]
            if PADDED:
                h = top[:, None] + i[None, :]
                w = left[:, None] + j[None, :]
                x_valid = x_valid & (h >= 0) & (h < height) & (w >= 0) & (w < width)
        else:
            x_at = x_rows[None, :] + x_k[:, None]
            x_valid = m_valid[None, :] & k_valid[:, None]
            if PADDED:
                h = top[None, :] + i[:, None]
                w = left[None, :] + j[:, None]
                x_valid = x_valid & (h >= 0) & (h < height) & (w >= 0) & (w < width)
        x_tile = tl.load(x_at, mask=x_valid, other=0.0)
        if Y_LAST:
            dy_tile = tl.load(
                dy_rows[:, None] + y_o[None, :], mask=m_valid[:, None] & o_valid[None, :], other=0.0
            )
        else:
            dy_tile = tl.load(
                dy_rows[None, :] + y_o[:, None], mask=m_valid[None, :] & o_valid[:, None], other=0.0
            )
        if DIRECT:
            x_KM = (tl.trans(x_tile) if X_LAST else x_tile).to(tl.float32)
            if Y_LAST:
                products += x_KM[:, :, None] * dy_tile.to(tl.float32)[None, :, :]  # pyrefly: ignore
            else:
                products += x_KM[:, None, :] * dy_tile.to(tl.float32)[None, :, :]  # pyrefly: ignore
        else:
            x_MK = x_tile if X_LAST else tl.trans(x_tile)
            dy_OM = tl.trans(dy_tile) if Y_LAST else dy_tile
            total = tl.dot(dy_OM, x_MK, total, input_precision=PRECISION)
        if BIASED:
            dy_sum += dy_tile.to(tl.float32)

    if DIRECT:
        total = tl.trans(tl.sum(products, axis=1 if Y_LAST else 2))  # pyrefly: ignore
    part = (split * tl.num_programs(2) + run) * maps
    weight_k = c * (KH * KW) + tap
    at = dweight_pointer + part * channels * (KH * KW) + o[:, None] * (channels * KH * KW) + weight_k[None, :]
    tl.store(at, total, mask=o_valid[:, None] & k_valid[None, :])
    if BIASED:
        dbias = tl.sum(dy_sum, axis=0 if Y_LAST else 1)
        tl.store(dbias_pointer + part + o, dbias, mask=o_valid & (k_tile == 0))
