"""One image of any size and mode becomes uint8 pixels of the shape that was asked for."""

import numpy as np
from PIL import Image, ImageOps

from trainlab.errors import RequestError

MODES = {1: "L", 3: "RGB"}


def to_pixels(image: np.ndarray | Image.Image, shape_HWC: tuple[int, int, int]) -> np.ndarray:
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
        image = _as_picture(pixels_HWC)
    height, width, channels = shape_HWC
    if channels not in MODES:
        raise RequestError(f"data.channels: got {channels}, expected 1 or 3, or the images' own number")
    image = eight_bit(image).convert(MODES[channels])
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(shape_HWC)


def _as_picture(pixels_HWC: np.ndarray) -> Image.Image:
    channels = pixels_HWC.shape[2]
    if channels not in MODES:
        raise RequestError(f"image: got {channels} channels, which can be neither resized nor converted")
    return Image.fromarray(pixels_HWC[:, :, 0] if channels == 1 else np.ascontiguousarray(pixels_HWC))


def eight_bit(image: Image.Image) -> Image.Image:
    """16-bit grey scaled down to 8 bits (`convert` alone would clip it to white); others as they are."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) // 256).clip(0, 255).astype(np.uint8))
