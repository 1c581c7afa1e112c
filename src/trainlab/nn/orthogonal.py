"""Orthogonal weights: random, of any weight layer, whole kernels or the centre tap alone.

Legend: G groups or positions, R rows (outputs), C columns (inputs), T taps of the kernel.
"""

import torch
from torch import Tensor, nn

from trainlab.nn.layers import kernel_shape, matrices_shape


def orthogonal(groups: int, rows: int, columns: int) -> Tensor:
    """`groups` matrices (R, C) of orthonormal rows (R ≤ C) or columns (R ≥ C), uniform over all such.

    From the QR decomposition of Gaussian matrices; the signs of R's diagonal make it uniform (Mezzadri 2007).
    """
    tall = torch.randn(groups, max(rows, columns), min(rows, columns))
    q, r = torch.linalg.qr(tall)
    q = q * r.diagonal(dim1=1, dim2=2).sign()[:, None, :]
    return q if rows >= columns else q.transpose(1, 2)


def orthogonal_weight(layer: nn.Module) -> Tensor:
    """A weight for `layer` each of whose matrices is orthogonal."""
    return orthogonal(*matrices_shape(layer)).reshape(layer.get_parameter("weight").shape)


def delta_orthogonal_weight(layer: nn.Module) -> Tensor:
    """A weight for `layer` that is zero but at the kernel's centre tap, an orthogonal matrix.

    The centre of an even kernel is the tap before the middle.
    """
    kernel = kernel_shape(layer)
    groups, rows, columns = matrices_shape(layer)
    channels = columns // kernel.numel()
    taps_GRCT = torch.zeros(groups, rows, channels, kernel.numel())
    taps_GRCT[..., _centre(kernel)] = orthogonal(groups, rows, channels)
    return taps_GRCT.reshape(layer.get_parameter("weight").shape)


def _centre(kernel: torch.Size) -> int:
    """Index of the centre tap in the flattened kernel."""
    index = 0
    for taps in kernel:
        index = index * taps + (taps - 1) // 2
    return index
