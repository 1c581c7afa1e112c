"""An `ImageData` for Lightning: loaders that know the trainer's rank and device."""

import torch
from lightning import LightningDataModule

from trainlab.data.images import ImageData, Split
from trainlab.data.loader import Batch, BatchLoader

ON_DEVICE_BYTES = 2 * 1024**3
"""A split up to this size is kept whole in the memory of a CUDA device; a larger one is copied by batches."""


class ImageDataModule(LightningDataModule):
    """Training, validation and test loaders of one data set.

    images: what to load.
    batch_size: images of a global batch, of all devices together.
    seed: of the training order (>= 0).

    The training loader leaves out the last, shorter batch, unless it is the only one. On a CUDA device a
    split of up to `ON_DEVICE_BYTES` is stored there whole; a larger one comes through page-locked memory.
    """

    def __init__(self, images: ImageData, batch_size: int, *, seed: int = 0) -> None:
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        self.seed = seed

    def train_dataloader(self) -> BatchLoader:
        """The training split, in another order every epoch."""
        drop_last = len(self.images.train) >= self.batch_size
        return self._loader(self.images.train, shuffle=True, drop_last=drop_last)

    def val_dataloader(self) -> BatchLoader:
        """The validation split, every image once."""
        return self._loader(self.images.val)

    def test_dataloader(self) -> BatchLoader:
        """The test split, every image once."""
        return self._loader(self.images.test)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Two tensors, without Lightning's search for more of them."""
        x_NCHW, y_N = batch
        on_gpu = device.type == "cuda"
        return x_NCHW.to(device, non_blocking=on_gpu), y_N.to(device, non_blocking=on_gpu)

    def _loader(self, split: Split, *, shuffle: bool = False, drop_last: bool = False) -> BatchLoader:
        rank, world_size, device = 0, 1, torch.device("cpu")
        if self.trainer is not None:
            rank, world_size = self.trainer.global_rank, self.trainer.world_size
            device = self.trainer.strategy.root_device
        on_gpu = device.type == "cuda"
        is_kept = are_kept_on(device, split)
        return BatchLoader(
            split,
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            drop_last=drop_last,
            rank=rank,
            world_size=world_size,
            device=device if is_kept else None,
            pin_memory=on_gpu and not is_kept,
        )


def are_kept_on(device: torch.device, split: Split) -> bool:
    """Whether the images of a split are stored whole in the memory of this device."""
    return device.type == "cuda" and len(split) * split.x_NHWC[0].nbytes <= ON_DEVICE_BYTES
