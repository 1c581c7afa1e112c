"""Batches of whatever is handed over: a loader, a data set, arrays, one batch, tuples or dictionaries.

Types and shapes are left as they are: what is wrong with them is for the checks to say.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from trainlab.doctor.packed_tensors import tensors_in
from trainlab.errors import RequestError, error_with_type
from trainlab.forecast.isolation import loader_copy

Unpack = Callable[[object], tuple[object, object]]
"""From a batch of one's own to (inputs, targets)."""

INPUT_NAMES = ("image", "images", "pixel_values", "img", "x", "input", "inputs", "data", "features")
TARGET_NAMES = ("label", "labels", "y", "target", "targets", "class", "classes")

EXPECTED = "expected batches of (x, y)"
UNPACK = 'unpack=lambda b: (b["image"], b["label"]), with your names'

IMAGES_OF_A_BATCH = 64
"""Images that are taken together of a data set or of arrays, which have no batches of their own."""


@dataclass(frozen=True)
class LabelledBatch:
    """What a network takes (a tensor, or a tuple or dictionary of them), and what its loss compares with."""

    inputs: object
    targets: object

    @property
    def x(self) -> Tensor | None:
        """The first tensor of the inputs: the images."""
        return next(tensors_in(self.inputs), None)

    @property
    def y(self) -> Tensor | None:
        """The targets, where they are one tensor."""
        return self.targets if isinstance(self.targets, Tensor) else None

    def copy(self, device: torch.device | None = None) -> "LabelledBatch":
        """The same numbers in tensors of their own, on a device."""
        return LabelledBatch(*(_copied(part, device) for part in (self.inputs, self.targets)))


def _copied(value: object, device: torch.device | None) -> object:
    if isinstance(value, Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, dict):
        return {name: _copied(part, device) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return tuple(_copied(part, device) for part in value)
    return value


class BatchReader:
    """Reads `data`; `asked_by` begins the errors. Nothing of a loader's own state is moved but an iterator's.

    has_order: whether batches come as a training loop would see them, which those of a data set do not.
    Raises RequestError, when it is read, for what holds no batches of inputs and targets.
    """

    def __init__(self, data: object, unpack: Unpack | None, asked_by: str) -> None:
        self.unpack, self.asked_by = unpack, asked_by
        self.has_order = True
        self._data = data
        self.is_one_batch = self._is_one_batch(data)
        if is_sized_dataset(data) or self.is_one_batch:
            self.has_order = False

    @property
    def dataset(self) -> object:
        """The data set behind a loader; what was handed over, where there is none."""
        return self._data.dataset if isinstance(self._data, DataLoader) else self._data

    def first(self) -> LabelledBatch:
        """The first batch. Raises RequestError where there is none."""
        found = next(iter(self), None)
        if found is None:
            raise self.empty_error()
        return found

    def empty_error(self) -> RequestError:
        """For a loader that gives nothing."""
        return RequestError(f"{self.asked_by}: got no batch at all: the loader is empty, {EXPECTED}")

    def __iter__(self) -> Iterator[LabelledBatch]:
        if self.is_one_batch:
            yield from self._split(self._labelled(self._data))
            return
        for batch in self._iterate():
            yield self._labelled(batch)

    def _iterate(self) -> Iterator[object]:
        data = self._data
        if is_sized_dataset(data):
            data = DataLoader(data, batch_size=IMAGES_OF_A_BATCH)
        if isinstance(data, str | bytes | Mapping | Tensor) or not isinstance(data, Iterable):
            raise RequestError(f"{self.asked_by}: got {_with_article(data)} for the batches, {EXPECTED}")
        try:
            yield from loader_copy(data)
        except RequestError:
            raise
        except Exception as error:
            message = f"{self.asked_by}: the batches cannot be read: {error_with_type(error)}"
            raise RequestError(message) from error

    def _is_one_batch(self, data: object) -> bool:
        if isinstance(data, Mapping):
            return True
        if isinstance(data, tuple | list) and len(data) == 2:
            x, y = data
            return _is_array(y) and (_is_array(x) or any(True for _ in tensors_in(x)))
        return False

    def _labelled(self, batch: object) -> LabelledBatch:
        if self.unpack is not None:
            try:
                batch = self.unpack(batch)
            except Exception as error:
                message = f"{self.asked_by}: unpack fails on {_described(batch)}: {error_with_type(error)}"
                raise RequestError(message) from error
        elif isinstance(batch, Mapping):
            batch = self._from_names(batch)
        if not isinstance(batch, tuple | list):
            raise RequestError(f"{self.asked_by}: got {_described(batch)} as a batch, {EXPECTED}")
        if len(batch) != 2:
            hint = "unpack=lambda b: (b[0], b[1])" if len(batch) > 2 else "labels are missing"
            raise RequestError(f"{self.asked_by}: got batches of {len(batch)} parts, {EXPECTED}: {hint}")
        inputs, targets = (_as_tensors(part) for part in batch)
        if next(tensors_in(inputs), None) is None:
            raise RequestError(
                f"{self.asked_by}: the inputs of a batch are {_described(batch[0])}, expected tensors"
            )
        return LabelledBatch(inputs, targets)

    def _from_names(self, batch: Mapping[object, object]) -> tuple[object, object]:
        inputs = [name for name in batch if name in INPUT_NAMES]
        targets = [name for name in batch if name in TARGET_NAMES]
        if len(inputs) != 1 or len(targets) != 1:
            names = ", ".join(map(str, batch))
            raise RequestError(f"{self.asked_by}: got batches with the keys {names}, {EXPECTED}: {UNPACK}")
        return batch[inputs[0]], batch[targets[0]]

    def _split(self, whole: LabelledBatch) -> Iterator[LabelledBatch]:
        """One batch as it is; arrays of a whole data set in parts."""
        x, y = whole.x, whole.y
        if x is None or y is None or x is not whole.inputs or y.dim() == 0 or len(x) != len(y):
            yield whole
            return
        size = len(x) if len(x) <= LARGEST_BATCH else IMAGES_OF_A_BATCH
        if not len(x):
            return
        for k in range(0, len(x), size):
            yield LabelledBatch(x[k : k + size], y[k : k + size])


LARGEST_BATCH = 1024
"""Images of (x, y) up to which they are taken for one batch, and not for a whole data set."""


def is_sized_dataset(data: object) -> TypeGuard[Dataset]:
    """Whether it is a data set with a length."""
    return isinstance(data, Dataset) and not isinstance(data, IterableDataset) and hasattr(data, "__len__")


def _is_array(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _as_tensors(value: object) -> object:
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(np.ascontiguousarray(value))
    return value


def _described(value: object) -> str:
    if isinstance(value, Tensor):
        return f"one tensor of shape {tuple(value.shape)}"
    return _with_article(value)


def _with_article(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
