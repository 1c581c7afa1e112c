"""The idx files of MNIST and Fashion-MNIST, as torchvision lays them out, plain or as .gz.

A file is a magic number (0, 0, type 8 = uint8, number of dimensions), the dimensions as big-endian int32,
then the values (http://yann.lecun.com/exdb/mnist, "the IDX file format"). Unpacking tools name the files
otherwise (`train-images.idx3-ubyte`), put each into a folder of its name, or leave .gz on what is unpacked.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples
from trainlab.data.files import GZIP_MAGIC, explain_read_errors, file_kind_hint, first_bytes, open_unpacked
from trainlab.errors import RequestError

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MAX_BYTES = 2**30
"""A few bytes of an idx file say how much memory it takes; the largest known ones take half of this."""
IDX_TYPES = {0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def find_idx_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Which of IDX_FILES lie in `folder`, under any of their usual names, and notes for the user."""
    candidates: dict[str, list[Path]] = {name: [] for name in IDX_FILES}
    for path in _files_below(folder):
        name = path.name.lower().removesuffix(".gz").replace(".", "-")
        if name in candidates:
            candidates[name].append(path)
    files, notes = {}, []
    for name, paths in candidates.items():
        # the usual name first, the plain file before the packed one; but whole before half unpacked
        paths.sort(key=lambda path: (path.parent != folder, path.suffix == ".gz", path.name != name))
        whole = next((path for path in paths if _is_complete(path)), None)
        if paths:
            files[name] = whole or paths[0]
        if whole is not None and whole != paths[0]:
            notes.append(f"{paths[0].name} is cut short: {whole.name} beside it is read")
    return files, notes


def _files_below(folder: Path) -> list[Path]:
    """Files in a folder, and in folders of it that have the name of one of IDX_FILES."""
    if not folder.is_dir():
        return []
    below = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name.lower().replace(".", "-") in IDX_FILES:
            below += [inner for inner in sorted(path.iterdir()) if inner.is_file()]
        elif path.is_file():
            below.append(path)
    return below


def _is_complete(path: Path) -> bool:
    """Whether a plain idx file is as long as its header says; of a packed one that is not known."""
    head = first_bytes(path)
    if head[:2] == GZIP_MAGIC:
        return True
    try:
        return path.stat().st_size == _expected_bytes(head)
    except (OSError, ValueError):
        return False


def find(folder: Path, classes: tuple[str, ...]) -> DatasetHandle | None:
    """The data set in `folder` if all four files are there, else None."""
    files, notes = find_idx_files(folder)
    if len(files) < len(IDX_FILES):
        return None

    def read() -> Decoded:
        train_x, train_y, test_x, test_y = (read_idx(files[name]) for name in IDX_FILES)
        train = _examples(train_x, train_y, files[IDX_FILES[0]], files[IDX_FILES[1]])
        return Decoded(train, _examples(test_x, test_y, files[IDX_FILES[2]], files[IDX_FILES[3]]), classes)

    return DatasetHandle(copy="idx files", read=read, files=files, shape_HWC=(28, 28, 1), notes=notes)


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of one idx file. Raises RequestError naming the file where header and size disagree."""
    with explain_read_errors(path), open_unpacked(path) as content:
        head = content.read(4)
        if len(head) < 4 or head[:3] != b"\0\0\x08":
            raise RequestError(f"corrupt data file {path}: {_header_fault(head)}{file_kind_hint(path)}")
        head += content.read(4 * head[3])
        try:
            expected = _expected_bytes(head)
        except ValueError as error:
            raise RequestError(f"corrupt data file {path}: {error}") from None
        # no more than its header says, and no more than is sound: what is packed may unpack to anything
        data = content.read(expected - len(head) + 1) if expected <= MAX_BYTES else b""
        got = len(head) + len(data)
        if got != expected:
            got += _count_bytes(content)
    if got != expected:
        raise RequestError(
            f"corrupt data file {path}: got {got:,} bytes, expected "
            f"{expected:,}{_size_mismatch_hint(head, got)}"
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(_shape(head))


def _count_bytes(content: BinaryIO) -> int:
    """How many bytes follow, at most MOST_BYTES, none of them kept."""
    count = 0
    while count < MAX_BYTES and (part := content.read(2**20)):
        count += len(part)
    return count


def _header_fault(head: bytes) -> str:
    known = IDX_TYPES.get(head[2]) if len(head) == 4 and head[:2] == b"\0\0" else None
    return f"it holds {known}, expected uint8" if known else f"got header {head.hex()}, expected 000008 (idx)"


def _shape(head: bytes, order: str = ">") -> tuple[int, ...]:
    return tuple(np.frombuffer(head[4 : 4 + 4 * head[3]], dtype=f"{order}i4").tolist())


def _expected_bytes(head: bytes) -> int:
    """How long a file with this header is. ValueError where the header is none."""
    if head[:3] != b"\0\0\x08" or len(head) < 4 + 4 * head[3]:
        raise ValueError(f"its header is cut short: {len(head)} bytes")
    shape = _shape(head)
    if any(size < 0 for size in shape):
        if min(_shape(head, "<")) >= 0:
            raise ValueError(
                f"its dimensions are written low byte first (little-endian): {_shape(head, '<')}"
            )
        raise ValueError(f"its header says {shape}: no size is below 0")
    return 4 + 4 * head[3] + math.prod(shape)


def _size_mismatch_hint(head: bytes, got: int) -> str:
    little = _shape(head, "<")
    if min(little, default=-1) >= 0 and 4 + 4 * head[3] + math.prod(little) == got:
        return f"; its dimensions are written low byte first (little-endian): {little}"
    return f"; its header says {_shape(head)}"


def _examples(x_NHW: np.ndarray, y_N: np.ndarray, images: Path, labels: Path) -> Examples:
    if x_NHW.ndim != 3 or y_N.shape != x_NHW.shape[:1]:
        raise RequestError(
            f"corrupt data file {labels}: got labels of shape {y_N.shape} for images of shape {x_NHW.shape}"
        )
    if x_NHW.shape[1:] != (28, 28):
        height, width = x_NHW.shape[1:]
        raise RequestError(
            f"{images}: got images of {height} × {width}, expected 28 × 28; data=image_folder takes any size"
        )
    return Examples(x_NHW, y_N)


def keras_npz(path: Path, classes: tuple[str, ...]) -> DatasetHandle:
    """The data set in an .npz of x_train, y_train, x_test and y_test, as Keras keeps it."""

    def read() -> Decoded:
        with explain_read_errors(path), np.load(path, allow_pickle=False) as archive:
            x_y = [_npz_array(path, archive, name) for name in ("x_train", "y_train", "x_test", "y_test")]
        train_x, train_y, test_x, test_y = x_y
        return Decoded(
            _examples(train_x, train_y, path, path), _examples(test_x, test_y, path, path), classes
        )

    return DatasetHandle(copy="Keras' npz", read=read, files={"mnist.npz": path}, shape_HWC=(28, 28, 1))


def _npz_array(path: Path, archive: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in archive:
        raise RequestError(f"corrupt data file {path}: got {', '.join(archive)}, expected {name}")
    array = archive[name]
    if name.startswith("x") and array.dtype != np.uint8:
        raise RequestError(f"corrupt data file {path}: {name} holds {array.dtype}, expected uint8")
    return array
