"""One image of any size and mode becomes uint8 pixels of the target shape.

This is the one way from an opened image to pixels: of class folders, of parquet, of a user's own source and
of what `predict` is given. What a network is shown of a file is what training showed it of the same file.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageOps

from trainlab.errors import RequestError
from trainlab.json_types import Json

MODE_BY_CHANNELS = {1: "L", 3: "RGB"}
BIT_DEPTHS = (8, 12, 16, 24, 32)
"""Bits that cameras, scanners and file formats use."""
WHITE_LEVELS = frozenset(2**bits for bits in BIT_DEPTHS)
EXIF_ORIENTATION = 0x0112
CHUNK_ROWS = 256

ShapeHWC: TypeAlias = tuple[int, int, int]
"""Height, width, channels."""


class ValueRange(NamedTuple):
    """The smallest and the largest value of an image of floats (`is_real`) or integers."""

    is_real: bool
    low: float
    high: float


@dataclass(frozen=True)
class BitDepth:
    """Which values are black and white in images of more than 8 bits a pixel. The rule:

    - Whole numbers: 0 is black. White is 2^b − 1 with the smallest b of 8, 12, 16, 24, 32 that holds the
      largest value of all images of the data set together, so that the 12 bits of a camera in a file of 16
      are not black, and a dark image among lighter ones stays dark.
    - Floats: 1 is white where all values lie in 0..1; else as whole numbers, where the largest value is a
      quarter of that white at least; else the largest value itself is white (they have a scale of their own).
    - With values below 0 in either: the smallest of all is black, the largest white.
    - NaN and infinite values are refused.

    An image from outside whose data set had no such images is judged by its own values alone.

    whole, real: (black, white) of images of integers and of floats; None where there are none.
    """

    whole: tuple[float, float] | None = None
    real: tuple[float, float] | None = None

    @classmethod
    def from_ranges(cls, ranges: Iterable[ValueRange]) -> "BitDepth":
        """The depth of images that belong together."""
        ends = {}
        by_kind = sorted(ranges, key=lambda values: values.is_real)
        for is_real, group in groupby(by_kind, key=lambda values: values.is_real):
            lows, highs = zip(*((values.low, values.high) for values in group), strict=True)
            ends["real" if is_real else "whole"] = _black_and_white(min(lows), max(highs), is_real=is_real)
        return cls(**ends)

    @classmethod
    def from_plain(cls, plain: object) -> "BitDepth | None":
        """What `as_plain` wrote down; None for anything else."""
        if not isinstance(plain, dict):
            return None
        ends = {kind: plain.get(kind) for kind in ("whole", "real")}
        return cls(**{kind: (float(end[0]), float(end[1])) if end else None for kind, end in ends.items()})

    def as_plain(self) -> dict[str, Json]:
        """For a file of plain values."""
        ends = {"whole": self.whole, "real": self.real}
        return {kind: list(end) if end else None for kind, end in ends.items()}

    def describe(self) -> str:
        """What is taken for white, in words."""
        ends = [end for end in (self.whole, self.real) if end]
        return " and ".join(
            f"{white:,.6g} is taken for white" + (f", {black:,.6g} for black" if black else "")
            for black, white in ends
        )


def has_high_bit_depth(image: Image.Image) -> bool:
    """Whether its pixels have more than 8 bits: 16 or 32 as whole numbers, or floats."""
    return image.mode == "F" or image.mode.startswith("I")


def value_range(image: Image.Image) -> ValueRange:
    """Of an image with a high bit depth. Raises RequestError where a value is NaN or infinite."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise RequestError("it holds NaN or infinite values")
    return ValueRange(image.mode == "F", low, high)


def _black_and_white(low: float, high: float, *, is_real: bool) -> tuple[float, float]:
    if low < 0:
        return low, high
    if is_real and high <= 1:
        return 0.0, 1.0
    white = float(next(2**bits for bits in BIT_DEPTHS if high < 2**bits or bits == BIT_DEPTHS[-1]) - 1)
    return 0.0, high if is_real and high < white / 4 else white


def to_8_bit(image: Image.Image, bit_depth: BitDepth | None = None) -> Image.Image:
    """An image of more bits as 8-bit grey, by `bit_depth` or else by its own values; others as they are."""
    if not has_high_bit_depth(image):
        return image
    is_real, low, high = value_range(image)
    ends = (bit_depth.real if is_real else bit_depth.whole) if bit_depth else None
    black, white = ends or _black_and_white(low, high, is_real=is_real)
    values_HW = np.asarray(image)
    levels_HW = np.empty(values_HW.shape, np.uint8)
    for first in range(0, len(values_HW), CHUNK_ROWS):  # floats of a few rows, not of the whole image
        part = slice(first, first + CHUNK_ROWS)
        levels_HW[part] = _scale_to_8_bit(values_HW[part].astype(np.float64), black, white)
    return Image.fromarray(levels_HW)


