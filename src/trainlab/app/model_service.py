"""What the pages need torch or Hydra for: settings, theory, layer tables, trained networks.

Several users may look at once, each in a thread of the server; Hydra has one global configuration and torch
one random state, so that calls that use them take a lock. Nothing here imports torch before it is called.
Answers are cached, within bounds.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from trainlab.errors import RequestError
from trainlab.forecast.answer import TheoryReport
from trainlab.settings import RunSettings, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from trainlab.models import LayerRow
    from trainlab.nn.normalization import NormalizedNetwork
    from trainlab.serving.evaluate import Misclassified
    from trainlab.serving.preprocessing import PreprocessedImage
    from trainlab.serving.saved_model import ModelDescription

_LOCK = threading.RLock()
MAX_ANSWERS = 256
MAX_MODELS = 4
LOADING_MESSAGE = "PyTorch is being loaded (once, some seconds) …"
ImageSource = Path | bytes | np.ndarray
"""A file, the bytes of an upload, or pixels (H × W × 4 of a drawing, H × W or H × W × 3 of an image)."""


def _settings_key(settings: Settings) -> tuple[str, tuple[str, ...]]:
    return settings.to_json(), settings.trusted_sections


HASH_FUNCS: dict[str | type, Callable[..., object]] = {Settings: _settings_key, RunSettings: _settings_key}


class TrainedNetwork(NamedTuple):
    """The network of a run in eval mode; `description`: `settings`, `in_shape_CHW`, `classes`, `run_id`."""

    model: "NormalizedNetwork"
    description: "ModelDescription"

    @property
    def settings(self) -> RunSettings:
        return self.description["settings"]

    @property
    def classes(self) -> list[str]:
        """Their names as text."""
        return [str(name) for name in self.description["classes"]]


class RunTestImages(NamedTuple):
    """The test images of a run's data set, as they are on disk now.

    mismatch: that they are not those that the run was tested on; None where they are.
    """

    x_NHWC: np.ndarray
    labels_N: np.ndarray
    classes: tuple[str, ...]
    mismatch: str | None


class TopErrors(NamedTuple):
    """The worst errors among the first `evaluated` of the images x_NHWC."""

    errors: "list[Misclassified]"
    evaluated: int
    x_NHWC: np.ndarray


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=False)
def compose_settings(overrides: tuple[str, ...]) -> Settings:
    """The settings of a run. Raises RequestError."""
    from trainlab.config import compose

    with _LOCK:
        return compose(overrides)


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=LOADING_MESSAGE, hash_funcs=HASH_FUNCS)
def predict_theory(settings: Settings) -> TheoryReport | None:
    """What mean-field theory predicts for a run; None where the network is no chain. Raises RequestError."""
    with _LOCK:
        use_one_thread()
        from trainlab.forecast.run_forecast import theory_for_run

        return theory_for_run(settings)


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=LOADING_MESSAGE)
def model_depths(model: str) -> list[int]:
    """The depths that a model option lists; empty where it lists none. Raises RequestError."""
    with _LOCK:
        from trainlab.instantiate import instantiate
        from trainlab.instantiate.parts import MODEL
        from trainlab.models import allowed_depths

        component = compose_settings((f"model={model}",)).model
        return list(allowed_depths(instantiate(component, MODEL)) or ())


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=LOADING_MESSAGE, hash_funcs=HASH_FUNCS)
def layer_table(settings: Settings, in_shape_CHW: tuple[int, int, int]) -> list["LayerRow"]:
    """The rows of `models.anatomy`. Raises RequestError."""
    with _LOCK:
        import torch

        from trainlab.build import networks
        from trainlab.models import anatomy

        num_classes = settings.data.num_classes
        if num_classes is None:
            raise RequestError("data.num_classes is not known before the data are read, expected a number")
        with torch.device("meta"):
            network = networks.build_network(settings, in_shape_CHW, num_classes)
        return anatomy(network, in_shape_CHW)


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=LOADING_MESSAGE)
def layer_type_costs(in_shape_CHW: tuple[int, int, int], maps: int, kernel: int) -> list["LayerRow"]:
    """A dense, a locally connected and a convolution layer from such images to as many maps, in this order.

    Each as a row of `models.anatomy`, with `out_shape` C, H, W. Raises RequestError: the kernel does not fit.
    """
    channels, height, width = in_shape_CHW
    if kernel > min(height, width):
        raise RequestError(f"kernel {kernel} × {kernel}: the image has {height} × {width} pixels")
    import torch
    from torch import nn

    from trainlab.models import anatomy
    from trainlab.nn.layers import LocallyConnected2d

    out_shape = (maps, height - kernel + 1, width - kernel + 1)
    with torch.device("meta"):
        layers = [
            nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, math.prod(out_shape))),
            LocallyConnected2d(channels, maps, kernel, in_size_HW=(height, width)),
            nn.Conv2d(channels, maps, kernel),
        ]
    return [replace(anatomy(layer, in_shape_CHW)[-1], out_shape=out_shape) for layer in layers]


def load_trained(folder: Path) -> TrainedNetwork:
    """The network of a run; of two checkpoints the best one's.

    Raises RequestError: no checkpoint, or one that is corrupt, not ours or of another version.
    """
    paths = [folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise RequestError(f"run {folder.name} has no checkpoint")
    stat = path.stat()
    return _load_checkpoint(str(path), stat.st_mtime_ns, stat.st_size)


@st.cache_resource(max_entries=MAX_MODELS, show_spinner=LOADING_MESSAGE)
def _load_checkpoint(path: str, written_ns: int, size: int) -> TrainedNetwork:
    with _LOCK:
        from trainlab.nn.normalization import NormalizedNetwork
        from trainlab.serving.saved_model import load_model

        model, description = load_model(Path(path))
        assert isinstance(model, NormalizedNetwork)
        return TrainedNetwork(model, description)


def prepare_image(
    source: ImageSource, description: "ModelDescription", name: str
) -> "tuple[PreprocessedImage, Tensor]":
    """An image as a network gets it, and its pixels x_1CHW. Raises RequestError."""
    from trainlab.serving.predict import pixels_as_tensor, preprocess_for_network

    image = preprocess_for_network(source, description, name)
    return image, pixels_as_tensor(image)


@st.cache_resource(
    max_entries=MAX_MODELS, show_spinner="The test images are being read …", hash_funcs=HASH_FUNCS
)
def test_images(settings: RunSettings) -> RunTestImages:
    """The test images of a run's own data set. Raises RequestError where they are missing."""
    with _LOCK:
        from trainlab.build.data import describe_data_change, load_data

        data = load_data(settings)
        mismatch = describe_data_change(settings, data)
        return RunTestImages(data.test.x_NHWC[data.test.index], data.test.labels_N, data.classes, mismatch)


