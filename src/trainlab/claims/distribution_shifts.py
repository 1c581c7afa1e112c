"""Distribution shifts: what a trained network sees, changed in a named way, and its accuracy then.

Changed are the images, the statistics that normalize them, or the mode of BatchNorm.

Legend: N images, C channels, H × W pixels; pixels 0..255. Brightness and contrast are not clipped to 0..255,
as a camera would: a claim on a·x + b is about a·x + b.
"""

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.claims.sources import ShiftAmount, ShiftMeasures
from trainlab.errors import RequestError
from trainlab.nn.normalization import with_statistics

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


def model_shift(model: nn.Module, name: str, amount: ShiftAmount) -> tuple[nn.Module, int]:
    """The model with which a shift is measured, and the batch size; the model itself is left as it is.

    Raises:
        RequestError: statistics for a normalization that uses none, or batch statistics without BatchNorm.
    """
    if isinstance(amount, Mapping):
        return with_statistics(model, [amount["mean"]], [amount["std"]]), EVALUATION_BATCH_SIZE
    if name == "batch_statistics":
        model = copy.deepcopy(model)
        layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        if not layers:
            raise RequestError("shift batch_statistics: the network has no BatchNorm")
        for layer in layers:
            layer.train()
        return model, int(amount)
    return model, EVALUATION_BATCH_SIZE


@torch.inference_mode()
def measure_shift(
    model: nn.Module, x_NCHW: Tensor, y_N: Tensor, name: str, amount: ShiftAmount, clean_N: Tensor
) -> ShiftMeasures:
    """Accuracy, loss (nats) and agreement with the predictions `clean_N` under a shift, over all images."""
    shift_pixels = pixel_shift(name, 0.0 if isinstance(amount, Mapping) else amount)
    model, batch_size = model_shift(model, name, amount)
    correct = agreeing = seen = 0
    loss = 0.0
    for start in range(0, len(x_NCHW), batch_size):
        part = slice(start, start + batch_size)
        for version_NCHW in shift_pixels(x_NCHW[part]):
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
