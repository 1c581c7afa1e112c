"""A saved run, used again from its folder alone: metrics, predictions, files for other programs."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainlab.data import Split
from trainlab.data.intake import Intake, take_in
from trainlab.data.loader import BatchLoader
from trainlab.data.pixels import Depth
from trainlab.errors import RequestError
from trainlab.runs.checkpoints import checkpoint_path
from trainlab.training import assemble
from trainlab.training.checkpoint import load_model

log = logging.getLogger(__name__)


def load_run(folder: Path, which: str = "last") -> tuple[nn.Module, dict[str, Any]]:
    """The model of a run in eval mode, pixels x_NCHW → logits_NK, and its description (see `checkpoint`)."""
    return load_model(checkpoint_path(folder, which))


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    settings: Mapping[str, Any],
    data_folder: Path | None = None,
    batch_size: int = 512,
    cache: Path | None = None,
    warn: Callable[[str], None] = log.warning,
) -> dict[str, float]:
    """`val/…` and `test/…` loss (nats) and accuracy (0..1) of a model on its run's own splits.

    `warn` is told where the data are not those of the run any more.

    data_folder, cache: where the data lie and where decoded images are kept, if not where this machine has
    them (or, of the data, where the run had them and they still are).

    Raises:
        RequestError: the data are not there, or have classes that the network does not know.
    """
    images = assemble.images(settings, data_folder, cache)
    if change := assemble.change_of_data(settings, images):
        warn(change)
    metrics = {}
    for name, split in (("val", images.val), ("test", images.test)):
        loss, accuracy = _measure(model, split, batch_size)
        metrics |= {f"{name}/loss": loss, f"{name}/acc": accuracy}
    return metrics


def _measure(model: nn.Module, split: Split, batch_size: int) -> tuple[float, float]:
    loss, correct = 0.0, 0
    for x_NCHW, y_N in BatchLoader(split, batch_size):
        logits_NK = model(x_NCHW).float()
        if int(y_N.max()) >= logits_NK.shape[1]:
            raise RequestError(
                f"the data have a class number {int(y_N.max())} (from 0), the network tells "
                f"{logits_NK.shape[1]} apart: it was trained on other data"
            )
        loss += F.cross_entropy(logits_NK, y_N, reduction="sum").item()
        correct += int((logits_NK.argmax(dim=1) == y_N).sum())
    return loss / len(split), correct / len(split)


def take_in_for(
    source: Path | bytes | np.ndarray, description: Mapping[str, Any], name: str = "the image"
) -> Intake:
    """An image from outside as a saved run's network gets it: see `trainlab.data.intake`.

    A file, an upload's bytes or a drawing. `description` is the checkpoint's.

    Raises:
        RequestError: not an image, too large, too small, transparent throughout.
    """
    channels, height, width = description["in_shape_CHW"]
    data, depth = description["settings"]["data"]["name"], Depth.from_plain(description.get("depth"))
    return take_in(source, data, (height, width, channels), name, depth)


def pixels_of(taken: Intake) -> Tensor:
    """What was taken in, as pixels x_1CHW (uint8)."""
    return torch.from_numpy(np.array(taken.pixels_HWC)).permute(2, 0, 1)[None]


def read_image(
    source: Path | bytes | np.ndarray, description: Mapping[str, Any], name: str = "the image"
) -> tuple[Tensor, tuple[str, ...]]:
    """An image from outside as pixels x_1CHW (uint8) of a saved run's network, and what was done to it.

    Raises:
        RequestError: as `take_in_for`; or there is nothing on it to predict.
    """
    taken = take_in_for(source, description, name)
    if taken.empty:
        raise RequestError(f"{name}: {taken.empty}")
    return pixels_of(taken), taken.said


@torch.inference_mode()
def probabilities(model: nn.Module, x_NCHW: Tensor) -> Tensor:
    """Class probabilities p_NK of pixels."""
    return model(x_NCHW).float().softmax(dim=1)


def export_safetensors(model: nn.Module, description: Mapping[str, Any], path: Path) -> None:
    """Weights and buffers as safetensors, with run id and classes as metadata.

    Raises:
        RequestError: the extra `export` is not installed.
    """
    try:
        from safetensors.torch import save_file
    except ModuleNotFoundError:
        raise _missing_extra("safetensors") from None
    metadata = {"run_id": description["run_id"], "classes": ",".join(map(str, description["classes"]))}
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path, metadata=metadata)


def export_onnx(model: nn.Module, description: Mapping[str, Any], path: Path) -> None:
    """ONNX with input `pixels` (N, C, H, W; uint8, any N) and output `logits` (N, K).

    Raises:
        RequestError: the extra `export` is not installed.
    """
    try:
        import onnx  # noqa: F401 - torch needs both, and fails late without them
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise _missing_extra(str(error.name)) from None
    x_NCHW = torch.zeros(2, *description["in_shape_CHW"], dtype=torch.uint8)
    torch.onnx.export(
        model, (x_NCHW,), path, input_names=["pixels"], output_names=["logits"], dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch")},), external_data=False, verbose=False,
    )  # fmt: skip


def _missing_extra(package: str) -> RequestError:
    return RequestError(f"{package} is not installed; pip install 'trainlab[export]'")
