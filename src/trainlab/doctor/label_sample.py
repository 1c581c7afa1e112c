"""Do the labels follow from the images? A classifier on images of all measured batches at once.

In the loop images are only put aside, a few of a batch. The classifier is that of `signals.label_probe`.

Legend: N images, D features.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainlab.signals.label_probe import probe_labels

MOST_OF_A_BATCH, MOST_IMAGES = 64, 512
"""Images that are put aside of a batch, and in all: the classifier's cost grows with their third power."""

FEWEST_IMAGES = 128
"""Images before which the classifier says nothing."""

MOST_PIXELS_A_SIDE = 16
"""Of an image every so many-th pixel is taken, so that no more are left a side."""


def thinned_pixels(x: Tensor) -> Tensor:
    """x_ND float32: evenly spaced pixels of the first images of a batch, copied."""
    x = x[:MOST_OF_A_BATCH].detach()
    if x.dim() == 4:
        rows, columns = (max(1, -(-side // MOST_PIXELS_A_SIDE)) for side in x.shape[2:])
        x = x[:, :, ::rows, ::columns]
    return x.flatten(1).to(torch.float32, copy=True)


@dataclass
class LabelSample:
    """Images and labels of the measured batches, up to MOST_IMAGES."""

    classes: int = 0
    _x: list[Tensor] = field(default_factory=list)
    _y: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(y_N) for y_N in self._y)

    def add(self, x_ND: Tensor, y_N: Tensor, classes: int) -> None:
        """The images of a batch, with their labels; images of another size than the first are left out."""
        if len(self) >= MOST_IMAGES or (self._x and self._x[0].shape[1] != x_ND.shape[1]):
            return
        images = min(len(x_ND), len(y_N))
        self.classes = max(self.classes, classes)
        self._x.append(x_ND[:images].cpu())
        self._y.append(y_N[:images].cpu())

    @torch.no_grad()
    def probe(self) -> dict[str, float]:
        """probe_images, probe_accuracy and probe_permuted (`signals.catalogue`); nothing of too few."""
        if len(self) < FEWEST_IMAGES:
            return {}
        x_ND, y_N = torch.cat(self._x), torch.cat(self._y)
        x_ND = (x_ND - x_ND.mean(0)) / x_ND.std(0, correction=0).clamp(min=1e-12)
        if not bool(x_ND.isfinite().all()):
            return {}
        right, permuted = probe_labels(x_ND, y_N, self.classes)
        return {
            "probe_images": float(len(y_N)),
            "probe_accuracy": float(right),
            "probe_permuted": float(permuted),
        }
