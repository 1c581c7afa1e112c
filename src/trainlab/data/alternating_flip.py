"""Flips that alternate: each image is mirrored in every other epoch, so that two epochs see both its sides.

Legend: N images of a batch, C channels, H × W pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class BatchPlace:
    """Which images a training batch holds, and in which epoch: for augmentations that ask for it.

    positions_N: of the images in the training split (int64).
    epoch: from 0.
    seed: of the run's augmentation.
    """

    positions_N: np.ndarray
    epoch: int
    seed: int


def alternating_flip(
    x_NCHW: Tensor, generator: torch.Generator, padding: int = 2, place: BatchPlace | None = None
) -> Tensor:
    """Mirror each image in every other epoch, then shift it by up to `padding` pixels, its border reflected.

    Which epochs, even or odd, is a random bit of each image, fixed for the run; so a pair of epochs shows
    every image both ways, where independent flips show half of the images the same way twice (Jordan 2024,
    arXiv:2404.00498, section 3.6). The (2·padding + 1)² shifts are equally likely, drawn from `generator`,
    as many numbers a batch with and without `place`. Without `place` a flip has probability ½ each time.
    Returns a batch of the same shape and type, in channels_last memory.
    """
    images, channels, height, width = x_NCHW.shape
    device = x_NCHW.device
    drawn_3N = torch.rand((3, images), generator=generator, device=generator.device)
    is_mirrored_N = drawn_3N[0] < 0.5 if place is None else torch.from_numpy(is_mirrored(place))
    down_N, right_N = (drawn_3N[1:] * (2 * padding + 1)).long().to(device) - padding
    column_W = torch.arange(width, device=device)
    column_NW = _reflected(column_W + right_N[:, None], width)
    column_NW = torch.where(is_mirrored_N.to(device)[:, None], width - 1 - column_NW, column_NW)
    row_NH = _reflected(torch.arange(height, device=device) + down_N[:, None], height)
    # the whole batch is one gather of pixels, by their place among all pixels of the batch
    row_NH = row_NH + torch.arange(images, device=device)[:, None] * height
    pixel_NHW = row_NH[:, :, None] * width + column_NW[:, None, :]
    pixels_PC = x_NCHW.permute(0, 2, 3, 1).reshape(-1, channels)
    moved_PC = pixels_PC.index_select(0, pixel_NHW.flatten())
    return moved_PC.view(images, height, width, channels).permute(0, 3, 1, 2)


def is_mirrored(place: BatchPlace) -> np.ndarray:
    """For each image of the batch whether it is mirrored in this epoch (bool): its own bit, plus the epoch.

    The bit is a function of seed and position alone, so a run that is resumed goes on with it, and no table
    of all images is needed.
    """
    bits_N = _mix(place.positions_N.astype(np.uint64) + _mix(np.array([place.seed], dtype=np.uint64)))
    return ((bits_N >> np.uint64(32)).astype(np.int64) + place.epoch) % 2 == 1


def _mix(x_N: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer (Steele et al. 2014, "Fast splittable pseudorandom number generators")."""
    with np.errstate(over="ignore"):
        x_N = x_N + np.uint64(0x9E3779B97F4A7C15)
        x_N = (x_N ^ (x_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x_N = (x_N ^ (x_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x_N ^ (x_N >> np.uint64(31))


def _reflected(places: Tensor, length: int) -> Tensor:
    """Places beyond either end of a line, reflected at it (the edge itself is not repeated)."""
    places = places.abs()
    return (length - 1) - ((length - 1) - places).abs()
