"""What the pages ask of torch, one at a time: settings, theory, layer tables, trained networks.

Several people may look at once, each in a thread of the server; Hydra has one configuration at a time and
torch one random state, so what uses them waits for its turn. Nothing here imports torch before it is called.
What has been answered is kept, within bounds.
"""

import functools
import math
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from trainlab.errors import RequestError

if TYPE_CHECKING:
    from trainlab.config.bulk import BulkComposer

_TURN = threading.RLock()
KEPT = 256
MODELS_KEPT = 4
LOADING = "PyTorch is being loaded (once, some seconds) …"


@st.cache_data(max_entries=KEPT, show_spinner=False)
def settings_of(overrides: tuple[str, ...]) -> dict[str, Any]:
    """The frozen settings of a run. Raises RequestError."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from trainlab.build import own
    from trainlab.config.composition import one_line
    from trainlab.config.overrides import as_hydra_reads

    with _TURN:
        try:
            words = as_hydra_reads(overrides)
            return own(_composer().compose(OverridesParser.create().parse_overrides(words)))
        except HydraException as error:
            raise RequestError(one_line(error)) from None


@functools.cache
def _composer() -> "BulkComposer":
    """One for all views: a control that is moved asks for one option more, not for a whole composition."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from trainlab.config.bulk import BulkComposer
    from trainlab.config.options import package_conf

    GlobalHydra.instance().clear()
    with initialize_config_dir(str(package_conf()), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        return BulkComposer(loader)


@st.cache_data(max_entries=KEPT, show_spinner=LOADING)
def theory_of(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What mean-field theory says of a run, as plain values; None where the network is no chain.

    Raises RequestError.
    """
    with _TURN:
        one_thread()
        from trainlab.training.preflight import theory_of_run

        return theory_of_run(settings)


@st.cache_data(max_entries=KEPT, show_spinner=LOADING)
def layer_table(settings: Mapping[str, Any], in_shape_CHW: tuple[int, int, int]) -> list[dict[str, Any]]:
    """The rows of `models.anatomy` as plain values. Raises RequestError."""
    with _TURN:
        import torch

        from trainlab.models import anatomy
        from trainlab.training import assemble

        with torch.device("meta"):
            network = assemble.network(settings, in_shape_CHW, settings["data"]["num_classes"])
        return [asdict(row) for row in anatomy(network, in_shape_CHW)]


@st.cache_data(max_entries=KEPT, show_spinner=LOADING)
def three_ways(in_shape_CHW: tuple[int, int, int], maps: int, kernel: int) -> list[dict[str, Any]]:
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
    return [asdict(anatomy(layer, in_shape_CHW)[-1]) | {"out_shape": out_shape} for layer in layers]


def trained(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The network of a run in eval mode and its description; of two checkpoints the best one's.

    Raises RequestError: no checkpoint, or one that is corrupt, not ours or of another version.
    """
    paths = [folder / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise RequestError(f"run {folder.name} has no checkpoint")
    stat = path.stat()
    return _loaded(str(path), stat.st_mtime_ns, stat.st_size)


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner=LOADING)
def _loaded(path: str, written_ns: int, size: int) -> tuple[Any, dict[str, Any]]:
    with _TURN:
        from trainlab.training.checkpoint import load_model

        return load_model(Path(path))


def taken_in(source: Any, description: Mapping[str, Any], name: str) -> tuple[Any, Any]:
    """A picture as a network gets it (an `Intake`), and its pixels x_1CHW. Raises RequestError."""
    from trainlab.training.inference import pixels_of, take_in_for

    taken = take_in_for(source, description, name)
    return taken, pixels_of(taken)


def test_images(settings: Mapping[str, Any]) -> tuple[Any, Any, tuple[str, ...]]:
    """Test images x_NHWC (uint8), their labels y_N and the names of the classes, of a run's own data.

    Raises RequestError where they are not there.
    """
    return _test_images(settings)[:3]


def change_of_data(settings: Mapping[str, Any]) -> str | None:
    """That the data that are there are not those of the run; None where they are. Raises RequestError."""
    return _test_images(settings)[3]


@st.cache_resource(max_entries=MODELS_KEPT, show_spinner="The test images are being read …")
def _test_images(settings: Mapping[str, Any]) -> tuple[Any, Any, tuple[str, ...], str | None]:
    with _TURN:
        from trainlab.training import assemble

        data = assemble.images(settings)
        change = assemble.change_of_data(settings, data)
    return data.test.x_NHWC[data.test.index], data.test.labels_N, data.classes, change


def one_thread() -> None:
    """One thread for torch from here on: a run may be training beside it, and threads that wait spin."""
    import torch

    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@st.cache_data(max_entries=KEPT, show_spinner=False)
def command_of(settings: Mapping[str, Any], change: str, runs: Path) -> str:
    """The command that makes a run with a change, into a folder of runs. Raises RequestError."""
    from trainlab.config.command import command

    with _TURN:
        return command(settings, change, runs)


def batch_of(image_HWC: Any) -> Any:
    """One image (uint8) as a network takes it, x_1CHW."""
    import torch

    return torch.from_numpy(image_HWC).permute(2, 0, 1)[None]


def worst_mistakes(folder: Path, judged: int) -> tuple[list[Any], int, Any]:
    """The worst mistakes among the first test images, how many were looked at, and these images x_NHWC.

    Raises RequestError: no checkpoint, or no data.
    """
    model, description = trained(folder)
    images_NHWC, labels_N, _ = test_images(description["settings"])
    stamp = max(path.stat().st_mtime_ns for path in (folder / "checkpoints").glob("*.ckpt"))
    found = _mistakes(str(folder), stamp, judged, model, images_NHWC, labels_N)
    return found, min(judged, len(images_NHWC)), images_NHWC


@st.cache_resource(max_entries=MODELS_KEPT * 4, show_spinner="The test images are being judged …")
def _mistakes(folder: str, stamp: int, judged: int, _model: Any, _images: Any, _labels: Any) -> list[Any]:
    from trainlab.training.mistakes import worst

    return worst(_model, _images[:judged], _labels[:judged])
