"""One epoch of a loader, read once and kept small: labels, hashes of images, a sample of the images.

Legend: N images, C channels, H × W pixels, D features, K classes.
"""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset, TensorDataset

from trainlab.doctor.batch_reader import BatchReader, LabelledBatch, is_sized_dataset
from trainlab.signals.label_probe import averaged_pixels

MOST_SAMPLED, MOST_FEATURES = 256, 2000
"""Images that are kept whole, and as averaged pixels."""

MOST_SAMPLED_BYTES = 2**26
HASH_STEPS, HASH_OFFSET = 1000, 0.31415
"""Levels that an image's values are rounded to for its hash; and where between two of them it is cut."""


@dataclass
class LoaderEpoch:
    """What an epoch held. `name` is what it is called in messages: training or test.

    labels: y_N of whole numbers, None where the targets are something else. digests: a hash of each image
    that is the same at any normalization, None of a blank one. is_whole: the epoch ended before the limit.
    """

    name: str
    reader: BatchReader
    sizes: list[int] = field(default_factory=list)
    digests: list[bytes | None] = field(default_factory=list)
    not_finite: int = 0
    first_not_finite: int | None = None
    blank: int = 0
    first_blank: int | None = None
    is_whole: bool = True
    first_batch: LabelledBatch | None = None
    _labels: list[Tensor] = field(default_factory=list)
    _sample: list[Tensor] = field(default_factory=list)
    _features: list[Tensor] = field(default_factory=list)
    _feature_labels: list[Tensor] = field(default_factory=list)

    @classmethod
    def read(cls, name: str, reader: BatchReader, limit: int) -> "LoaderEpoch":
        """Reads up to `limit` images. Raises RequestError where there are none, or they cannot be read."""
        epoch = cls(name, reader)
        for batch in reader:
            if epoch.first_batch is None:
                epoch.first_batch = batch
            if sum(epoch.sizes) >= limit:
                epoch.is_whole = False
                break
            epoch._add(batch)
        if epoch.first_batch is None:
            raise reader.empty_error()
        return epoch

    def _add(self, batch: LabelledBatch) -> None:
        x, y = batch.x, batch.y
        assert x is not None
        start = sum(self.sizes)
        self.sizes.append(len(x))
        if x.is_floating_point():
            broken = (~x.isfinite()).flatten(1).any(1) if x.dim() > 1 else ~x.isfinite()
            self.first_not_finite = _first(self.first_not_finite, broken, start)
            self.not_finite += int(broken.sum())
        if x.dim() > 2:
            blank = (x.flatten(1) == x.flatten(1)[:, :1]).all(1)
            self.first_blank = _first(self.first_blank, blank, start)
            self.blank += int(blank.sum())
        self.digests += map(image_digest, x)
        classes = None if y is None else class_labels(y)
        if classes is not None and len(classes) == len(x):
            self._labels.append(classes)
        self._keep(x, classes)

    def _keep(self, x: Tensor, classes: Tensor | None) -> None:
        kept, is_small = sum(map(len, self._sample)), x.numel() * x.element_size() < MOST_SAMPLED_BYTES
        if (
            kept < MOST_SAMPLED
            and is_small
            and (not self._sample or self._sample[0].shape[1:] == x.shape[1:])
        ):
            self._sample.append(x[: MOST_SAMPLED - kept].detach().cpu())
        if classes is None or not x.is_floating_point() or sum(map(len, self._features)) >= MOST_FEATURES:
            return
        features_ND = averaged_pixels(x).cpu()
        if not self._features or self._features[0].shape[1] == features_ND.shape[1]:
            self._features.append(features_ND)
            self._feature_labels.append(classes)

    @property
    def count(self) -> int:
        """Images that were read."""
        return sum(self.sizes)

    @property
    def labels(self) -> Tensor | None:
        """y_N of all images that were read, as whole numbers."""
        found = torch.cat(self._labels) if self._labels else None
        return found if found is not None and len(found) == self.count else None

    @property
    def all_labels(self) -> Tensor | None:
        """The labels of the whole epoch; of one not read to its end those that the data set keeps."""
        return self.labels if self.is_whole else known_labels(self.reader.dataset)

    @property
    def sample(self) -> Tensor:
        """Some images as they were given."""
        return torch.cat(self._sample) if self._sample else torch.zeros(0)

    @property
    def features(self) -> tuple[Tensor, Tensor] | None:
        """x_ND and y_N of up to MOST_FEATURES images, for probes."""
        return (torch.cat(self._features), torch.cat(self._feature_labels)) if self._features else None


def _first(known: int | None, are: Tensor, start: int) -> int | None:
    return known if known is not None or not bool(are.any()) else start + int(are.nonzero()[0])


def class_labels(y: Tensor) -> Tensor | None:
    """y_N as int64: of whole numbers (N,) or (N, 1), or one-hot (N, K); None of anything else."""
    y = y.detach().cpu()
    if y.dim() == 2 and y.shape[1] > 1 and is_one_hot(y):
        return y.argmax(1)
    if y.dim() == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dim() != 1 or not len(y) or not bool((y == y.round() if y.is_floating_point() else y == y).all()):
        return None
    return y.long()


def is_one_hot(y: Tensor) -> bool:
    """Whether each row holds a single one and zeros."""
    return y.dim() == 2 and bool((((y == 0) | (y == 1)).all(1) & (y.sum(1) == 1)).all())


def known_labels(data: object) -> Tensor | None:
    """All labels of a data set that keeps them beside its images (torchvision's, TensorDataset, Subset)."""
    if isinstance(data, Subset):
        whole = known_labels(data.dataset)
        return None if whole is None else whole[torch.as_tensor(list(data.indices))]
    if isinstance(data, TensorDataset):
        return class_labels(data.tensors[-1])
    for name in ("targets", "labels"):
        found = getattr(data, name, None)
        try:
            labels = None if found is None else class_labels(torch.as_tensor(found))
        except (TypeError, ValueError, RuntimeError):
            continue
        if labels is not None and is_sized_dataset(data):
            return labels
    return None


def image_digest(x: Tensor) -> bytes | None:
    """A hash that does not depend on how an image was normalized; None of one value throughout."""
    values = x.detach().cpu().double()
    low, high = values.amin(), values.amax()
    if not bool(high > low) or not bool(high.isfinite()):
        return None
    levels = ((values - low) / (high - low) * HASH_STEPS + HASH_OFFSET).floor().short()
    return hashlib.blake2b(levels.contiguous().numpy().tobytes(), digest_size=12).digest()


def is_random(data: object) -> bool:
    """Whether a data set gives other images when it is asked again: it augments them at random."""
    source = data.dataset if isinstance(data, DataLoader) else data
    if not is_sized_dataset(source):
        return False
    try:
        pairs = [(source[k], source[k]) for k in range(min(4, len(source)))]  # pyrefly: ignore
    except Exception:  # a data set of its own kind: nothing is known
        return False
    return any(_differ(*pair) for pair in pairs)


def _differ(a: object, b: object) -> bool:
    first, second = (part[0] if isinstance(part, tuple | list) else part for part in (a, b))
    return isinstance(first, Tensor) and isinstance(second, Tensor) and not torch.equal(first, second)