def _scale_to_8_bit(values: np.ndarray, black: float, white: float) -> np.ndarray:
    if black == 0 and white + 1 in WHITE_LEVELS:  # whole steps of 2^(b − 8), as a shift of bits would give
        return np.floor(values * (256 / (white + 1))).clip(0, 255)
    return np.rint((values - black) * (255 / ((white - black) or 1))).clip(0, 255)


def to_grey_or_rgb(
    image: Image.Image, bit_depth: BitDepth | Callable[[], BitDepth | None] | None = None
) -> tuple[Image.Image, tuple[str, ...]]:
    """The image as people see it, of mode "L" or "RGB", and the steps that were taken, in words.

    The first frame, turned upright as its EXIF says, 8 bits, transparent parts white behind dark things and
    black behind light ones. `bit_depth`, or what gives it, is that of the data set it belongs to.

    Raises RequestError: transparent throughout, NaN or infinite values, channels that mean no colours.
    """
    steps = []
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        image.seek(0)
        steps.append(f"the first of {image.n_frames} frames")  # pyrefly: ignore[missing-attribute]
    if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
        steps.append("turned upright, as its EXIF says")
    if has_high_bit_depth(image):
        steps.append(f"{'16' if image.mode.startswith('I;') else '32'} bits a pixel made 8")
        image = to_8_bit(image, bit_depth() if callable(bit_depth) else bit_depth)
    if image.mode == "CMYK":
        steps.append("CMYK made RGB")
    if image.has_transparency_data:
        image, more = _flatten_transparency(image.convert("RGBA"))
        steps += more
    try:
        return image.convert("L" if image.mode in ("1", "L") else "RGB"), tuple(steps)
    except ValueError:
        raise RequestError(f"its colours ({image.mode}) cannot be made RGB") from None


def _flatten_transparency(image: Image.Image) -> tuple[Image.Image, list[str]]:
    """An RGBA image over white where what it shows is dark, over black where it is light."""
    alpha = image.getchannel("A")
    low, high = alpha.getextrema()
    if not high:
        raise RequestError("transparent throughout, there is nothing to see")
    if low == 255:
        return image.convert("RGB"), []
    small = image.reduce(max(1, round((image.width * image.height / 1e6) ** 0.5)))
    weight = np.asarray(small.getchannel("A"), dtype=np.float64)
    luma = np.asarray(small.convert("RGB").convert("L"), dtype=np.float64)
    behind = "white" if (luma * weight).sum() / max(weight.sum(), 1) < 128 else "black"
    over = Image.new("RGB", image.size, behind)
    over.paste(image, mask=alpha)
    return over, [f"transparent parts made {behind}"]


def to_pixels(image: np.ndarray | Image.Image, shape_HWC: ShapeHWC) -> np.ndarray:
    """The image as uint8 of `shape_HWC`.

    Colour becomes grey by ITU-R 601 luma, grey becomes three equal channels. Another size is cropped about
    its centre to the right proportions and resized with antialiasing (bilinear over the source area).
    Raises RequestError for an array that is no uint8 image, or channels that are not 1 or 3.
    """
    if isinstance(image, np.ndarray):
        pixels_HWC = image[:, :, None] if image.ndim == 2 else image
        if pixels_HWC.dtype != np.uint8 or pixels_HWC.ndim != 3:
            raise RequestError(
                f"image: got {image.dtype} of shape {image.shape}, expected uint8 (H, W) or (H, W, C)"
            )
        if pixels_HWC.shape == shape_HWC:
            return pixels_HWC
        image = _as_image(pixels_HWC)
    height, width, channels = shape_HWC
    if channels not in MODE_BY_CHANNELS:
        raise RequestError(f"data.channels: got {channels}, expected 1 or 3, or the images' own number")
    image = to_grey_or_rgb(image)[0].convert(MODE_BY_CHANNELS[channels])
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(shape_HWC)


def _as_image(pixels_HWC: np.ndarray) -> Image.Image:
    channels = pixels_HWC.shape[2]
    if channels not in MODE_BY_CHANNELS:
        raise RequestError(f"image: got {channels} channels, which can be neither resized nor converted")
    return Image.fromarray(pixels_HWC[:, :, 0] if channels == 1 else np.ascontiguousarray(pixels_HWC))
