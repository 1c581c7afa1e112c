"""Encoded images, from files or bytes, opened safely: upright, 8 bits, grey or RGB.

The size is known before anything is decoded, and only plain raster formats are tried: none that would start
another program (EPS) or unpack for minutes. The images of a data set are opened one after the other, so that
a large folder never lies in memory whole; broken ones are named all at once.
"""

import io
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainlab.data.files import file_kind
from trainlab.data.image_conversion import (
    BitDepth,
    ValueRange,
    has_high_bit_depth,
    to_grey_or_rgb,
    value_range,
)
from trainlab.errors import RequestError, error_message

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
MAX_PIXELS = 50_000_000
"""Larger images are refused before they are decoded: a few kilobytes can unpack to gigabytes."""
MAX_COSTLY_PIXELS = 25_000_000
"""The same for images that take several times the memory: floats, 32-bit numbers, transparency."""
COSTLY_MODES = ("I", "F", "RGBA", "LA", "PA", "RGBa", "La", "CMYK", "LAB", "HSV")
MIN_SIDE = 4
"""Pixels. What is smaller on a side shows nothing (the smallest images of any data set here are 8 × 8)."""


@dataclass(frozen=True)
class DecodedImage:
    """`image` has mode "L" or "RGB"; `steps`: what was done to get there, a few words each."""

    image: Image.Image
    steps: tuple[str, ...] = ()


def decode_image(
    source: Path | bytes | np.ndarray,
    name: str,
    bit_depth: BitDepth | Callable[[], BitDepth | None] | None = None,
    min_side: int = MIN_SIDE,
) -> DecodedImage:
    """The image in a file, in an upload's bytes, or on a canvas (uint8 RGBA, H × W × 4).

    `name` is what errors call it, `bit_depth` that of the data set it belongs to. Of an animation the first
    frame; transparent parts become white behind dark things and black behind light ones
    (see `to_grey_or_rgb`).

    Raises RequestError: missing, empty, not an image, too large, too small, all transparent.
    """
    with explain_image_errors(name):
        if isinstance(source, np.ndarray):
            return DecodedImage(*to_grey_or_rgb(Image.fromarray(source)))
        with open_image(source, min_side) as image:
            return DecodedImage(*to_grey_or_rgb(image, bit_depth))


@contextmanager
def open_image(source: Path | bytes, min_side: int = MIN_SIDE) -> Generator[Image.Image, None, None]:
    """An image of one of FORMATS whose size is bounded, not yet decoded."""
    if isinstance(source, bytes) and not source:
        raise RequestError("an empty file, expected an image")
    if isinstance(source, Path) and source.is_file() and source.stat().st_size == 0:
        raise RequestError("an empty file, expected an image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is stricter
        content = source if isinstance(source, Path) else io.BytesIO(source)
        try:
            image = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError:
            raise RequestError(
                f"not an image; expected PNG, JPEG, GIF, WebP, BMP or TIFF{_file_kind_hint(source)}"
            ) from None
        with image:
            _check_size(image, min_side)
            yield image


@contextmanager
def explain_image_errors(name: str) -> Generator[None, None, None]:
    """Whatever goes wrong with an image as one line that begins with its name."""
    try:
        yield
    except FileNotFoundError:
        raise RequestError(f"{name}: no such file") from None
    except Image.DecompressionBombError:
        raise RequestError(f"{name}: too many pixels, expected at most {MAX_PIXELS:,}") from None
    except RequestError as error:
        raise RequestError(f"{name}: {error}") from None
    except Exception as error:  # a reader of arbitrary bytes raises whatever those lead it to
        reason = error_message(error)
        raise RequestError(f"{name}: not a readable image ({reason})") from None


def _file_kind_hint(source: Path | bytes) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(64)
    else:
        head = source[:64]
    kind = file_kind(head)
    return f"; it is {kind}" if kind else ""


def _check_size(image: Image.Image, min_side: int) -> None:
    width, height = image.size
    is_costly = image.mode in COSTLY_MODES or image.has_transparency_data
    limit = MAX_COSTLY_PIXELS if is_costly else MAX_PIXELS
    if width * height > limit:
        why = f" of a picture of mode {image.mode}" if is_costly else ""
        raise RequestError(f"{width:,} × {height:,} pixels, expected at most {limit:,} in all{why}")
    if min(width, height) < min_side:
        raise RequestError(f"{width} × {height} pixels, expected at least {min_side} × {min_side}")


MAX_NAMED = 10
"""Broken files are named up to this number, then counted."""
EncodedImage = tuple[str, Path | bytes]
"""(What errors call it, where or what it is.)"""


class EncodedImages:
    """The images of all splits of a data set, decoded as they are iterated over.

    splits: of each split its encoded images, in order.
    size: (width, height) that all should have; those of another are counted.
    """

    def __init__(
        self, splits: Mapping[str, Sequence[EncodedImage]], size: tuple[int, int] | None = None
    ) -> None:
        self._splits = splits
        self._size = size
        self._bit_depth: BitDepth | None = None
        self._other_sizes = 0

    def decode(self, split: str) -> Iterator[Image.Image]:
        """The images of one split, of mode "L" or "RGB".

        Raises RequestError at the first that is broken, naming all that are, of all splits.
        """
        for name, source in self._splits[split]:
            try:
                decoded = decode_image(source, name, self.bit_depth, min_side=1)
            except RequestError as error:
                raise self._error_naming_all(error) from None
            if self._size and decoded.image.size != self._size:
                self._other_sizes += 1
            yield decoded.image

    def bit_depth(self) -> BitDepth:
        """Black and white of all images of more than 8 bits together, looked up on first use."""
        if self._bit_depth is None:
            self._bit_depth = BitDepth.from_ranges(self._value_ranges())
        return self._bit_depth

    def used_bit_depth(self) -> BitDepth | None:
        """The same where an image needed it, else None."""
        return self._bit_depth

    def notes(self) -> list[str]:
        """What the user should know about the images, once they have been read."""
        notes = []
        if self._bit_depth is not None:
            notes.append(f"pictures of more than 8 bits a pixel: {self._bit_depth.describe()}")
        if self._other_sizes and self._size:
            width, height = self._size
            notes.append(
                f"{self._other_sizes:,} images are not {width} × {height}: "
                "cropped about their centre and resized"
            )
        return notes

    def _all(self) -> Iterator[EncodedImage]:
        for split in self._splits.values():
            yield from split

    def _value_ranges(self) -> Iterator[ValueRange]:
        for _, source in self._all():
            try:
                with explain_image_errors(""), open_image(source, min_side=1) as image:
                    if has_high_bit_depth(image):
                        yield value_range(image)
            except RequestError:
                continue  # it is named, with all others, when its turn comes

    def _error_naming_all(self, first: RequestError) -> RequestError:
        faults = []
        for name, source in self._all():
            try:
                decode_image(source, name, None, min_side=1)
            except RequestError as error:
                faults.append(str(error))
        if len(faults) < 2:
            return RequestError(f"corrupt or unreadable data file {first}")
        named = "; ".join(faults[:MAX_NAMED])
        more = f"; and {len(faults) - MAX_NAMED:,} more" if len(faults) > MAX_NAMED else ""
        return RequestError(f"{len(faults):,} corrupt or unreadable data files: {named}{more}")
