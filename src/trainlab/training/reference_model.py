"""How well simple models classify a run's images: what it could have learned, and whether there is anything
to
learn.

Ridge regressions on pixels, linear and with a kernel, fitted to some of the run's own training images. They
are fitted once for a data set, split and input normalization, and cached beside the decoded images. No run
depends on them: where they cannot be fitted they are left out, with a warning.

Legend: N images, D features, K classes."""

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
"""Raised whenever the models change: it is part of the file's name."""

MAX_FIT_IMAGES, MAX_HELD_OUT_IMAGES = 1500, 1000
"""Images that the models are fitted to, and that they are tested on: a second of one processor, once."""

MIN_HELD_OUT_IMAGES = 100
"""Validation images from which on they, and not the test's, say whether the labels follow."""

MAX_SIDE = 16
"""Images are averaged down to at most so many pixels a side."""

RIDGE = 0.1
"""Added to the kernel's diagonal, in units of its mean."""

PERMUTATIONS = 4

MAX_COMPARED_BYTES = 2**30
"""Pixels of a split up to which its images are compared with the other's."""

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
    """The reference of a run's data, from the cache where it is; None, and a warning, where it cannot be
    had."""
    path = _cache_path(settings, images)
    if (known := _read_cached(path)) is not None:
        return known
    try:
        found = fit_reference(settings, images)
    except Exception as error:  # whatever is odd about the data, the run has its result all the same
        log.warning("no reference model for these images (%s: %s)", type(error).__name__, error)
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json_nonfinite.dumps(found))
    except OSError as error:
        log.warning("the reference model's result is not kept: %s", error)
    return found


def _read_cached(path: Path) -> dict[str, Json] | None:
    try:
        known = json_nonfinite.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _cache_path(settings: Settings, images: ImageData) -> Path:
    decides = {
        "fingerprint": images.fingerprint,
        "cut": {name: getattr(settings.data, name) for name in SPLIT_SETTINGS},
        "normalization": settings.normalization.to_plain(),
    }
    text = json.dumps(decides, sort_keys=True, default=str)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return Path(settings.paths.cache) / "references" / f"{key}-v{REFERENCE_VERSION}.json"


@torch.no_grad()
def fit_reference(settings: Settings, images: ImageData) -> dict[str, Json]:
    """Fits and tests the models.

    accuracy: the linear model's, on test images. best_accuracy, permuted_accuracy: the better model's on
    `held_images` images of the training's kind, by the labels and by permuted ones. images: what they were
    fitted to. test_in_training: share of the test images that are training images too, to the pixel.
    rarest_…: the rarest class of the training images.
    """
    normalize = instantiate(settings.normalization, NORMALIZATION)(mean_C=images.mean_C, std_C=images.std_C)
    train = _spread_sample(images.train, MAX_FIT_IMAGES)
    test = _spread_sample(images.test, MAX_HELD_OUT_IMAGES)
    held = _spread_sample(images.val, MAX_HELD_OUT_IMAGES) if len(images.val) >= MIN_HELD_OUT_IMAGES else test
    x_ND, held_ND, test_ND = (_features(split, normalize) for split in (train, held, test))
    mean_D, size = x_ND.mean(0), x_ND.std().clamp(min=1e-12)
    x_ND, held_ND, test_ND = ((x - mean_D) / size for x in (x_ND, held_ND, test_ND))
    y_N, held_y_N, test_y_N = (torch.from_numpy(split.labels_N) for split in (train, held, test))
    K = images.num_classes
    generator = torch.Generator().manual_seed(0)
    orders = [torch.randperm(len(y_N), generator=generator) for _ in range(PERMUTATIONS)]
    best, chance, linear = 0.0, 0.0, 0.0
    for kernel in (_linear_kernel, _gaussian_kernel):
        weights = _KernelRidge(kernel, x_ND)
        right = weights.accuracy(y_N, K, held_ND, held_y_N)
        permuted = [weights.accuracy(y_N[order], K, held_ND, held_y_N) for order in orders]
        if right >= best:
            best, chance = right, sum(permuted) / len(permuted)
        if kernel is _linear_kernel:
            linear = weights.accuracy(y_N, K, test_ND, test_y_N)
    return {
        "model": "ridge regression on pixels",
        "accuracy": linear,
        "best_accuracy": best,
        "permuted_accuracy": chance,
        "images": len(train),
        "held_images": len(held),
        "test_images": len(test),
        "classes": K,
        **_rarest_class(images),
        **_test_in_training(images),
    }


def _spread_sample(split: Split, most: int) -> Split:
    """At most so many of a split's images, evenly spread."""
    rows = np.linspace(0, len(split) - 1, min(most, len(split))).round().astype(np.int64)
    return Split(split.x_NHWC, split.y_N, split.index[rows])


def _features(split: Split, normalize: torch.nn.Module) -> Tensor:
    x_NCHW = normalize(torch.from_numpy(split.x_NHWC[split.index]).permute(0, 3, 1, 2).contiguous())
    height, width = (min(MAX_SIDE, length) for length in x_NCHW.shape[2:])
    return F.adaptive_avg_pool2d(x_NCHW, (height, width)).flatten(1)


def _linear_kernel(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    return a_ND @ b_MD.T / a_ND.shape[1]


def _gaussian_kernel(a_ND: Tensor, b_MD: Tensor) -> Tensor:
    """exp(−|a − b|² / 2D): pixels have unit variance, so that the images' median distance is about √(2D)."""
    return torch.exp(-torch.cdist(a_ND, b_MD).square() / (2 * a_ND.shape[1]))


class _KernelRidge:
    """Ridge regression in its dual form, on centred one-hot labels: f(x) = k(x, X) (K + λ)⁻¹ (Y − ȳ) + ȳ."""

    def __init__(self, kernel: Callable[[Tensor, Tensor], Tensor], x_ND: Tensor) -> None:
        self.kernel, self.x_ND = kernel, x_ND
        kernel_NN = kernel(x_ND, x_ND)
        ridge = RIDGE * kernel_NN.diagonal().mean().clamp(min=1e-12)
        self.factor_NN = torch.linalg.cholesky(kernel_NN + ridge * torch.eye(len(x_ND)))

    def accuracy(self, y_N: Tensor, classes: int, x_MD: Tensor, y_M: Tensor) -> float:
        """Share of the images x_MD that are classified rightly, fitted to the labels y_N."""
        one_hot_NK = F.one_hot(y_N, classes).float()
        shares_K = one_hot_NK.mean(0)
        weights_NK = torch.cholesky_solve(one_hot_NK - shares_K, self.factor_NN)
        answers_M = (self.kernel(x_MD, self.x_ND) @ weights_NK + shares_K).argmax(1)
        return float((answers_M == y_M).double().mean())


def _rarest_class(images: ImageData) -> dict[str, Json]:
    counts_K = np.bincount(images.train.labels_N, minlength=images.num_classes)
    rarest = int(counts_K.argmin())
    share = float(counts_K[rarest] / counts_K.sum())
    return {"rarest_class": rarest, "rarest_share": share, "rarest_name": images.classes[rarest]}


def _test_in_training(images: ImageData) -> dict[str, float]:
    """The share of test images that are training images; nothing where the pixels are too many to compare."""
    train, test = images.train, images.test
    if max(len(split) * split.x_NHWC[0].nbytes for split in (train, test)) > MAX_COMPARED_BYTES:
        return {}
    known = {hash(train.x_NHWC[row].tobytes()) for row in train.index}
    found = sum(hash(test.x_NHWC[row].tobytes()) in known for row in test.index)
    return {"test_in_training": found / len(test)}
