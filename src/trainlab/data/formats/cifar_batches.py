"""CIFAR-10's "python version", `cifar-10-batches-py/`, as torchvision lays it out, and its binary version."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples
from trainlab.data.files import explain_read_errors

TRAIN_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_BATCH = "test_batch"
BINARY_BYTES = 1 + 3 * 32 * 32
BatchReader = Callable[[Path], tuple[np.ndarray, np.ndarray]]


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


def find(folder: Path, classes: tuple[str, ...]) -> DatasetHandle | None:
    """The data set in `folder` if all six batches are there, else None; as pickles, or the binary version."""
    files = {name: folder / name for name in (*TRAIN_BATCHES, TEST_BATCH)}
    if all(path.is_file() for path in files.values()):
        return _handle(files, read_batch, classes, "python batches")
    binary = {f"{name}.bin": folder / f"{name}.bin" for name in files}
    if all(path.is_file() for path in binary.values()):
        return _handle(binary, read_binary, classes, "binary version")
    return None


def _handle(
    files: dict[str, Path], read_one: BatchReader, classes: tuple[str, ...], copy: str
) -> DatasetHandle:
    def read() -> Decoded:
        *train, test = (read_one(path) for path in files.values())
        train_x, train_y = (np.concatenate(part) for part in zip(*train, strict=True))
        return Decoded(Examples(train_x, train_y), Examples(*test), classes)

    return DatasetHandle(copy=copy, read=read, files=files, shape_HWC=(32, 32, 3))


def read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """x_NHWC (uint8, N × 32 × 32 × 3) and y_N of one batch file. Raises RequestError naming a broken one."""
    with explain_read_errors(path, pickle.UnpicklingError, AttributeError), path.open("rb") as content:
        batch = ArrayUnpickler(content, encoding="bytes").load()
        if not isinstance(batch, dict):
            raise ValueError(f"it holds {type(batch).__name__}, expected a dictionary")
        named = {key.decode() if isinstance(key, bytes) else key: value for key, value in batch.items()}
        if not {"data", "labels"} <= set(named):
            raise ValueError(f"it holds {', '.join(map(str, named))}, expected data and labels")
        x_NCHW = _as_uint8(np.asarray(named["data"])).reshape(-1, 3, 32, 32)
        y_N = np.asarray(named["labels"])
        if y_N.shape != x_NCHW.shape[:1]:
            raise ValueError(f"got {len(y_N)} labels for {len(x_NCHW)} images")
    return x_NCHW.transpose(0, 2, 3, 1), y_N


def _as_uint8(values: np.ndarray) -> np.ndarray:
    """Values as uint8 if they are whole numbers of 0..255; ValueError for all others."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "iu":
        raise ValueError(f"its data are {values.dtype}, expected uint8")
    if values.size and (values.min() < 0 or values.max() > 255):
        raise ValueError(f"its data are {values.min()}..{values.max()}, expected 0..255")
    return values.astype(np.uint8)


def read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The same of a file of the binary version: of each image its label (1 byte) and 3 × 32 × 32 bytes."""
    with explain_read_errors(path):
        content = np.fromfile(path, dtype=np.uint8)
        if not len(content) or len(content) % BINARY_BYTES:
            raise ValueError(f"got {len(content):,} bytes, expected a multiple of {BINARY_BYTES:,}")
    rows = content.reshape(-1, BINARY_BYTES)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]
