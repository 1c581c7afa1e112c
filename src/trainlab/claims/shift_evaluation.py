"""A trained network evaluated under distribution shifts: changed images, input statistics or BatchNorm mode.

Legend: N images, C channels, H × W pixels; pixels 0..255. Brightness and contrast are not clipped to 0..255,
as a camera would: a claim on a·x + b is about a·x + b."""

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.build.data import describe_data_change, load_data
from trainlab.data.loader import BatchLoader
from trainlab.errors import RequestError
from trainlab.nn.normalization import with_statistics
from trainlab.runs.safe_files import read_bounded, write_atomically
from trainlab.serving.saved_model import load_run_model

Evaluations = dict[str, dict[str, dict[str, float]]]
"""By run folder and by shift (as JSON): accuracy, loss, agreement."""

MID_GREY = 127.5
EVALUATION_BATCH_SIZE = 512

PixelShift = Callable[[Tensor], list[Tensor]]
"""Pixels x_NCHW become one or several versions of them, over which accuracy is averaged."""


def pixel_shift(name: str, amount: float) -> PixelShift:
    """The change of pixels of an image shift; the identity for a shift of the model."""
    if name == "brightness":
        return lambda x_NCHW: [x_NCHW.float() + amount]
    if name == "contrast":
        return lambda x_NCHW: [MID_GREY + amount * (x_NCHW.float() - MID_GREY)]
    if name == "translation":
        d = int(amount)
        return lambda x_NCHW: [translate(x_NCHW, *by) for by in ((d, 0), (-d, 0), (0, d), (0, -d))]
    return lambda x_NCHW: [x_NCHW]


def translate(x_NCHW: Tensor, down: int, right: int) -> Tensor:
    """The images moved by whole pixels; what comes in from outside is black."""
    H, W = x_NCHW.shape[-2:]
    top, left = max(down, 0), max(right, 0)
    bottom, far = max(-down, 0), max(-right, 0)
    padded = F.pad(x_NCHW, (left, far, top, bottom))
    return padded[..., bottom : bottom + H, far : far + W]


def model_shift(model: nn.Module, name: str, amount: object) -> tuple[nn.Module, int]:
    """The model with which a shift is measured, and the batch size; the model itself is left as it is.

    Raises:
        RequestError: statistics for a normalization that uses none, or batch statistics without BatchNorm.
    """
    if name == "statistics":
        return with_statistics(model, [amount["mean"]], [amount["std"]]), EVALUATION_BATCH_SIZE  # type: ignore
    if name == "batch_statistics":
        model = copy.deepcopy(model)
        layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if not layers:
            raise RequestError("shift batch_statistics: the network has no BatchNorm")
        for layer in layers:
            layer.train()
        return model, int(amount)  # type: ignore[call-overload]
    return model, EVALUATION_BATCH_SIZE


@torch.inference_mode()
def measure_shift(
    model: nn.Module, x_NCHW: Tensor, y_N: Tensor, name: str, amount: object, clean_N: Tensor
) -> dict[str, float]:
    """Accuracy, loss (nats) and agreement with the predictions `clean_N` under a shift, over all images."""
    images = pixel_shift(name, amount if isinstance(amount, int | float) else 0)
    model, batch_size = model_shift(model, name, amount)
    correct = agreeing = seen = 0
    loss = 0.0
    for start in range(0, len(x_NCHW), batch_size):
        part = slice(start, start + batch_size)
        for version_NCHW in images(x_NCHW[part]):
            logits_NK = model(version_NCHW).float()
            predicted_N = logits_NK.argmax(dim=1)
            correct += int((predicted_N == y_N[part]).sum())
            agreeing += int((predicted_N == clean_N[part]).sum())
            loss += F.cross_entropy(logits_NK, y_N[part], reduction="sum").item()
            seen += len(predicted_N)
    return {"accuracy": correct / seen, "loss": loss / seen, "agreement": agreeing / seen}


@torch.inference_mode()
def predict_classes(model: nn.Module, x_NCHW: Tensor) -> Tensor:
    """The predicted classes of unshifted images."""
    batches = x_NCHW.split(EVALUATION_BATCH_SIZE)
    return torch.cat([model(batch).float().argmax(dim=1) for batch in batches])


CACHE_FILE = "shifts.json"
"""Beside the run's record: what its checkpoint came to under each shift that was asked for."""


def evaluate_shifts(folders: Sequence[str], asked: Sequence[Mapping[str, Any]]) -> Evaluations:
    """For each run folder: {shift as JSON: {accuracy, loss, agreement}}, from its cache where that is new.

    Raises:
        RequestError: a run without its checkpoint, data that have changed, a shift that is not the model's.
    """
    return {folder: _evaluate_run(Path(folder), asked) for folder in folders}


def _evaluate_run(folder: Path, asked: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    keys = {json.dumps(shift, sort_keys=True): shift for shift in asked}
    known = _read_cache(folder)
    missing = {key: shift for key, shift in keys.items() if key not in known}
    if missing:
        known |= _measure_shifts(folder, missing)
        stamp = {"checkpoint": _checkpoint_stamp(folder), "shifts": known}
        write_atomically(folder / CACHE_FILE, json.dumps(stamp, indent=1) + "\n")
    return {key: known[key] for key in keys}


def _measure_shifts(folder: Path, missing: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    model, description = load_run_model(folder)
    images = load_data(description["settings"])
    if change := describe_data_change(description["settings"], images):
        raise RequestError(f"{change}; a claim is of one data set: train its runs again")
    test = images.test
    x_NCHW, y_N = next(iter(BatchLoader(test, len(test))))
    clean_N = predict_classes(model, x_NCHW)
    return {
        key: measure_shift(model, x_NCHW, y_N, *next(iter(shift.items())), clean_N)
        for key, shift in missing.items()
    }


def _read_cache(folder: Path) -> dict[str, dict[str, float]]:
    try:
        stored = json.loads(read_bounded(folder / CACHE_FILE))
        known, stamp = stored["shifts"], stored["checkpoint"]
        is_whole = isinstance(known, dict) and all(_is_evaluation(value) for value in known.values())
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return known if is_whole and stamp == _checkpoint_stamp(folder) else {}


def _is_evaluation(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _checkpoint_stamp(folder: Path) -> int:
    """What changes when the run is trained again."""
    path = folder / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0
