"""scikit-learn's 1,797 handwritten digits (8 × 8, 0..16), embedded, upsampled to 32 × 32.

The set has no official split. Here 36 of each class (360, a fifth) are always the test split and the other
1,437 the training split, cut once with a seed that no setting changes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainlab.data import splits
from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples

SIZE = 32
TEST_IMAGES = 360
SPLIT_SEED = 0
VERSION = 1
"""Raised whenever the pixels or the split change: it is part of the fingerprint."""


@dataclass(frozen=True)
class Digits:
    """The embedded digits."""

    def find(self, root: Path) -> DatasetHandle:
        """Needs no files; `root` is not used."""
        recipe = f"digits {VERSION}: scikit-learn, {SIZE} × {SIZE}, test {TEST_IMAGES} by seed {SPLIT_SEED}"
        return DatasetHandle(copy="embedded", read=_read, recipe=recipe, shape_HWC=(SIZE, SIZE, 1))


def _read() -> Decoded:
    from sklearn.datasets import load_digits  # a second: only where they are decoded

    flat_NP, target_N = load_digits(return_X_y=True)
    y_N = np.asarray(target_N, dtype=np.int64)
    x_NHW = np.stack([upsample(flat.reshape(8, 8)) for flat in np.asarray(flat_NP)])
    test, train = splits.balanced(y_N, TEST_IMAGES, splits.rng(SPLIT_SEED, "test"))
    return Decoded(Examples(x_NHW[train], y_N[train]), Examples(x_NHW[test], y_N[test]), tuple("0123456789"))


def upsample(image_HW: np.ndarray) -> np.ndarray:
    """8 × 8 of 0..16 to SIZE × SIZE of 0..255, bilinear, rounded."""
    large = Image.fromarray(image_HW.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.rint(np.asarray(large) * (255 / 16)).astype(np.uint8)
