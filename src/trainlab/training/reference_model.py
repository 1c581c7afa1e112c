"""How well simple models classify a run's images: a baseline, and a test whether the labels can be learned.

The models are ridge regressions on pixels, one linear and one with a Gaussian kernel, fitted to a sample of
the run's training images. They are fitted once for each data set, split and input normalization, and cached
beside the decoded images. No run depends on them: if they cannot be fitted, there is only a warning.

Legend: N images, D features, K classes.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.data import ImageData
from trainlab.data.images import Split
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import NORMALIZATION
from trainlab.json_types import Json
from trainlab.runs import json_nonfinite
from trainlab.runs.safe_files import write_atomically
from trainlab.settings import Settings

log = logging.getLogger(__name__)

REFERENCE_VERSION = 1
"""To be raised whenever the models change; it is part of the name of the cache file."""

MAX_FIT_IMAGES, MAX_HELD_OUT_IMAGES = 1500, 1000
"""Largest samples that the models are fitted to and tested on; a fit then takes a second of CPU time."""

MIN_HELD_OUT_IMAGES = 100
"""With fewer validation images, test images are used to compare true and permuted labels."""

MAX_SIDE = 16
"""Images are downsampled by averaging to at most so many pixels a side."""

RIDGE = 0.1
"""Added to the diagonal of the kernel matrix, as a fraction of its mean."""

PERMUTATIONS = 4

MAX_COMPARED_BYTES = 2**30
"""Largest size of a split for which test images are searched for among the training images."""

SPLIT_SETTINGS = (
    "image_size",
    "channels",
    "num_classes",
    "val_size",
    "train_size",
    "test_size",
    "split_seed",
)


def load_or_fit_reference(settings: Settings, images: ImageData) -> dict[str, Json] | None:
    """The reference of a run's data, cached if possible; None, and a warning, if it cannot be fitted."""
    path = _cache_path(settings, images)
    if (cached := _read_cached(path)) is not None:
        return cached
    try:
        reference = fit_reference(settings, images)
    except Exception as error:  # a run must not fail because its data have no reference
        log.warning("no reference model for these images (%s: %s)", type(error).__name__, error)
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json_nonfinite.dumps(reference))
    except OSError as error:
        log.warning("the reference model's result is not kept: %s", error)
    return reference


def _read_cached(path: Path) -> dict[str, Json] | None:
    try:
        cached = json_nonfinite.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return cached if isinstance(cached, dict) else None


def _cache_path(settings: Settings, images: ImageData) -> Path:
    key_parts = {
        "fingerprint": images.fingerprint,
        "cut": {name: getattr(settings.data, name) for name in SPLIT_SETTINGS},
        **_alterations(settings),
        "normalization": settings.normalization.to_plain(),
    }
    text = json.dumps(key_parts, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Path(settings.paths.cache) / "references" / f"{key}-v{REFERENCE_VERSION}.json"


def _alterations(settings: Settings) -> dict[str, Json]:
    """What changes the images or labels, where it is set: names of older files stay as they are."""
    data = settings.data
    order: dict[str, Json] = {} if data.permute_pixels is None else {"permute_pixels": data.permute_pixels}
    return order | ({"label_noise": data.label_noise} if data.label_noise else {})


@torch.no_grad()
def fit_reference(settings: Settings, images: ImageData) -> dict[str, Json]:
    """Fits and tests the models.

    Keys of the result:
        accuracy: of the linear model, on test images.
        best_accuracy, permuted_accuracy: of the better model on `held_images` held-out images, when it is
            fitted to the true labels and to permuted ones.
        images: number of training images that the models were fitted to.
        test_in_training: share of the test images of which an exact copy is among the training images.
        rarest_…: the rarest class of the training images.
    """
    normalize = instantiate(settings.normalization, NORMALIZATION)(mean_C=images.mean_C, std_C=images.std_C)
    train = _spread_sample(images.train, MAX_FIT_IMAGES)
    test = _spread_sample(images.test, MAX_HELD_OUT_IMAGES)
    held_out = (
        _spread_sample(images.val, MAX_HELD_OUT_IMAGES) if len(images.val) >= MIN_HELD_OUT_IMAGES else test
    )
    x_ND, held_ND, test_ND = (_features(split, normalize) for split in (train, held_out, test))
    mean_D, scale = x_ND.mean(0), x_ND.std().clamp(min=1e-12)
    x_ND, held_ND, test_ND = ((x - mean_D) / scale for x in (x_ND, held_ND, test_ND))
    y_N, held_y_N, test_y_N = (torch.from_numpy(split.labels_N) for split in (train, held_out, test))
    K = images.num_classes
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(y_N), generator=generator) for _ in range(PERMUTATIONS)]
    best, chance, linear = 0.0, 0.0, 0.0
    for kernel in (_linear_kernel, _gaussian_kernel):
        model = _KernelRidge(kernel, x_ND)
        accuracy = model.accuracy(y_N, K, held_ND, held_y_N)
        permuted = [model.accuracy(y_N[order], K, held_ND, held_y_N) for order in orders]
        if accuracy >= best:
            best, chance = accuracy, sum(permuted) / len(permuted)
        if kernel is _linear_kernel:
            linear = model.accuracy(y_N, K, test_ND, test_y_N)
    return {
        "model": "ridge regression on pixels",
        "accuracy": linear,
        "best_accuracy": best,
        "permuted_accuracy": chance,
        "images": len(train),
        "held_images": len(held_out),
        "test_images": len(test),
        "classes": K,
        **_rarest_class(images),
        **_test_in_training(images),
    }