def use_one_thread() -> None:
    """One thread for torch from here on: a run may be training beside it, and waiting threads spin."""
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=False, hash_funcs=HASH_FUNCS)
def retry_command(settings: Settings, change: str, runs: Path) -> str:
    """The command that makes a run with a change, into a folder of runs. Raises RequestError."""
    from trainlab.config.command_line import command_line_for_run

    with _LOCK:
        return command_line_for_run(settings, change, runs)


def image_to_batch(image_HWC: np.ndarray) -> "Tensor":
    """One image (uint8) as a network takes it, x_1CHW."""
    import torch

    return torch.from_numpy(image_HWC).permute(2, 0, 1)[None]


def top_errors(folder: Path, count: int) -> TopErrors:
    """The worst errors among the first `count` test images. Raises RequestError: no checkpoint or data."""
    trained = load_trained(folder)
    images = test_images(trained.settings)
    stamp = max(path.stat().st_mtime_ns for path in (folder / "checkpoints").glob("*.ckpt"))
    errors = _find_errors(str(folder), stamp, count, trained.model, images)
    return TopErrors(errors, min(count, len(images.x_NHWC)), images.x_NHWC)


@st.cache_resource(max_entries=MAX_MODELS * 4, show_spinner="The test images are being evaluated …")
def _find_errors(
    folder: str, stamp: int, count: int, _model: "NormalizedNetwork", _images: RunTestImages
) -> "list[Misclassified]":
    from trainlab.serving import evaluate

    return evaluate.top_errors(_model, _images.x_NHWC[:count], _images.labels_N[:count])
