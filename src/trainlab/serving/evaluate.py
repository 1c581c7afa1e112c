"""How well a saved run's network does on its own data, and the images that it gets most confidently wrong."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from trainlab.build.data import describe_data_change, load_data
from trainlab.data import Split
from trainlab.data.loader import BatchLoader
from trainlab.errors import RequestError
from trainlab.settings import RunSettings

log = logging.getLogger(__name__)


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    settings: RunSettings,
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
    images = load_data(settings, data_folder, cache)
    if change := describe_data_change(settings, images):
        warn(change)
    metrics = {}
    for name, split in (("val", images.val), ("test", images.test)):
        loss, accuracy = _loss_and_accuracy(model, split, batch_size)
        metrics |= {f"{name}/loss": loss, f"{name}/acc": accuracy}
    return metrics


def _loss_and_accuracy(model: nn.Module, split: Split, batch_size: int) -> tuple[float, float]:
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


ERRORS_BATCH_SIZE = 256


class Misclassified(NamedTuple):
    """An image by its place, its class, what it was taken for, and the probabilities of both."""

    index: int
    true: int
    predicted: int
    p_predicted: float
    p_true: float


@torch.inference_mode()
def top_errors(model: nn.Module, x_NHWC: np.ndarray, y_N: np.ndarray, most: int = 24) -> list[Misclassified]:
    """The wrong predictions of a model (pixels x_NCHW 0..255 → logits_NK), the surest first."""
    found: list[Misclassified] = []
    for start in range(0, len(x_NHWC), ERRORS_BATCH_SIZE):
        x_NCHW = torch.from_numpy(np.array(x_NHWC[start : start + ERRORS_BATCH_SIZE])).permute(0, 3, 1, 2)
        true_N = torch.as_tensor(np.array(y_N[start : start + ERRORS_BATCH_SIZE]))
        p_NK = model(x_NCHW).float().softmax(dim=1)
        sure_N, predicted_N = p_NK.max(dim=1)
        for i in torch.nonzero(predicted_N != true_N).flatten().tolist():
            true, predicted = int(true_N[i]), int(predicted_N[i])
            found.append(Misclassified(start + i, true, predicted, float(sure_N[i]), float(p_NK[i, true])))
    return sorted(found, key=lambda mistake: -mistake.p_predicted)[:most]
