"""What a network gets of someone's own image: made as its data set's images were made, and said so.

Used by whatever predicts on images from outside: a file on the command line, an upload, a drawing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainlab.data.digits import upsample
from trainlab.data.encoded_images import DecodedImage, decode_image
from trainlab.data.image_conversion import BitDepth, to_pixels
from trainlab.serving.digit_normalization import (
    MIN_CONTRAST,
    border_level,
    bounding_box,
    ink_of_drawing,
    is_dot,
    to_digits_style,
    to_mnist_style,
)
from trainlab.serving.stroke_extraction import extract_ink, is_dark_on_light

NO_DIGIT = "one colour throughout: there is no digit in it"
NO_STROKE = "no stroke stands out from the ground: there is no digit in it"
ONLY_A_DOT = "a dot: there is no digit in it"
MIN_PHOTO_SIDE = 64
"""Pixels of the shorter side; what is smaller is no photograph, and too coarse to look for lines in."""
MAX_WORKING_SIDE = 512
"""Pixels: a photograph of a digit is shrunk to this before strokes are looked for."""
MAX_PREVIEW_SIDE = 1024
"""Pixels: what is shown of a photograph is no larger."""


@dataclass(frozen=True)
class DatasetStyle:
    """How the images of a data set were made, where they all are light things on a dark ground.

    are: the beginning of a sentence that says it.
    draw: from ink (H, W; 0..1) to their own pixels (uint8, H, W); None where any picture will do.
    """

    are: str
    draw: Callable[[np.ndarray], np.ndarray] | None = None
    said: str = ""


DATASET_STYLES = {
    "mnist": DatasetStyle(
        "MNIST is",
        to_mnist_style,
        "scaled into 20 × 20, its centre of mass put at the centre of 28 × 28, as MNIST was made",
    ),
    "digits": DatasetStyle(
        "scikit-learn's digits are",
        lambda ink_HW: upsample(to_digits_style(ink_HW)),
        "set upright, scaled to 20 × 32, strokes widened or thinned to the usual ink, "
        "counted in blocks of 4 × 4, as scikit-learn's digits were made",
    ),
    "fashion_mnist": DatasetStyle("Fashion-MNIST is"),
}


@dataclass(frozen=True)
class PreprocessedImage:
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


def preprocess_image(
    source: Path | bytes | np.ndarray,
    data: str,
    shape_HWC: tuple[int, int, int],
    name: str = "the image",
    depth: BitDepth | None = None,
) -> PreprocessedImage:
    """An image file, an upload's bytes or a drawing (uint8 RGBA) as a network trained on `data` gets it.

    `data` is the name of the data set; of one that is not known here the image is fitted, nothing else. An
    image that already looks like one of the data set (its size, grey, dark at the border) is left as it is.
    `depth` is what the data set's own pictures of more than 8 bits a pixel were read with.

    Raises RequestError: not an image, too large, too small, transparent throughout.
    """
    picture = decode_image(source, name, depth)
    making = DATASET_STYLES.get(data)
    if making is None:
        return _fit_to_shape(picture.image, shape_HWC, picture.said, _preview(picture.image))
    is_photo = not isinstance(source, np.ndarray) and min(picture.image.size) >= MIN_PHOTO_SIDE
    return _in_dataset_style(picture, making, shape_HWC, is_photo)


def _in_dataset_style(
    picture: DecodedImage, making: DatasetStyle, shape_HWC: tuple[int, int, int], is_photo: bool
) -> PreprocessedImage:
    said, image, photo = list(picture.said), picture.image, _preview(picture.image)
    if image.mode == "RGB":
        if not _is_grey(image):
            said.append("colour made grey")
        image = image.convert("L")
    is_light = border_level(np.asarray(image)) > 127
    if not is_light and image.size == shape_HWC[1::-1]:
        said.append("left as it is: it has the size and the dark ground")
        return PreprocessedImage(to_pixels(image, shape_HWC), tuple(said), photo)
    if is_photo and making.draw is not None:
        is_light = is_dark_on_light(np.asarray(image))
    if is_light:
        said.append(f"inverted: {making.are} light on dark")
        image = ImageOps.invert(image)
    if making.draw is None:
        return _fit_to_shape(image, shape_HWC, tuple(said), photo)
    image.thumbnail((MAX_WORKING_SIDE, MAX_WORKING_SIDE))
    ink_HW = (
        extract_ink(np.asarray(ImageOps.invert(image))) if is_photo else ink_of_drawing(np.asarray(image))
    )
    if empty := _empty_reason(np.asarray(image), ink_HW):
        return PreprocessedImage(np.zeros(shape_HWC, np.uint8), (*said, empty), photo, empty=empty)
    box = _scale_box(bounding_box(ink_HW), image.size, photo.size)
    said.append(making.said)
    return replace(
        _fit_to_shape(Image.fromarray(making.draw(ink_HW)), shape_HWC, tuple(said), photo), box=box
    )


def _empty_reason(grey_HW: np.ndarray, ink_HW: np.ndarray) -> str | None:
    if not ink_HW.any():
        return NO_DIGIT if np.ptp(grey_HW) < MIN_CONTRAST else NO_STROKE
    return ONLY_A_DOT if is_dot(ink_HW) else None


def _preview(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((MAX_PREVIEW_SIDE, MAX_PREVIEW_SIDE))
    return small


def _scale_box(
    box: tuple[int, int, int, int], own: tuple[int, int], shown: tuple[int, int]
) -> tuple[int, int, int, int]:
    """A box in an image of size `own` (width, height), in pixels of the same image of size `shown`."""
    across, down = shown[0] / own[0], shown[1] / own[1]
    left, top, right, bottom = box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _is_grey(image: Image.Image) -> bool:
    red, *others = (np.asarray(band, dtype=np.int16) for band in image.split())
    return all(int(abs(red - other).max()) <= 2 for other in others)


def _fit_to_shape(
    image: Image.Image, shape_HWC: tuple[int, int, int], said: tuple[str, ...], photo: Image.Image
) -> PreprocessedImage:
    """Cropped about its centre to the right proportions, resized, in the right channels."""
    height, width, channels = shape_HWC
    how = list(said)
    if channels == 1 and image.mode == "RGB":
        how.append("colour made grey")
    if image.width * height != image.height * width:
        how.append("cropped about its centre")
    if image.size != (width, height):
        how.append(f"resized from {image.width} × {image.height} to {width} × {height}")
    return PreprocessedImage(to_pixels(image, shape_HWC), tuple(how), photo)
