"""Distribution shifts: what a trained network sees, changed in a named way, and its accuracy then.

Changed are the images, the statistics that normalize them, or the mode or the statistics of BatchNorm.

Legend: N images, C channels, H × W pixels; pixels 0..255. `brightness` and `contrast` are not clipped to
0..255: a claim on a·x + b is about a·x + b. `clipped_brightness` and `clipped_contrast` are, as in a camera.
"""

import copy
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.claims.sources import ShiftAmount, ShiftMeasures
from trainlab.data.images import Split
from trainlab.data.loader import BatchLoader
from trainlab.data.splits import rng
from trainlab.errors import RequestError
from trainlab.nn.normalization import MAX_PIXEL, with_statistics

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
    if name.startswith("clipped_"):
        change = pixel_shift(name.removeprefix("clipped_"), amount)
        return lambda x_NCHW: [version.round().clamp(0, MAX_PIXEL) for version in change(x_NCHW)]
    if name == "blur":
        return lambda x_NCHW: [blur(x_NCHW, amount)]
    if name == "inversion":
        return lambda x_NCHW: [(1 - amount) * x_NCHW.float() + amount * (MAX_PIXEL - x_NCHW.float())]
    if name == "pixel_scale":
        return lambda x_NCHW: [amount * x_NCHW.float()]
    if name == "translation":
        d = int(amount)
        return lambda x_NCHW: [translate(x_NCHW, *by) for by in ((d, 0), (-d, 0), (0, d), (0, -d))]
    return lambda x_NCHW: [x_NCHW]


def blur(x_NCHW: Tensor, sigma: float) -> Tensor:
    """The images blurred by a Gaussian of `sigma` pixels, cut off at 4 σ; the border continues outwards.

    Raises RequestError where sigma is not above 0.
    """
    if not sigma > 0:
        raise RequestError(f"shift blur: got {sigma:g}, expected more than 0 pixels")
    radius = math.ceil(4 * sigma)
    taps_K = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2))
    taps_K /= taps_K.sum()
    N, C, H, W = x_NCHW.shape
    x_M1HW = F.pad(x_NCHW.float().reshape(N * C, 1, H, W), [radius] * 4, mode="replicate")
    x_M1HW = F.conv2d(F.conv2d(x_M1HW, taps_K.view(1, 1, -1, 1)), taps_K.view(1, 1, 1, -1))
    return x_M1HW.view(N, C, H, W)


def translate(x_NCHW: Tensor, down: int, right: int) -> Tensor:
    """The images moved by whole pixels; what comes in from outside is black."""
    H, W = x_NCHW.shape[-2:]
    top, left = max(down, 0), max(right, 0)
    bottom, far = max(-down, 0), max(-right, 0)
    padded = F.pad(x_NCHW, (left, far, top, bottom))
    return padded[..., bottom : bottom + H, far : far + W]


def model_shift(
    model: nn.Module, name: str, amount: ShiftAmount, train: Split, batch_size: int
) -> tuple[nn.Module, int]:
    """The model with which a shift is measured, and the batch size; the model itself is left as it is.

    train, batch_size: what statistics are recalibrated on, in batches as in training.

    Raises:
        RequestError: statistics for a normalization that uses none, statistics of BatchNorm without one, more
            images than there are.
    """
    if isinstance(amount, Mapping):
        return with_statistics(model, [amount["mean"]], [amount["std"]]), EVALUATION_BATCH_SIZE
    if name == "batch_statistics":
        model, layers = _copy_with_batchnorms(model, name)
        for layer in layers:
            layer.train()
        return model, int(amount)
    if name == "recalibrated_statistics":
        return recalibrated(model, train, int(amount), batch_size), EVALUATION_BATCH_SIZE
    return model, EVALUATION_BATCH_SIZE


@torch.no_grad()
def recalibrated(model: nn.Module, train: Split, images: int, batch_size: int) -> nn.Module:
    """A copy in which each BatchNorm has the mean of the statistics of batches of training images.

    The cumulative average over whole batches of `images` images of the training split, drawn once and not
    augmented; no weight is changed. Raises RequestError without BatchNorm, or for more images than there are.
    """
    if not 2 <= images <= len(train):
        raise RequestError(
            f"shift recalibrated_statistics: got {images:,} images, expected 2 to {len(train):,}, "
            "the training split"
        )
    model, layers = _copy_with_batchnorms(model, "recalibrated_statistics")
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch: the cumulative average
        layer.train()
    chosen = Split(train.x_NHWC, train.y_N, rng(0, "recalibration").permutation(train.index)[:images])
    for x_NCHW, _ in BatchLoader(chosen, min(batch_size, images), drop_last=True):
        model(x_NCHW)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()
    return model


def _copy_with_batchnorms(model: nn.Module, name: str) -> tuple[nn.Module, list[_BatchNorm]]:
    copied = copy.deepcopy(model)
    layers = [module for module in copied.modules() if isinstance(module, _BatchNorm)]
    if not layers:
        raise RequestError(f"shift {name}: the network has no BatchNorm")
    return copied, layers


@torch.inference_mode()
def measure_shift(
    model: nn.Module,
    x_NCHW: Tensor,
    y_N: Tensor,
    name: str,
    amount: ShiftAmount,
    clean_N: Tensor,
    train: Split,
    batch_size: int,
) -> ShiftMeasures:
    """Accuracy, loss (nats) and agreement with the predictions `clean_N` under a shift, over all images.

    train, batch_size: of the run (see `model_shift`).
    """
    shift_pixels = pixel_shift(name, 0.0 if isinstance(amount, Mapping) else amount)
    model, batch_size = model_shift(model, name, amount, train, batch_size)
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
