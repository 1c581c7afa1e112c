"""An image from anywhere, read safely: upright, 8 bits, grey or RGB; and in words what was done for that.

The size is known before anything is decoded, and only plain raster formats are tried: none that would start
another program (EPS) or unpack for minutes.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from trainlab.data.pixels import eight_bit
from trainlab.errors import RequestError

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
MOST_PIXELS = 50_000_000
"""Larger pictures are refused before they are decoded: a few kilobytes can unpack to gigabytes."""
FEWEST_SIDE = 4
"""Pixels. What is smaller on a side shows nothing (the smallest images of any data set here are 8 × 8)."""
EXIF_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Picture:
    """`image` has mode "L" or "RGB"; `said`: what was done to get there, a few words each."""

    image: Image.Image
    said: tuple[str, ...] = ()


def read_picture(source: Path | bytes | np.ndarray, name: str) -> Picture:
    """The picture in a file, in an upload's bytes, or on a canvas (uint8 RGBA, H × W × 4).

    `name` is what errors call it. Of an animation the first frame; transparent parts become white behind dark
    things and black behind light ones.

    Raises RequestError: missing, empty, not an image, too large, too small, all transparent.
    """
    if isinstance(source, np.ndarray):
        return _plain(Image.fromarray(source), name)
    content: Path | io.BytesIO = source if isinstance(source, Path) else io.BytesIO(source)
    size = source.stat().st_size if isinstance(source, Path) and source.is_file() else None
    if size == 0 or source == b"":
        raise RequestError(f"{name}: an empty file, expected an image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS is stricter
            with Image.open(content, formats=FORMATS) as image:
                return _plain(image, name)
    except FileNotFoundError:
        raise RequestError(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise RequestError(f"{name}: not an image; expected PNG, JPEG, GIF, WebP, BMP or TIFF") from None
    except Image.DecompressionBombError:
        raise RequestError(f"{name}: too many pixels, expected at most {MOST_PIXELS:,}") from None
    except RequestError:
        raise
    except Exception as error:  # a reader of arbitrary bytes raises whatever those lead it to
        raise RequestError(f"{name}: not a readable image ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _plain(image: Image.Image, name: str) -> Picture:
    """Size checked, first frame, upright, 8 bits, opaque, grey or RGB."""
    _check_size(image, name)
    said = []
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        image.seek(0)
        said.append(f"the first of {image.n_frames} frames")  # pyrefly: ignore[missing-attribute]
    if image.getexif().get(EXIF_ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
        said.append("turned upright, as its EXIF says")
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        said.append(f"{'16' if image.mode.startswith('I;') else '32'} bits a pixel made 8")
        image = eight_bit(image) if image.mode.startswith("I;") else _stretched(image)
    if image.mode == "CMYK":
        said.append("CMYK made RGB")
    if image.has_transparency_data:
        image, how = _opaque(image.convert("RGBA"), name)
        said += how
    grey = image.mode in ("1", "L")
    return Picture(image.convert("L" if grey else "RGB"), tuple(said))


def _check_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise RequestError(f"{name}: {width:,} × {height:,} pixels, expected at most {MOST_PIXELS:,} in all")
    if min(width, height) < FEWEST_SIDE:
        raise RequestError(
            f"{name}: {width} × {height} pixels, expected at least {FEWEST_SIDE} × {FEWEST_SIDE}"
        )


def _stretched(image: Image.Image) -> Image.Image:
    """Integers or floats of any range, their smallest value black and their largest white."""
    values = np.nan_to_num(np.asarray(image, dtype=np.float64))
    low, high = values.min(), values.max()
    return Image.fromarray(np.rint((values - low) * (255 / ((high - low) or 1))).astype(np.uint8))


def _opaque(image: Image.Image, name: str) -> tuple[Image.Image, list[str]]:
    """An RGBA image over white where what it shows is dark, over black where it is light."""
    alpha = np.asarray(image.getchannel("A"), dtype=np.float64)
    if not alpha.any():
        raise RequestError(f"{name}: transparent throughout, there is nothing to see")
    if alpha.min() == 255:
        return image.convert("RGB"), []
    luma = np.asarray(image.convert("RGB").convert("L"), dtype=np.float64)
    behind = "white" if (luma * alpha).sum() / alpha.sum() < 128 else "black"
    over = Image.alpha_composite(Image.new("RGBA", image.size, behind), image)
    return over.convert("RGB"), [f"transparent parts made {behind}"]
