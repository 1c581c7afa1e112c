"""The idx files of MNIST and Fashion-MNIST, as torchvision lays them out, plain or as .gz.

A file is a magic number (0, 0, type 8 = uint8, number of dimensions), the dimensions as big-endian int32,
then the values (http://yann.lecun.com/exdb/mnist, "the IDX file format").
"""

from pathlib import Path

import numpy as np

from trainlab.data.files import open_content, reading
from trainlab.data.sources import Decoded, Examples, Found
from trainlab.errors import RequestError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def find(folder: Path, classes: tuple[str, ...]) -> Found | None:
    """The data set in `folder` if all four files are there, else None."""
    files = {}
    for name in FILES:
        plain, packed = folder / name, folder / f"{name}.gz"
        path = plain if plain.is_file() else packed
        if not path.is_file():
            return None
        files[name] = path

    def read() -> Decoded:
        train_x, train_y, test_x, test_y = (read_idx(files[name]) for name in FILES)
        train = _examples(train_x, train_y, files[FILES[1]])
        return Decoded(train, _examples(test_x, test_y, files[FILES[3]]), classes)

    return Found(copy="official files", read=read, files=files, shape_HWC=(28, 28, 1))


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of one idx file. Raises RequestError naming the file where header and size disagree."""
    with reading(path), open_content(path) as content:
        data = content.read()
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise RequestError(f"corrupt data file {path}: got header {data[:4].hex()}, expected 000008 (idx)")
    dimensions = data[3]
    shape = tuple(np.frombuffer(data[4 : 4 + 4 * dimensions], dtype=">i4").tolist())
    expected = 4 + 4 * dimensions + int(np.prod(shape, dtype=np.int64))
    if len(shape) != dimensions or len(data) != expected:
        raise RequestError(f"corrupt data file {path}: got {len(data):,} bytes, expected {expected:,}")
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _examples(x_NHW: np.ndarray, y_N: np.ndarray, labels: Path) -> Examples:
    if x_NHW.ndim != 3 or y_N.shape != x_NHW.shape[:1]:
        raise RequestError(
            f"corrupt data file {labels}: got labels of shape {y_N.shape} for images of shape {x_NHW.shape}"
        )
    return Examples(x_NHW, y_N)
