"""An image from anywhere, read safely: upright, 8 bits, grey or RGB; and in words what was done for that.

The size is known before anything is decoded, and only plain raster formats are tried: none that would start
another program (EPS) or unpack for minutes.
"""

import io
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from trainlab.data.files import kind_of
from trainlab.data.pixels import Depth, plain
from trainlab.errors import RequestError, message

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
MOST_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded: a few kilobytes can unpack to gigabytes."""
MOST_COSTLY_PIXELS = 25_000_000
"""The same for pictures that take several times the memory: floats, 32-bit numbers, transparency."""
COSTLY_MODES = ("I", "F", "RGBA", "LA", "PA", "RGBa", "La", "CMYK", "LAB", "HSV")
FEWEST_SIDE = 4
"""Pixels. What is smaller on a side shows nothing (the smallest images of any data set here are 8 × 8)."""


@dataclass(frozen=True)
class Picture:
    """`image` has mode "L" or "RGB"; `said`: what was done to get there, a few words each."""

    image: Image.Image
    said: tuple[str, ...] = ()


def read_picture(
    source: Path | bytes | np.ndarray,
    name: str,
    depth: Depth | Callable[[], Depth | None] | None = None,
    fewest_side: int = FEWEST_SIDE,
) -> Picture:
    """The picture in a file, in an upload's bytes, or on a canvas (uint8 RGBA, H × W × 4).

    `name` is what errors call it, `depth` that of the data set it belongs to. Of an animation the first
    frame; transparent parts become white behind dark things and black behind light ones (see `pixels.plain`).

    Raises RequestError: missing, empty, not an image, too large, too small, all transparent.
    """
    with saying(name):
        if isinstance(source, np.ndarray):
            return Picture(*plain(Image.fromarray(source)))
        with opened(source, fewest_side) as image:
            return Picture(*plain(image, depth))


@contextmanager
def opened(source: Path | bytes, fewest_side: int = FEWEST_SIDE) -> Generator[Image.Image, None, None]:
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
                f"not an image; expected PNG, JPEG, GIF, WebP, BMP or TIFF{_instead(source)}"
            ) from None
        with image:
            _check_size(image, fewest_side)
            yield image


@contextmanager
def saying(name: str) -> Generator[None, None, None]:
    """Whatever goes wrong with an image as one line that begins with its name."""
    try:
        yield
    except FileNotFoundError:
        raise RequestError(f"{name}: no such file") from None
    except Image.DecompressionBombError:
        raise RequestError(f"{name}: too many pixels, expected at most {MOST_PIXELS:,}") from None
    except RequestError as error:
        raise RequestError(f"{name}: {error}") from None
    except Exception as error:  # a reader of arbitrary bytes raises whatever those lead it to
        reason = message(error)
        raise RequestError(f"{name}: not a readable image ({reason})") from None


def _instead(source: Path | bytes) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(64)
    else:
        head = source[:64]
    kind = kind_of(head)
    return f"; it is {kind}" if kind else ""


def _check_size(image: Image.Image, fewest_side: int) -> None:
    width, height = image.size
    costly = image.mode in COSTLY_MODES or image.has_transparency_data
    most = MOST_COSTLY_PIXELS if costly else MOST_PIXELS
    if width * height > most:
        why = f" of a picture of mode {image.mode}" if costly else ""
        raise RequestError(f"{width:,} × {height:,} pixels, expected at most {most:,} in all{why}")
    if min(width, height) < fewest_side:
        raise RequestError(f"{width} × {height} pixels, expected at least {fewest_side} × {fewest_side}")
