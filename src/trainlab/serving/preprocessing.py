"""A user's own image as a network gets it: made as its data set's images were made, with each step named.

For whatever predicts on images from outside: a file on the command line, an upload, a drawing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps

from trainlab.data.digits import upsample
from trainlab.data.encoded_images import DecodedImage, decode_image
from trainlab.data.image_conversion import BitDepth, ShapeHWC, to_pixels
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
"""Pixels: the preview of a photograph is no larger."""

Box: TypeAlias = tuple[int, int, int, int]
"""(left, top, right, bottom), in pixels."""


@dataclass(frozen=True)
class DatasetStyle:
    """How the images of a data set were made, where they all are light things on a dark ground.

    subject: of a sentence, with its verb: "MNIST is".
    draw: from ink (H, W; 0..1) to their own pixels (uint8, H, W); None where any picture will do.
    step: what `draw` does, in words.
    """

    subject: str
    draw: Callable[[np.ndarray], np.ndarray] | None = None
    step: str = ""


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
    """A user's image as a network gets it.

    pixels_HWC: uint8, what the network gets.
    steps: what was done on the way, a few words each.
    preview: the upright image itself ("L" or "RGB"), at most MAX_PREVIEW_SIDE pixels a side.
    box: what was cut out, in pixels of `preview`; None where nothing was.
    empty_reason: why there is nothing to predict on (a blank page), else None.
    """

    pixels_HWC: np.ndarray
    steps: tuple[str, ...]
    preview: Image.Image
    box: Box | None = None
    empty_reason: str | None = None


def preprocess_image(
    source: Path | bytes | np.ndarray,
    data: str,
    shape_HWC: ShapeHWC,
    name: str = "the image",
    bit_depth: BitDepth | None = None,
) -> PreprocessedImage:
    """An image file, an upload's bytes or a drawing (uint8 RGBA) as a network trained on `data` gets it.

    `data` is the name of the data set; where it has no style of its own here the image is fitted, nothing
    else. An image that already looks like one of the data set (its size, grey, dark at the border) is left as
    it is. `bit_depth` is what the data set's own images of more than 8 bits a pixel were read with.

    Raises RequestError: not an image, too large, too small, transparent throughout.
    """
    decoded = decode_image(source, name, bit_depth)
    style = DATASET_STYLES.get(data)
    if style is None:
        return _fit_to_shape(decoded.image, shape_HWC, decoded.steps, _preview(decoded.image))
    is_photo = not isinstance(source, np.ndarray) and min(decoded.image.size) >= MIN_PHOTO_SIDE
    return _in_dataset_style(decoded, style, shape_HWC, is_photo)


def _in_dataset_style(
    decoded: DecodedImage, style: DatasetStyle, shape_HWC: ShapeHWC, is_photo: bool
) -> PreprocessedImage:
    steps, image, preview = list(decoded.steps), decoded.image, _preview(decoded.image)
    if image.mode == "RGB":
        if not _is_grey(image):
            steps.append("colour made grey")
        image = image.convert("L")
    is_light = border_level(np.asarray(image)) > 127
    if not is_light and image.size == shape_HWC[1::-1]:
        steps.append("left as it is: it has the size and the dark ground")
        return PreprocessedImage(to_pixels(image, shape_HWC), tuple(steps), preview)
    if is_photo and style.draw is not None:
        is_light = is_dark_on_light(np.asarray(image))
    if is_light:
        steps.append(f"inverted: {style.subject} light on dark")
        image = ImageOps.invert(image)
    if style.draw is None:
        return _fit_to_shape(image, shape_HWC, steps, preview)
    image.thumbnail((MAX_WORKING_SIDE, MAX_WORKING_SIDE))
    grey_HW = np.asarray(image)
    ink_HW = extract_ink(255 - grey_HW) if is_photo else ink_of_drawing(grey_HW)
    if reason := _empty_reason(grey_HW, ink_HW):
        pixels_HWC = np.zeros(shape_HWC, np.uint8)
        return PreprocessedImage(pixels_HWC, (*steps, reason), preview, empty_reason=reason)
    drawn = Image.fromarray(style.draw(ink_HW))
    box = _scale_box(bounding_box(ink_HW), image.size, preview.size)
    return replace(_fit_to_shape(drawn, shape_HWC, [*steps, style.step], preview), box=box)


def _empty_reason(grey_HW: np.ndarray, ink_HW: np.ndarray) -> str | None:
    if not ink_HW.any():
        return NO_DIGIT if np.ptp(grey_HW) < MIN_CONTRAST else NO_STROKE
    return ONLY_A_DOT if is_dot(ink_HW) else None


def _preview(image: Image.Image) -> Image.Image:
    small = image.copy()
    small.thumbnail((MAX_PREVIEW_SIDE, MAX_PREVIEW_SIDE))
    return small


def _scale_box(box: Box, size: tuple[int, int], scaled_size: tuple[int, int]) -> Box:
    """A box in an image of `size` (width, height), in pixels of the same image at `scaled_size`."""
    across, down = scaled_size[0] / size[0], scaled_size[1] / size[1]
    left, top, right, bottom = box
    return round(left * across), round(top * down), round(right * across), round(bottom * down)


def _is_grey(image: Image.Image) -> bool:
    red, *others = (np.asarray(band, dtype=np.int16) for band in image.split())
    return all(int(abs(red - other).max()) <= 2 for other in others)


def _fit_to_shape(
    image: Image.Image, shape_HWC: ShapeHWC, steps: Sequence[str], preview: Image.Image
) -> PreprocessedImage:
    """Cropped about its centre to the right proportions, resized, in the right channels."""
    height, width, channels = shape_HWC
    steps = list(steps)
    if channels == 1 and image.mode == "RGB":
        steps.append("colour made grey")
    if image.width * height != image.height * width:
        steps.append("cropped about its centre")
    if image.size != (width, height):
        steps.append(f"resized from {image.width} × {image.height} to {width} × {height}")
    return PreprocessedImage(to_pixels(image, shape_HWC), tuple(steps), preview)
