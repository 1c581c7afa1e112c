"""Augmentation of whole batches, on the device they train on: uint8 pixels in, uint8 pixels out.

An option is `option(x_NCHW, generator) -> x_NCHW`. Its random numbers come from the generator alone, drawn
on the generator's own device (a CPU generator gives the same images on any device), a fixed number a batch.
"""

import numpy as np
import torch
from torch.nn.functional import pad


def augment_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """The CPU generator of one training step: a function of its arguments alone, so a run resumes exactly."""
    key = np.random.SeedSequence(seed, spawn_key=(step, rank)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(key[0]))


def none(x_NCHW: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The batch as it is; draws nothing."""
    return x_NCHW


def flip_crop(x_NCHW: torch.Tensor, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """Crop each image at random from a padded copy, then mirror it left to right with probability ½.

    x_NCHW: uint8 (any type works). The border is `padding` black pixels wide on each side; each of the
    (2·padding + 1)² crops of the old size is equally likely (He et al. 2016, arXiv:1512.03385, section 4.2).
    Returns a batch of the same shape and type, in channels_last memory.
    """
    return apply_flip_crop(x_NCHW, draw_flip_crop(len(x_NCHW), generator, padding).to(x_NCHW.device), padding)


def draw_flip_crop(images: int, generator: torch.Generator, padding: int = 4) -> torch.Tensor:
    """What `flip_crop` does to each image, (3, N) int64 on the generator's device.

    The rows: 1 where it is mirrored, then how far down and right in the padded image the crop begins.
    """
    drawn_3N = torch.rand((3, images), generator=generator, device=generator.device, dtype=torch.float32)
    return torch.cat([drawn_3N[:1] < 0.5, (drawn_3N[1:] * (2 * padding + 1)).long()])


def apply_flip_crop(x_NCHW: torch.Tensor, chosen_3N: torch.Tensor, padding: int = 4) -> torch.Tensor:
    """The batch as `draw_flip_crop` has chosen; batches may be joined, and their choices with them."""
    images, channels, height, width = x_NCHW.shape
    device = x_NCHW.device
    mirrored_N, down_N, right_N = chosen_3N.long().unbind()
    padded_NHWC = pad(x_NCHW.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    # the whole batch is one gather of pixels, by their place among all pixels of the padded batch
    column_W = torch.arange(width, device=device)
    column_NW = torch.where(mirrored_N[:, None] != 0, width - 1 - column_W, column_W) + right_N[:, None]
    row_NH = torch.arange(height, device=device) + down_N[:, None]
    row_NH = row_NH + torch.arange(images, device=device)[:, None] * padded_NHWC.shape[1]
    pixel_NHW = row_NH[:, :, None] * padded_NHWC.shape[2] + column_NW[:, None, :]
    cropped = padded_NHWC.reshape(-1, channels).index_select(0, pixel_NHW.flatten())
    return cropped.view(images, height, width, channels).permute(0, 3, 1, 2)
