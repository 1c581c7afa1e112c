"""Encoded images, from files or bytes, opened safely: upright, 8 bits, grey or RGB.

The size is known before anything is decoded, and only plain raster formats are tried: none that would start
another program (EPS) or unpack for minutes. Those of a data set are opened one after the other, so that a
large
folder never lies in memory whole; what is broken is named all at once.
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
"""Larger pictures are refused before they are decoded: a few kilobytes can unpack to gigabytes."""
MAX_COSTLY_PIXELS = 25_000_000
"""The same for pictures that take several times the memory: floats, 32-bit numbers, transparency."""
COSTLY_MODES = ("I", "F", "RGBA", "LA", "PA", "RGBa", "La", "CMYK", "LAB", "HSV")
MIN_SIDE = 4
"""Pixels. What is smaller on a side shows nothing (the smallest images of any data set here are 8 × 8)."""


@dataclass(frozen=True)
class DecodedImage:
    """`image` has mode "L" or "RGB"; `said`: what was done to get there, a few words each."""

    image: Image.Image
    said: tuple[str, ...] = ()


def decode_image(
    source: Path | bytes | np.ndarray,
    name: str,
    depth: BitDepth | Callable[[], BitDepth | None] | None = None,
    fewest_side: int = MIN_SIDE,
) -> DecodedImage:
    """The picture in a file, in an upload's bytes, or on a canvas (uint8 RGBA, H × W × 4).

    `name` is what errors call it, `depth` that of the data set it belongs to. Of an animation the first
    frame; transparent parts become white behind dark things and black behind light ones (see `pixels.plain`).

    Raises RequestError: missing, empty, not an image, too large, too small, all transparent.
    """
    with explain_image_errors(name):
        if isinstance(source, np.ndarray):
            return DecodedImage(*to_grey_or_rgb(Image.fromarray(source)))
        with open_image(source, fewest_side) as image:
            return DecodedImage(*to_grey_or_rgb(image, depth))


@contextmanager
def open_image(source: Path | bytes, fewest_side: int = MIN_SIDE) -> Generator[Image.Image, None, None]:
    """An image of one of FORMATS whose size is bounded, not yet decoded."""
    if isinstance(source, bytes) and not source:
        raise RequestError("an empty file, expected an image")
    if isinstance(source, Path) and source.is_file() and source.stat().st_size == 0:
        raise RequestError("an empty file, expected an image")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS is stricter
        content = source if isinstance(source, Path) else io.BytesIO(source)
        try:
            image = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError:
            raise RequestError(
                f"not an image; expected PNG, JPEG, GIF, WebP, BMP or TIFF{_file_kind_hint(source)}"
            ) from None
        with image:
            _check_size(image, fewest_side)
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


def _check_size(image: Image.Image, fewest_side: int) -> None:
    width, height = image.size
    costly = image.mode in COSTLY_MODES or image.has_transparency_data
    most = MAX_COSTLY_PIXELS if costly else MAX_PIXELS
    if width * height > most:
        why = f" of a picture of mode {image.mode}" if costly else ""
        raise RequestError(f"{width:,} × {height:,} pixels, expected at most {most:,} in all{why}")
    if min(width, height) < fewest_side:
        raise RequestError(f"{width} × {height} pixels, expected at least {fewest_side} × {fewest_side}")


MAX_NAMED = 10
"""Broken files are named up to this number, then counted."""
EncodedImage = tuple[str, Path | bytes]
"""(What errors call it, where or what it is.)"""


class EncodedImages:
    """The pictures of all splits of a data set.

    splits: of each split its encoded pictures, in order.
    size: (width, height) that all should have; those of another are counted.
    """

    def __init__(
        self, splits: Mapping[str, Sequence[EncodedImage]], size: tuple[int, int] | None = None
    ) -> None:
        self._splits = splits
        self._size = size
        self._depth: BitDepth | None = None
        self._of_another_size = 0

    def of(self, split: str) -> Iterator[Image.Image]:
        """The pictures of one split, of mode "L" or "RGB".

        Raises RequestError at the first that is broken, naming all that are, of all splits.
        """
        for name, source in self._splits[split]:
            try:
                picture = decode_image(source, name, self.depth, fewest_side=1)
            except RequestError as error:
                raise self._broken(error) from None
            if self._size and picture.image.size != self._size:
                self._of_another_size += 1
            yield picture.image

    def depth(self) -> BitDepth:
        """Black and white of all pictures of more than 8 bits together."""
        if self._depth is None:
            self._depth = BitDepth.of(self._extents())
        return self._depth

    @property
    def known_depth(self) -> BitDepth | None:
        """The same where it was needed, else None."""
        return self._depth

    def notes(self) -> list[str]:
        """What is to be told about the pictures once they have been read."""
        notes = []
        if self._depth is not None:
            notes.append(f"pictures of more than 8 bits a pixel: {self._depth.said()}")
        if self._of_another_size and self._size:
            width, height = self._size
            notes.append(
                f"{self._of_another_size:,} images are not {width} × {height}: "
                "cropped about their centre and resized"
            )
        return notes

    def _all(self) -> Iterator[EncodedImage]:
        for split in self._splits.values():
            yield from split

    def _extents(self) -> Iterator[ValueRange]:
        for _, source in self._all():
            try:
                with explain_image_errors(""), open_image(source, fewest_side=1) as image:
                    if has_high_bit_depth(image):
                        yield value_range(image)
            except RequestError:
                continue  # it is named, with all others, when its turn comes

    def _broken(self, first: RequestError) -> RequestError:
        faults = []
        for name, source in self._all():
            try:
                decode_image(source, name, None, fewest_side=1)
            except RequestError as error:
                faults.append(str(error))
        if len(faults) < 2:
            return RequestError(f"corrupt or unreadable data file {first}")
        named = "; ".join(faults[:MAX_NAMED])
        more = f"; and {len(faults) - MAX_NAMED:,} more" if len(faults) > MAX_NAMED else ""
        return RequestError(f"{len(faults):,} corrupt or unreadable data files: {named}{more}")
