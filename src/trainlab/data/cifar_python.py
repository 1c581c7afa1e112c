"""CIFAR-10's "python version", `cifar-10-batches-py/`, as torchvision lays it out."""

import pickle
from pathlib import Path

import numpy as np

from trainlab.data.files import reading
from trainlab.data.sources import Decoded, Examples, Found

TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST = "test_batch"


class ArrayUnpickler(pickle.Unpickler):
    """Reads numpy arrays and nothing else: a pickle from a data folder must not be able to run code."""

    def find_class(self, module: str, name: str) -> object:
        """The few names that an array is pickled with; UnpicklingError for any other."""
        allowed = {
            ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
            ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
        }
        key = (module.rpartition(".")[2], name)
        if key not in allowed:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no array needs")
        return allowed[key]


def find(folder: Path, classes: tuple[str, ...]) -> Found | None:
    """The data set in `folder` if all six batches are there, else None."""
    files = {name: folder / name for name in (*TRAIN, TEST)}
    if not all(path.is_file() for path in files.values()):
        return None

    def read() -> Decoded:
        parts = [read_batch(files[name]) for name in TRAIN]
        train_x, train_y = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Decoded(Examples(train_x, train_y), Examples(*read_batch(files[TEST])), classes)

    return Found(copy="official files", read=read, files=files, shape_HWC=(32, 32, 3))


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """x_NHWC (uint8, N × 32 × 32 × 3) and y_N of one batch file. Raises RequestError naming a broken one."""
    with reading(path, pickle.UnpicklingError, AttributeError), path.open("rb") as content:
        batch = ArrayUnpickler(content, encoding="bytes").load()
        x_NCHW = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        y_N = np.asarray(batch[b"labels"], dtype=np.int64)
        if y_N.shape != x_NCHW.shape[:1]:
            raise ValueError(f"got {len(y_N)} labels for {len(x_NCHW)} images")
    return x_NCHW.transpose(0, 2, 3, 1), y_N
