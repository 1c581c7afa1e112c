"""Batches of all runs of a stack at once: to each run, in its own order, what it would see alone.

Legend: B runs, N images of a batch, C channels, H × W pixels, S steps of an epoch with whole batches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from trainlab.build.data import build_datamodule
from trainlab.data import ImageData
from trainlab.data.loader import Batch, BatchLoader
from trainlab.errors import RequestError
from trainlab.settings import Settings
from trainlab.stacked.ahead import Ahead
from trainlab.stacked.image_store import ImageStore


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
