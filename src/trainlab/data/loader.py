"""`BatchLoader`: a batch is one index into a uint8 array, so that loading costs next to nothing.

Gathering 128 images takes 0.02 ms (MNIST) to 0.05 ms (CIFAR-10) on one thread, from the mapped file as fast
as from a private copy in memory: so there is no copy, no worker process and no prefetching, and any number
of processes share the pages. Pixels become float on the device, in the network's input normalization.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeAlias

import numpy as np
import torch

from trainlab.data.images import Split
from trainlab.data.splits import rng
from trainlab.errors import RequestError

Batch: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""x_NCHW uint8, y_N int64."""


class BatchLoader:
    """Batches (x_NCHW uint8 whose memory is NHWC, y_N int64) of a split, for a bare loop or for Lightning.

    The order of an epoch is a function of (seed, epoch) alone. Order and composition of the global batches
    are the same for any number of ranks: rank r of W takes every W-th image of each global batch. Without
    `drop_last` the last batch is shorter, no image comes twice and none is left out; the ranks' shares of
    that last batch may differ by one image.

    split: what to load.
    batch_size: images of a global batch, of all ranks together.
    shuffle: another order every epoch; else the order of `split.index`.
    seed: of the order (>= 0), and of nothing else.
    drop_last: leave out the last, shorter batch.
    device: hold the split's images on this device and gather them there; None gathers on the CPU.
    pin_memory: give CPU batches in page-locked memory, so that copies to a GPU do not wait.

    Iterating again continues with the next epoch if the last one was completed, else repeats it; `set_epoch`
    chooses. `state_dict` during an epoch and `load_state_dict` continue after the last batch given out;
    `latest_positions` are the positions in the split of that batch's images, of epoch `epoch`.

    Raises RequestError where the sizes do not fit together.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str | None = None,
        pin_memory: bool = False,
    ) -> None:
        _check_sizes(len(split), batch_size, world_size, shuffle=shuffle, drop_last=drop_last)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._split = split
        self._memory: _ImageMemory = (
            _DeviceMemory(split, device) if device else _HostMemory(split, pin_memory)
        )
        self._resume_batch = 0
        self._batches_done = 0
        self.latest_positions = np.empty(0, dtype=np.int64)

    def __len__(self) -> int:
        """Batches of an epoch, on this rank."""
        used = self._used
        on_this_rank = max(used - self.rank + self.world_size - 1, 0) // self.world_size
        return -(-on_this_rank // self._rank_batch_size)

    @property
    def sampler(self) -> "BatchLoader":
        """Where Lightning looks for `set_epoch`, which it calls as each epoch begins."""
        return self

    # Lightning reads this of whatever has a sampler
    batch_sampler = None

    def set_epoch(self, epoch: int) -> None:
        """Begin this epoch next. The epoch that a loaded state stands in keeps its place."""
        if epoch != self.epoch:
            self._begin(epoch, 0)

    def state_dict(self) -> dict[str, int]:
        """{"epoch", "batch"}: the epoch, and how many of its batches were given out."""
        if self._is_completed:
            return {"epoch": self.epoch + 1, "batch": 0}
        return {"epoch": self.epoch, "batch": self._batches_done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Let the next iteration begin where `state_dict` was taken."""
        self._begin(int(state["epoch"]), int(state["batch"]))

    def order(self, epoch: int) -> np.ndarray:
        """Positions in the split of all ranks' images of an epoch, in the order of the global batches."""
        if not self.shuffle:
            return np.arange(self._used)
        return rng(self.seed, "data order", epoch).permutation(len(self._split))[: self._used]

    def __iter__(self) -> Iterator[Batch]:
        if self._is_completed:
            self._begin(self.epoch + 1, 0)
        first, self._resume_batch = self._resume_batch, 0
        self._batches_done = first
        positions = self.order(self.epoch)[self.rank :: self.world_size][first * self._rank_batch_size :]
        size = self._rank_batch_size
        for i, batch in enumerate(self._memory.batches(positions, size)):
            self.latest_positions = positions[i * size : (i + 1) * size]
            self._batches_done += 1
            yield batch

    @property
    def _used(self) -> int:
        """Images of an epoch, of all ranks."""
        return len(self._split) // self.batch_size * self.batch_size if self.drop_last else len(self._split)

    @property
    def _rank_batch_size(self) -> int:
        return self.batch_size // self.world_size

    @property
    def _is_completed(self) -> bool:
        return self._batches_done > 0 and self._batches_done >= len(self)

    def _begin(self, epoch: int, batch: int) -> None:
        self.epoch, self._resume_batch, self._batches_done = epoch, batch, batch


class _ImageMemory(Protocol):
    """Where the pixels lie."""

    def batches(self, positions: np.ndarray, size: int) -> Iterator[Batch]:
        """The examples at these positions in the split, `size` at a time; the last batch may be shorter."""
        ...


class _HostMemory:
    """The mapped array itself."""

    def __init__(self, split: Split, pin_memory: bool) -> None:
        self._split = split
        self._pin_memory = pin_memory
        self._flat = split.x_NHWC.reshape(len(split.x_NHWC), -1)  # one row an image: the fastest to take

    def batches(self, positions: np.ndarray, size: int) -> Iterator[Batch]:
        rows = self._split.index[positions]
        for start in range(0, len(rows), size):
            yield self._gather(rows[start : start + size])

    def _gather(self, chosen: np.ndarray) -> Batch:
        x = torch.empty((len(chosen), self._flat.shape[1]), dtype=torch.uint8, pin_memory=self._pin_memory)
        np.take(self._flat, chosen, axis=0, out=x.numpy(), mode="clip")  # "raise" would buffer the output
        y_N = torch.from_numpy(self._split.y_N[chosen])
        x_NHWC = x.view(-1, *self._split.x_NHWC.shape[1:])
        return x_NHWC.permute(0, 3, 1, 2), y_N.pin_memory() if self._pin_memory else y_N


class _DeviceMemory:
    """The split's own images, copied to a device once."""

    def __init__(self, split: Split, device: torch.device | str) -> None:
        self._x_NHWC = torch.from_numpy(split.x_NHWC[split.index]).to(device)
        self._y_N = torch.from_numpy(split.labels_N).to(device)

    def batches(self, positions: np.ndarray, size: int) -> Iterator[Batch]:
        rows = torch.from_numpy(np.ascontiguousarray(positions)).to(self._y_N.device)
        for start in range(0, len(rows), size):
            chosen = rows[start : start + size]
            x_NHWC = self._x_NHWC.index_select(0, chosen)
            yield x_NHWC.permute(0, 3, 1, 2), self._y_N.index_select(0, chosen)


def _check_sizes(images: int, batch_size: int, world_size: int, *, shuffle: bool, drop_last: bool) -> None:
    if batch_size < 1 or batch_size % world_size:
        raise RequestError(
            f"data.batch_size: got {batch_size}, expected a positive multiple of the {world_size} device(s) "
            "that share each batch"
        )
    if drop_last and images < batch_size:
        raise RequestError(f"data.batch_size: got {batch_size}, expected at most the split's {images} images")
    if shuffle and images < world_size:
        raise RequestError(
            f"data.train_size: got {images} images, expected at least {world_size}, one a device"
        )