def _spread_sample(split: Split, most: int) -> Split:
    """At most `most` of a split's images, evenly spaced."""
    rows = np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(np.int64)
    return Split(split.x_NHWC, split.y_N, split.index[rows])


def _features(split: Split, normalize: torch.nn.Module) -> Tensor:
    x_NCHW = normalize(torch.from_numpy(split.x_NHWC[split.index]).permute(0, 3, 1, 2).contiguous())
    height, width = (min(MAX_SIDE, length) for length in x_NCHW.shape[2:])
    return F.adaptive_avg_pool2d(x_NCHW, (height, width)).flatten(1)


def _linear_kernel(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    return a_ND @ b_MD.T / a_ND.shape[1]


def _gaussian_kernel(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """exp(−|a − b|² / 2D). Pixels have unit variance, so the median distance of two images is about √(2D)."""
    return torch.exp(-torch.cdist(a_ND, b_MD).square() / (2 * a_ND.shape[1]))


class _KernelRidge:
    """Ridge regression in its dual form, on centred one-hot labels: f(x) = k(x, X) (K + λ)⁻¹ (Y − ȳ) + ȳ."""

    def __init__(self, kernel: Callable[[Tensor, Tensor], Tensor], x_ND: Tensor) -> None:
        self.kernel, self.x_ND = kernel, x_ND
        kernel_NN = kernel(x_ND, x_ND)
        ridge = RIDGE * kernel_NN.diagonal().mean().clamp(min=1e-12)
        self.factor_NN = torch.linalg.cholesky(kernel_NN + ridge * torch.eye(len(x_ND)))

    def accuracy(self, y_N: Tensor, classes: int, x_MD: Tensor, y_M: Tensor) -> float:
        """Share of the images x_MD that the model, fitted to the labels y_N, classifies correctly."""
        one_hot_NK = F.one_hot(y_N, classes).float()
        shares_K = one_hot_NK.mean(0)
        weights_NK = torch.cholesky_solve(one_hot_NK - shares_K, self.factor_NN)
        predictions_M = (self.kernel(x_MD, self.x_ND) @ weights_NK + shares_K).argmax(1)
        return float((predictions_M == y_M).double().mean())


def _rarest_class(images: ImageData) -> dict[str, Json]:
    counts_K = np.bincount(images.train.labels_N, minlength=images.num_classes)
    rarest = int(counts_K.argmin())
    share = float(counts_K[rarest] / counts_K.sum())
    return {"rarest_class": rarest, "rarest_share": share, "rarest_name": images.classes[rarest]}


def _test_in_training(images: ImageData) -> dict[str, float]:
    """The share of test images that are training images; empty where there are too many pixels to compare."""
    train, test = images.train, images.test
    if max(len(split) * split.x_NHWC[0].nbytes for split in (train, test)) > MAX_COMPARED_BYTES:
        return {}
    train_hashes = {hash(train.x_NHWC[row].tobytes()) for row in train.index}
    duplicates = sum(hash(test.x_NHWC[row].tobytes()) in train_hashes for row in test.index)
    return {"test_in_training": duplicates / len(test)}
