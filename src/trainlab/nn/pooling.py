"""Pooling by stride: the one pooling option that is not a module of torch.nn."""

from torch import nn


class ConvStride(nn.Identity):
    """No pooling layer: the convolution before it takes stride 2 (Springenberg et al. 2015, Strided-CNN).

    It stands in place of the pooling and does nothing. A 3 × 3 convolution with padding leaves
    ⌈n/2⌉ of n positions, where max and average pooling leave ⌊n/2⌋.
    """

    conv_stride = 2


def conv_stride(pool: nn.Module | None) -> int:
    """Stride of the convolution before `pool`: its attribute `conv_stride`; 1 where it has none."""
    return getattr(pool, "conv_stride", 1)
