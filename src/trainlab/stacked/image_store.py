"""The stored images that the runs of a stack share, gathered by row.

Legend: B runs, N images of a batch, C channels, H × W pixels, M stored images.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainlab.data import Split
from trainlab.data.datamodule import ON_DEVICE_BYTES
from trainlab.data.loader import Batch
from trainlab.errors import RequestError


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
