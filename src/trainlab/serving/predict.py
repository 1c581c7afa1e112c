"""Class probabilities of a user's own images, from the network of a saved run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trainlab.data.alterations import permute_pixels
from trainlab.data.image_conversion import BitDepth
from trainlab.errors import RequestError
from trainlab.serving.preprocessing import PreprocessedImage, preprocess_image
from trainlab.serving.saved_model import ModelDescription


def preprocess_for_network(
    source: Path | bytes | np.ndarray, description: ModelDescription, name: str = "the image"
) -> PreprocessedImage:
    """An image from outside as a saved run's network gets it: see `trainlab.serving.preprocessing`.

    A file, an upload's bytes or a drawing. `description` is the checkpoint's.

    Raises:
        RequestError: not an image, too large, too small, transparent throughout.
    """
    channels, height, width = description["in_shape_CHW"]
    data, bit_depth = description["settings"].data, BitDepth.from_plain(description.get("depth"))
    image = preprocess_image(source, data.name, (height, width, channels), name, bit_depth)
    if data.permute_pixels is None:
        return image
    pixels_HWC = permute_pixels(image.pixels_HWC[None], data.permute_pixels)[0]
    return replace(image, pixels_HWC=pixels_HWC, steps=(*image.steps, "pixels put into the order of the run"))


def pixels_as_tensor(image: PreprocessedImage) -> Tensor:
    """Its pixels as x_1CHW (uint8)."""
    return torch.from_numpy(np.array(image.pixels_HWC)).permute(2, 0, 1)[None]


def read_image(
    source: Path | bytes | np.ndarray, description: ModelDescription, name: str = "the image"
) -> tuple[Tensor, tuple[str, ...]]:
    """An image from outside as pixels x_1CHW (uint8) of a saved run's network, and what was done to it.

    Raises:
        RequestError: as `preprocess_for_network`; or there is nothing on it to predict.
    """
    image = preprocess_for_network(source, description, name)
    if image.empty_reason:
        raise RequestError(f"{name}: {image.empty_reason}")
    return pixels_as_tensor(image), image.steps


@torch.inference_mode()
def class_probabilities(model: nn.Module, x_NCHW: Tensor) -> Tensor:
    """Class probabilities p_NK of pixels."""
    return model(x_NCHW).float().softmax(dim=1)
