"""The stored images that the runs of a stack share, and their batches: to each run what it would see alone.

Legend: B runs, N images of a batch, C channels, H × W pixels, M stored images, S steps of an epoch with whole
batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from trainlab.build.data import build_datamodule
from trainlab.data import ImageData, Split
from trainlab.data.datamodule import ON_DEVICE_BYTES
from trainlab.data.loader import Batch, BatchLoader
from trainlab.errors import RequestError
from trainlab.settings import Settings
from trainlab.stacked.ahead import Ahead


class ImageStore:
    """Images and labels of some splits of one stored array, once for all runs.

    on_device: hold those that any split uses on the device, and gather there. None: where they fit
        (`ON_DEVICE_BYTES`) and it is no CPU. Else they stay where they are, and batches are sent, to a GPU
        through page-locked memory.

    Raises RequestError where the splits are not of one stored array.
    """

    def __init__(
        self, splits: Sequence[Split], device: torch.device, *, on_device: bool | None = None
    ) -> None:
        first = splits[0]
        _check_one_array(splits)
        self.device = device
        self._shape_HWC = first.x_NHWC.shape[1:]
        used = _rows_in_use(splits)
        fits = len(used) * first.x_NHWC[0].nbytes <= ON_DEVICE_BYTES
        self.is_on_device = device.type != "cpu" and fits if on_device is None else on_device
        self._row_of = np.zeros(0, dtype=np.int32)
        if self.is_on_device:
            self._row_of = np.zeros(len(first.x_NHWC), dtype=np.int32)
            self._row_of[used] = np.arange(len(used), dtype=np.int32)
            self._words = as_words(torch.from_numpy(first.x_NHWC[used])).to(device)
            self._y_M = torch.from_numpy(first.y_N[used]).to(device)
        else:
            self._flat = first.x_NHWC.reshape(len(first.x_NHWC), -1)  # one row an image: the fastest to take
            self._y_stored = first.y_N

    def rows(self, index: np.ndarray) -> np.ndarray:
        """int32, where the images of a split's `index` lie in this store."""
        return self._row_of[index] if self.is_on_device else index.astype(np.int32)

    def place(self, rows: np.ndarray) -> Tensor:
        """Rows as a tensor where `gather` wants them."""
        placed = torch.from_numpy(np.ascontiguousarray(rows))
        return placed.to(self.device) if self.is_on_device else placed

    def gather(self, rows_BN: Tensor) -> Batch:
        """(x_BNCHW uint8 whose memory is BNHWC, y_BN int64) on the device.

        A pure function where the images are on the device, so that it can be in a CUDA graph.
        """
        x, y_BN = self._gather_there(rows_BN) if self.is_on_device else self._gather_and_send(rows_BN)
        return x.view(*rows_BN.shape, *self._shape_HWC).permute(0, 1, 4, 2, 3), y_BN

    def _gather_there(self, rows_BN: Tensor) -> tuple[Tensor, Tensor]:
        chosen = rows_BN.flatten()
        y_BN = self._y_M.index_select(0, chosen).view(rows_BN.shape)
        return self._words.index_select(0, chosen).view(torch.uint8), y_BN

    def _gather_and_send(self, rows_BN: Tensor) -> tuple[Tensor, Tensor]:
        is_sent_pinned = self.device.type == "cuda"
        chosen = rows_BN.flatten().numpy()
        x = torch.empty((len(chosen), self._flat.shape[1]), dtype=torch.uint8, pin_memory=is_sent_pinned)
        np.take(self._flat, chosen, axis=0, out=x.numpy(), mode="clip")  # "raise" would buffer the output
        y_BN = torch.from_numpy(self._y_stored[chosen]).view(rows_BN.shape)
        if is_sent_pinned:
            y_BN = y_BN.pin_memory()
        return x.to(self.device, non_blocking=True), y_BN.to(self.device, non_blocking=True)


def as_words(x_NHWC: Tensor) -> Tensor:
    """Images as rows of the widest integers that fit: a GPU copies eight bytes as fast as one."""
    flat = x_NHWC.reshape(len(x_NHWC), -1)
    for dtype in (torch.int64, torch.int32, torch.int16):
        if flat.shape[1] % dtype.itemsize == 0:
            return flat.view(dtype)
    return flat


def _rows_in_use(splits: Sequence[Split]) -> np.ndarray:
    is_used = np.zeros(len(splits[0].x_NHWC), dtype=bool)
    for split in splits:
        is_used[split.index] = True
    return np.flatnonzero(is_used)


def _check_one_array(splits: Sequence[Split]) -> None:
    shapes = {split.x_NHWC.shape for split in splits}
    if len(shapes) > 1:
        found = " and ".join(str(shape) for shape in sorted(shapes))
        raise RequestError(f"data of a stack: got arrays of shapes {found}, expected one array for all runs")


