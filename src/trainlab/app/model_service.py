"""What the pages need torch or Hydra for: settings, theory, layer tables, trained networks.

Several users may look at once, each in a thread of the server; Hydra has one global configuration and torch
one random state, so that calls that use them take a lock. Nothing here imports torch before it is called.
Answers are cached, within bounds.
"""

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from trainlab.build.data import describe_data_change, load_data
from trainlab.errors import RequestError
from trainlab.forecast.answer import TheoryReport
from trainlab.settings import RunSettings, Settings

if TYPE_CHECKING:
    from trainlab.models import LayerRow

_LOCK = threading.RLock()
MAX_ANSWERS = 256
MAX_MODELS = 4
LOADING_MESSAGE = "PyTorch is being loaded (once, some seconds) …"


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=False)
def compose_settings(overrides: tuple[str, ...]) -> Settings:
    """The frozen settings of a run. Raises RequestError."""
    from trainlab.config import compose

    with _LOCK:
        return compose(overrides)


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=LOADING_MESSAGE)
def predict_theory(settings: Settings) -> TheoryReport | None:
    """What mean-field theory says of a run, as plain values; None where the network is no chain.

    Raises RequestError.
    """
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

        component = compose_settings((f"model={model}",))["model"]
        return list(allowed_depths(instantiate(component, MODEL)) or ())


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=LOADING_MESSAGE)
def layer_table(settings: Settings, in_shape_CHW: tuple[int, int, int]) -> list["LayerRow"]:
    """The rows of `models.anatomy`. Raises RequestError."""
    with _LOCK:
        import torch

        from trainlab.build import networks
        from trainlab.models import anatomy

        with torch.device("meta"):
            network = networks.build_network(settings, in_shape_CHW, settings["data"]["num_classes"])
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


def load_trained(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The network of a run in eval mode and its description; of two checkpoints the best one's.

    Raises RequestError: no checkpoint, or one that is corrupt, not ours or of another version.
    """
    paths = [folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise RequestError(f"run {folder.name} has no checkpoint")
    stat = path.stat()
    return _load_checkpoint(str(path), stat.st_mtime_ns, stat.st_size)


@st.cache_resource(max_entries=MAX_MODELS, show_spinner=LOADING_MESSAGE)
def _load_checkpoint(path: str, written_ns: int, size: int) -> tuple[Any, dict[str, Any]]:
    with _LOCK:
        from trainlab.serving.saved_model import load_model

        return load_model(Path(path))


def prepare_image(source: Any, description: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """A picture as a network gets it (an `Intake`), and its pixels x_1CHW. Raises RequestError."""
    from trainlab.serving.predict import pixels_as_tensor, preprocess_for_network

    taken = preprocess_for_network(source, description, name)
    return taken, pixels_as_tensor(taken)


def test_images(settings: RunSettings) -> tuple[Any, Any, tuple[str, ...]]:
    """Test images x_NHWC (uint8), their labels y_N and the names of the classes, of a run's own data.

    Raises RequestError where they are not there.
    """
    return _load_test_images(settings)[:3]


def data_mismatch(settings: RunSettings) -> str | None:
    """That the data that are there are not those of the run; None where they are. Raises RequestError."""
    return _load_test_images(settings)[3]


@st.cache_resource(max_entries=MAX_MODELS, show_spinner="The test images are being read …")
def _load_test_images(settings: RunSettings) -> tuple[Any, Any, tuple[str, ...], str | None]:
    with _LOCK:
        data = load_data(settings)
        change = describe_data_change(settings, data)
    return data.test.x_NHWC[data.test.index], data.test.labels_N, data.classes, change


def use_one_thread() -> None:
    """One thread for torch from here on: a run may be training beside it, and threads that wait spin."""
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@st.cache_data(max_entries=MAX_ANSWERS, show_spinner=False)
def retry_command(settings: Settings, change: str, runs: Path) -> str:
    """The command that makes a run with a change, into a folder of runs. Raises RequestError."""
    from trainlab.config.command_line import command_line_for_run

    with _LOCK:
        return command_line_for_run(settings, change, runs)


def image_to_batch(image_HWC: Any) -> Any:
    """One image (uint8) as a network takes it, x_1CHW."""
    import torch

    return torch.from_numpy(image_HWC).permute(2, 0, 1)[None]


def top_errors(folder: Path, judged: int) -> tuple[list[Any], int, Any]:
    """The worst mistakes among the first test images, how many were looked at, and these images x_NHWC.

    Raises RequestError: no checkpoint, or no data.
    """
    model, description = load_trained(folder)
    images_NHWC, labels_N, _ = test_images(description["settings"])
    stamp = max(path.stat().st_mtime_ns for path in (folder / "checkpoints").glob("*.ckpt"))
    found = _top_errors(str(folder), stamp, judged, model, images_NHWC, labels_N)
    return found, min(judged, len(images_NHWC)), images_NHWC


@st.cache_resource(max_entries=MAX_MODELS * 4, show_spinner="The test images are being judged …")
def _top_errors(folder: str, stamp: int, judged: int, _model: Any, _images: Any, _labels: Any) -> list[Any]:
    from trainlab.serving.evaluate import top_errors

    return top_errors(_model, _images[:judged], _labels[:judged])
