"""Faults of the images themselves, as they enter a network: scale, layout, blank or broken ones.

Legend: N images, C channels, H × W pixels.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from trainlab.diagnosis.causes.input_images import SCALES, is_out_of_scale, scrambled_axes
from trainlab.diagnosis.known_causes import Finding
from trainlab.signals.wiring import neighbour_correlations

BLANK_SHARE = 0.01
"""Share of images of one value from which on it is more than an odd image or two."""

IMAGE_CHANNELS = (1, 3, 4)

MOST_NEIGHBOURS = 256
"""Images whose neighbouring pixels are compared."""


def check_images(x: Tensor) -> list[Finding]:
    """What is wrong with a batch of floating inputs, (N, …). Of what is not finite nothing else is said."""
    if not x.is_floating_point() or not x.numel():
        return []
    if found := next(_not_finite(x), None):
        return [found]
    return [finding for look in CHECKS for finding in look(x)]


def _not_finite(x: Tensor) -> Iterator[Finding]:
    broken_N = (~x.isfinite()).flatten(1) if x.dim() > 1 else ~x.isfinite()[:, None]
    images = broken_N.any(1).nonzero().flatten()
    if len(images):
        count = int(broken_N.sum())
        description = (
            f"{count:,} {'number' if count == 1 else 'numbers'} in {len(images):,} of {len(x):,} images "
            f"{'is' if count == 1 else 'are'} NaN or infinite, first in image {int(images[0])}"
        )
        yield Finding(
            "input_not_finite", description, {"numbers": float(count), "first_image": float(images[0])}
        )


def _constant_input(x: Tensor) -> Iterator[Finding]:
    if len(x) > 1 and bool((x == x[:1]).all()):
        description = f"all {len(x)} images are the same numbers"
        yield Finding("constant_input", description, {"images": float(len(x))})


def _blank_images(x: Tensor) -> Iterator[Finding]:
    if x.dim() < 3:
        return
    blank_N = (x.flatten(1) == x.flatten(1)[:, :1]).all(1)
    count = int(blank_N.sum())
    if count > BLANK_SHARE * len(x) and not bool((x == x[:1]).all()):
        first = int(blank_N.nonzero()[0])
        description = (
            f"{count:,} of {len(x):,} images are one value throughout, first image {first} "
            f"({float(x[first].flatten()[0]):.3g})"
        )
        yield Finding("blank_images", description, {"images": float(count), "first_image": float(first)})


def _channels_last(x: Tensor) -> Iterator[Finding]:
    if is_channels_last(x):
        description = f"the images have the shape {tuple(x.shape)}, channels last, expected (N, C, H, W)"
        yield Finding("channels_last", description, {"channels": float(x.shape[-1])})


def is_channels_last(x: Tensor) -> bool:
    """Whether a batch of pictures is (N, H, W, C)."""
    return x.dim() == 4 and x.shape[3] in IMAGE_CHANNELS and min(x.shape[1:3]) > max(IMAGE_CHANNELS)


def _axes_scrambled(x: Tensor) -> Iterator[Finding]:
    rows = neighbour_correlations(x, MOST_NEIGHBOURS)
    if rows and bool(rows["neighbours"].applies):
        as_is, reordered = (float(rows[name].value) for name in ("neighbours", "neighbours_reordered"))
        if found := scrambled_axes(as_is, reordered):
            yield found


CHECKS: tuple[Callable[[Tensor], Iterable[Finding]], ...] = (
    _constant_input,
    _channels_last,
    _axes_scrambled,
    _blank_images,
)


@torch.no_grad()
def out_of_scale(x: Tensor, first_z: Tensor | None = None) -> Finding | None:
    """Inputs far from zero mean and unit scale; and, where it is known, so is the first layer's z.

    A norm layer, or a division, before the first layer repairs the scale: then z is sound.
    """
    if not x.is_floating_point() or not x.numel():
        return None
    mean, std = float(x.double().mean()), float(x.double().std(correction=0))
    if not is_out_of_scale(mean, std):
        return None
    numbers = {"input_mean": mean, "input_std": std}
    description = (
        f"the input has mean {mean:.3g} and std {std:.3g}, from {float(x.min()):.3g} to {float(x.max()):.3g}"
    )
    if first_z is not None:
        z_rms = float(first_z.double().square().mean().sqrt())
        low, high = SCALES
        if low <= z_rms <= high:
            return None
        numbers["preactivation_rms"] = z_rms
        description += f"; the first layer's z has size {z_rms:.3g}"
    is_bytes = float(x.min()) >= 0 and 100 < float(x.max()) <= 255 and bool((x == x.round()).all())
    if is_bytes:
        description += ": bytes?"
    code = "x = x / 255  # then (x - mean) / std of each channel" if is_bytes else None
    return Finding("input_out_of_scale", description, numbers, code=code)