class StackedBatches:
    """The batches of an epoch, (x_BNCHW, y_BN), in the order of each run's own `BatchLoader`.

    loaders: what each run alone loads with; of one number of images, batch size and `drop_last`.
    rows: for each run, where the images of its split lie in the store.

    The rows of an epoch go to the device once, as `rows_SBN`, always at the same address.
    """

    def __init__(self, loaders: Sequence[BatchLoader], rows: Sequence[np.ndarray], store: ImageStore) -> None:
        _check_alike(loaders, rows)
        self._loaders, self._rows, self._store = list(loaders), list(rows), store
        self.batch_size = loaders[0].batch_size
        self.epoch: int | None = None
        in_background = loaders[0].shuffle and store.device.type == "cuda"
        self._rows_of_epoch = Ahead(self._compute_rows, in_background=in_background)

    @property
    def runs(self) -> int:
        """B."""
        return len(self._loaders)

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._loaders[0])

    @property
    def is_on_device(self) -> bool:
        """Whether `gather` reads nothing but the device, so that it can be in a CUDA graph."""
        return self._store.is_on_device

    def set_epoch(self, epoch: int) -> None:
        """Lays out the rows of an epoch."""
        if epoch == self.epoch:
            return
        rows_SBN, last_BN = self._rows_of_epoch(epoch)
        if self.epoch is None:
            self.rows_SBN, self._last_BN = self._store.place(rows_SBN), self._store.place(last_BN)
        else:
            self.rows_SBN.copy_(torch.from_numpy(rows_SBN))
            self._last_BN.copy_(torch.from_numpy(last_BN))
        self.epoch = epoch

    def rows(self, step: int) -> Tensor:
        """Rows (B, N) of a batch of this epoch in the store, for `gather`; of the last one, N may be less."""
        return self.rows_SBN[step] if step < len(self.rows_SBN) else self._last_BN

    def gather(self, rows_BN: Tensor) -> Batch:
        """(x_BNCHW uint8 whose memory is BNHWC, y_BN int64) on the device; see `is_on_device`."""
        return self._store.gather(rows_BN)

    def fill(self, step: int, out_x_BNCHW: Tensor, out_y_BN: Tensor) -> None:
        """Writes a whole batch of this epoch into tensors that stay where they are."""
        x_BNCHW, y_BN = self.gather(self.rows(step))
        out_x_BNCHW.copy_(x_BNCHW)
        out_y_BN.copy_(y_BN)

    def batches(self, epoch: int = 0, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from one of them on."""
        self.set_epoch(epoch)
        for step in range(start_batch, len(self)):
            yield self.gather(self.rows(step))

    def subset(self, indices: Sequence[int]) -> Self:
        """The batches of some of the runs, in this order; images are not copied."""
        return type(self)(
            [self._loaders[run] for run in indices], [self._rows[run] for run in indices], self._store
        )

    def _compute_rows(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Whole batches (S, B, N), and the shorter one at the end (B, n), which may be empty."""
        orders = {loader.seed: loader for loader in self._loaders}  # runs of one seed share their order
        positions = {seed: loader.order(epoch) for seed, loader in orders.items()}
        used_BU = np.stack(
            [rows[positions[loader.seed]] for loader, rows in zip(self._loaders, self._rows, strict=True)]
        )
        whole = used_BU.shape[1] // self.batch_size
        whole_BSN = used_BU[:, : whole * self.batch_size].reshape(self.runs, whole, self.batch_size)
        return np.ascontiguousarray(whole_BSN.swapaxes(0, 1)), used_BU[:, whole * self.batch_size :]


@dataclass(frozen=True)
class StackedData:
    """The three splits of all runs; validation and test in the order of each run's own split."""

    train: StackedBatches
    val: StackedBatches
    test: StackedBatches

    def subset(self, indices: Sequence[int]) -> "StackedData":
        """The data of some of the runs, in this order."""
        return StackedData(self.train.subset(indices), self.val.subset(indices), self.test.subset(indices))


def stack_data(
    settings: Sequence[Settings], images: Sequence[ImageData], device: torch.device
) -> StackedData:
    """The batches of the runs' settings, each with its own split of one data set.

    images: the data of each run (`build.data.load_data`); runs may share one.

    Raises RequestError: other data, or other numbers of images or batch sizes.
    """
    fingerprints = sorted({one.fingerprint for one in images})
    if len(fingerprints) > 1:
        raise RequestError(f"data of a stack: got {', '.join(fingerprints)}, expected one data set")
    modules = [build_datamodule(own, data) for own, data in zip(settings, images, strict=True)]
    training = ImageStore([split for data in images for split in (data.train, data.val)], device)
    testing = ImageStore([data.test for data in images], device)
    return StackedData(
        StackedBatches(
            [module.train_dataloader() for module in modules],
            [training.rows(data.train.index) for data in images],
            training,
        ),
        StackedBatches(
            [module.val_dataloader() for module in modules],
            [training.rows(data.val.index) for data in images],
            training,
        ),
        StackedBatches(
            [module.test_dataloader() for module in modules],
            [testing.rows(data.test.index) for data in images],
            testing,
        ),
    )


def _check_alike(loaders: Sequence[BatchLoader], rows: Sequence[np.ndarray]) -> None:
    for name, found in {
        "data.batch_size": {loader.batch_size for loader in loaders},
        "images of a split": {len(own) for own in rows},
        "order of the images": {loader.shuffle for loader in loaders},
        "batches of an epoch": {len(loader) for loader in loaders},
    }.items():
        if len(found) > 1:
            values = " and ".join(str(value) for value in sorted(found))
            raise RequestError(f"{name} of a stack: got {values}, expected one for all runs")
