"""Test-time augmentation: logits averaged over copies of each image, mirrored and shifted by a pixel."""

from collections.abc import Callable

import torch
from torch import Tensor

TEST_VIEWS = ("one", "mirrored", "mirrored_shifted")
"""The choices of `trainer.test_views`."""

SHIFT_PIXELS = 1


def averaged_logits(model: Callable[[Tensor], Tensor], x_NCHW: Tensor, views: str) -> Tensor:
    """Logits_NK averaged over the views of each image (Jordan 2024, arXiv:2404.00498, section 3.5).

    mirrored: ½ image + ½ its mirror image. mirrored_shifted: half of that; the other half is the same of the
    image shifted by one pixel up and left, and down and right, the border continued by reflection. one: the
    image alone. x_NCHW: pixels of any type.
    """
    if views == "one":
        return model(x_NCHW)
    logits_NK = _mirrored(model, x_NCHW)
    if views == "mirrored":
        return logits_NK
    shifted = [_mirrored(model, shift(x_NCHW, by, by)) for by in (-SHIFT_PIXELS, SHIFT_PIXELS)]
    return 0.5 * logits_NK + 0.25 * (shifted[0] + shifted[1])


def shift(x_NCHW: Tensor, down: int, right: int) -> Tensor:
    """The images moved by whole pixels; what comes in at the border is its reflection (edge not repeated)."""
    rows_H = _reflected(x_NCHW.shape[2], down, x_NCHW.device)
    columns_W = _reflected(x_NCHW.shape[3], right, x_NCHW.device)
    return x_NCHW.index_select(2, rows_H).index_select(3, columns_W)


def _reflected(length: int, by: int, device: torch.device) -> Tensor:
    """Where each place of a line that is moved `by` places comes from."""
    places = (torch.arange(length, device=device) - by).abs()
    return (length - 1) - ((length - 1) - places).abs()


def _mirrored(model: Callable[[Tensor], Tensor], x_NCHW: Tensor) -> Tensor:
    return 0.5 * (model(x_NCHW) + model(x_NCHW.flip(3)))
