"""What a network gets of someone's own image: made as its data set's images were made, and said so.

Used by whatever predicts on images from outside: a file on the command line, an upload, a drawing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainlab.data.digits import upsample
from trainlab.data.handwriting import (
    FAINTEST_CONTRAST,
    as_digits,
    as_mnist,
    border_level,
    box_of,
    ink_of,
    is_dot,
)
from trainlab.data.image_file import Picture, read_picture
from trainlab.data.photo import ink_of_photo, is_dark_on_light
from trainlab.data.pixels import Depth, to_pixels

NO_DIGIT = "one colour throughout: there is no digit in it"
NO_STROKE = "no stroke stands out from the ground: there is no digit in it"
ONLY_A_DOT = "a dot: there is no digit in it"
SMALLEST_PHOTO = 64
"""Pixels of the shorter side; what is smaller is no photograph, and too coarse to look for lines in."""
LARGEST_SIDE = 512
"""Pixels: a photograph of a digit is shrunk to this before strokes are looked for."""
LARGEST_PREVIEW = 1024
"""Pixels: what is shown of a photograph is no larger."""


@dataclass(frozen=True)
class Making:
    """How the images of a data set were made, where they all are light things on a dark ground.

    are: the beginning of a sentence that says it.
    draw: from ink (H, W; 0..1) to their own pixels (uint8, H, W); None where any picture will do.
    """

    are: str
    draw: Callable[[np.ndarray], np.ndarray] | None = None
    said: str = ""


MAKINGS = {
    "mnist": Making(
        "MNIST is",
        as_mnist,
        "scaled into 20 × 20, its centre of mass put at the centre of 28 × 28, as MNIST was made",
    ),
    "digits": Making(
        "scikit-learn's digits are",
        lambda ink_HW: upsample(as_digits(ink_HW)),
        "set upright, scaled to 20 × 32, strokes widened or thinned to the usual ink, "
        "counted in blocks of 4 × 4, as scikit-learn's digits were made",
    ),
    "fashion_mnist": Making("Fashion-MNIST is"),
}


@dataclass(frozen=True)
class Intake:
    """What became of a picture.

    pixels_HWC: uint8, what the network gets.
    said: what was done on the way, a few words each.
    photo: the upright picture itself ("L" or "RGB"), at most LARGEST_PREVIEW pixels a side.
    box: (left, top, right, bottom) of what was cut out, in pixels of `photo`; None where nothing was.
    empty: why there is nothing to predict on (a blank page), else None.
    """

    pixels_HWC: np.ndarray
    said: tuple[str, ...]
    photo: Image.Image
    box: tuple[int, int, int, int] | None = None
    empty: str | None = None


def take_in(
    source: Path | bytes | np.ndarray,
    data: str,
    shape_HWC: tuple[int, int, int],
    name: str = "the image",
    depth: Depth | None = None,
) -> Intake:
    """An image file, an upload's bytes or a drawing (uint8 RGBA) as a network trained on `data` gets it.

    `data` is the name of the data set; of one that is not known here the image is fitted, nothing else. An
    image that already looks like one of the data set (its size, grey, dark at the border) is left as it is.
    `depth` is what the data set's own pictures of more than 8 bits a pixel were read with.

    Raises RequestError: not an image, too large, too small, transparent throughout.
    """
    picture = read_picture(source, name, depth)
    making = MAKINGS.get(data)
    if making is None:
        return _fitted(picture.image, shape_HWC, picture.said, _preview(picture.image))
    is_photo = not isinstance(source, np.ndarray) and min(picture.image.size) >= SMALLEST_PHOTO
    return _made(picture, making, shape_HWC, is_photo)


def _made(picture: Picture, making: Making, shape_HWC: tuple[int, int, int], is_photo: bool) -> Intake:
    said, image, photo = list(picture.said), picture.image, _preview(picture.image)
    if image.mode == "RGB":
        if not _is_grey(image):
            said.append("colour made grey")
        image = image.convert("L")
    is_light = border_level(np.asarray(image)) > 127
    if not is_light and image.size == shape_HWC[1::-1]:
        said.append("left as it is: it has the size and the dark ground")
        return Intake(to_pixels(image, shape_HWC), tuple(said), photo)
    if is_photo and making.draw is not None:
        is_light = is_dark_on_light(np.asarray(image))
    if is_light:
        said.append(f"inverted: {making.are} light on dark")
        image = ImageOps.invert(image)
    if making.draw is None:
        return _fitted(image, shape_HWC, tuple(said), photo)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    ink_HW = ink_of_photo(np.asarray(ImageOps.invert(image))) if is_photo else ink_of(np.asarray(image))
    if empty := _why_empty(np.asarray(image), ink_HW):
        return Intake(np.zeros(shape_HWC, np.uint8), (*said, empty), photo, empty=empty)
    box = _scaled(box_of(ink_HW), image.size, photo.size)
    said.append(making.said)
    return replace(_fitted(Image.fromarray(making.draw(ink_HW)), shape_HWC, tuple(said), photo), box=box)


def _why_empty(grey_HW: np.ndarray, ink_HW: np.ndarray) -> str | None:
    if not ink_HW.any():
        return NO_DIGIT if np.ptp(grey_HW) < FAINTEST_CONTRAST else NO_STROKE
    return ONLY_A_DOT if is_dot(ink_HW) else None


def _preview(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((LARGEST_PREVIEW, LARGEST_PREVIEW))
    return small


def _scaled(
    box: tuple[int, int, int, int], own: tuple[int, int], shown: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box in an image of size `own` (width, height), in pixels of the same image of size `shown`."""
    across, down = shown[0] / own[0], shown[1] / own[1]
    left, top, right, bottom = box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _is_grey(image: Image.Image) -> bool:
    red, *others = (np.asarray(band, dtype=np.int16) for band in image.split())
    return all(int(abs(red - other).max()) <= 2 for other in others)


def _fitted(
    image: Image.Image, shape_HWC: tuple[int, int, int], said: tuple[str, ...], photo: Image.Image
) -> Intake:
    """Cropped about its centre to the right proportions, resized, in the right channels."""
    height, width, channels = shape_HWC
    how = list(said)
    if channels == 1 and image.mode == "RGB":
        how.append("colour made grey")
    if image.width * height != image.height * width:
        how.append("cropped about its centre")
    if image.size != (width, height):
        how.append(f"resized from {image.width} × {image.height} to {width} × {height}")
    return Intake(to_pixels(image, shape_HWC), tuple(how), photo)
