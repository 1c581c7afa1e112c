"""The network of a run's settings, with its input normalization and its initial weights."""

import json
from collections.abc import Sequence

import torch
from torch import nn

from trainlab.axes import AXES, NETWORK_WRAPPERS
from trainlab.build.seeding import seed_everything, seed_for
from trainlab.data import ImageData
from trainlab.data.loader import BatchLoader
from trainlab.errors import RequestError
from trainlab.instantiate import instantiate, root_cause_message
from trainlab.instantiate.parts import (
    ACTIVATION,
    INIT,
    MODEL,
    NORM_LAYER,
    NORMALIZATION,
    PARTS,
    POOL,
    expected_call,
)
from trainlab.nn.initializers import fit_to_images, images_to_fit, initialize
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.normalization import NormalizedNetwork
from trainlab.settings import Settings

# Images on which LSUV measures a layer's variance (Mishkin & Matas 2016 use a training batch)
LSUV_BATCH_SIZE = 256
NETWORK_AXES = tuple(
    axis.name for axis in AXES if axis.is_model_argument or axis.wraps_network or axis.name == "model"
)
"""What a network is made of."""


def build_network(settings: Settings, in_shape_CHW: Sequence[int], num_classes: int) -> nn.Module:
    """The network of these settings, with torch's own initial weights.

    Raises:
        RequestError: a combination that cannot be built, by name.
    """
    norm_layer = settings.norm_layer
    built = instantiate(settings.model, MODEL)
    try:
        network = built(
            in_shape_CHW=tuple(in_shape_CHW),
            num_classes=num_classes,
            activation=instantiate(settings.activation, ACTIVATION),
            norm_layer=NormLayer(norm_layer.position, instantiate(norm_layer.layer, NORM_LAYER)),
            pool=instantiate(settings.pool, POOL),
        )
    except TypeError as error:
        named = f"model={settings.axes['model']}"
        raise RequestError(f"{named}: {root_cause_message(error)}{expected_call(MODEL.name)}") from error
    for axis in NETWORK_WRAPPERS:
        if (wrap := instantiate(settings.component(axis.name), PARTS[axis.name])) is not None:
            network = wrap(network)
    return network


class MetaNetworks:
    """Networks on the meta device, which have shapes and no memory: each distinct one is built once."""

    def __init__(self) -> None:
        self._built: dict[str, nn.Module] = {}

    def get(self, settings: Settings) -> nn.Module | None:
        """The network of these settings; None where its input is known once the data have been read.

        Raises:
            RequestError: it cannot be built.
        """
        data, plain = settings.data, settings.to_plain()
        if data.image_size is None or data.num_classes is None:
            return None
        key = json.dumps([plain[axis] for axis in NETWORK_AXES] + [[*input_shape_CHW(settings)]])
        key = f"{key} {data.num_classes} {settings.trusted_sections}"
        if key not in self._built:
            with torch.device("meta"):
                self._built[key] = build_network(settings, input_shape_CHW(settings), data.num_classes)
        return self._built[key]


def build_model(
    settings: Settings,
    in_shape_CHW: Sequence[int],
    num_classes: int,
    mean_C: Sequence[float],
    std_C: Sequence[float],
) -> NormalizedNetwork:
    """Input normalization with its statistics (unit scale 0..1), then the network."""
    normalization = instantiate(settings.normalization, NORMALIZATION)
    normalization = normalization(mean_C=tuple(mean_C), std_C=tuple(std_C))
    built = NormalizedNetwork(normalization, build_network(settings, in_shape_CHW, num_classes))
    if any(isinstance(m, nn.Conv2d) for m in built.modules()):
        # images lie in memory as N, H, W, C already, and convolutions are faster so, on CPU and GPU
        built = built.to(memory_format=torch.channels_last)
    return built


def build_initialized_model(settings: Settings, images: ImageData) -> NormalizedNetwork:
    """The model at step 0: built and initialized from the run's seed.

    LSUV, and layers that are fitted to images, get real ones: the first of the order that this seed gives.
    """
    seed_everything(seed_for(settings.seed, "init"))
    built = build_model(settings, images.in_shape_CHW, images.num_classes, images.mean_C, images.std_C)
    batch_size = min(max(LSUV_BATCH_SIZE, images_to_fit(built.network)), len(images.train))
    loader = BatchLoader(images.train, batch_size, shuffle=True, seed=seed_for(settings.seed, "init"))
    x_NCHW, _ = next(iter(loader))
    x_NCHW = built.normalization(x_NCHW)
    fit_to_images(built.network, x_NCHW)
    initialize(built.network, instantiate(settings.init, INIT), x_NCHW[:LSUV_BATCH_SIZE])
    return built


def input_shape_CHW(settings: Settings) -> tuple[int, int, int]:
    """The network's input by the settings alone, with no data present."""
    data = settings.data
    assert data.image_size is not None, "it is known once the data have been read"
    return data.channels, data.image_size, data.image_size
