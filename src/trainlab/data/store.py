"""The decoded cache: uint8 arrays on disk, written once, mapped into memory by every process that trains.

`<cache>/<fingerprint>-<H>x<W>x<C>-v1/` holds train_x.npy, train_y.npy, test_x.npy, test_y.npy and meta.json.
It is written beside, under a lock that dies with its process, and renamed: what has the name is whole.
The operating system keeps one copy of the pages for all processes.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from trainlab.data.files import writing
from trainlab.data.pixels import to_pixels
from trainlab.data.sources import Decoded, Examples
from trainlab.errors import RequestError

VERSION = 1
"""Raised whenever decoding gives other pixels or files: it is part of the folder's name."""
CHUNK = 2000
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Stored:
    """Both official splits as arrays. x_NHWC uint8, read-only and mapped; y_N int64.

    mean_C, std_C: of each channel over all pixels of the training split, in units of 0..1.
    """

    train_x_NHWC: np.ndarray
    train_y_N: np.ndarray
    test_x_NHWC: np.ndarray
    test_y_N: np.ndarray
    mean_C: tuple[float, ...]
    std_C: tuple[float, ...]
    classes: tuple[str, ...]


def open_store(fingerprint: str, shape_HWC: Shape, cache: Path, read: Callable[[], Decoded]) -> Stored:
    """The decoded data set, decoded now (with `read`) if no process has done so before.

    Several processes may ask at once: one decodes, the others wait for it.
    Raises RequestError for a cache that cannot be written or is damaged, and whatever `read` raises.
    """
    folder = cache / f"{fingerprint}-{'x'.join(map(str, shape_HWC))}-v{VERSION}"
    if not folder.is_dir():
        with writing(cache):
            cache.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_suffix(".lock"))
            lock.acquire()
        try:
            if not folder.is_dir():
                _build(folder, shape_HWC, read, cache)
        finally:
            lock.release()
    return _open(folder)


def _build(folder: Path, shape_HWC: Shape, read: Callable[[], Decoded], cache: Path) -> None:
    partial = folder.with_suffix(".partial")
    decoded = read()
    try:
        with writing(cache):
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed: the lock is ours
            partial.mkdir()
            histogram_C256 = _write(partial, "train", decoded.train, shape_HWC, len(decoded.classes))
            _write(partial, "test", decoded.test, shape_HWC, len(decoded.classes))
            mean_C, std_C = channel_statistics(histogram_C256)
            meta = {"classes": decoded.classes, "mean_C": mean_C, "std_C": std_C}
            (partial / "meta.json").write_text(json.dumps(meta))
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(folder: Path, split: str, examples: Examples, shape_HWC: Shape, classes: int) -> np.ndarray:
    """Write one split; the histogram of its pixels, C × 256."""
    y_N = np.asarray(examples.y_N, dtype=np.int64)
    if len(y_N) == 0 or y_N.min() < 0 or y_N.max() >= classes:
        got = f"{y_N.min()}..{y_N.max()}" if len(y_N) else "none"
        raise RequestError(f"{split} labels: got {got}, expected at least one, each of 0..{classes - 1}")
    path, images = folder / f"{split}_x.npy", 0
    with path.open("wb") as file:  # not through a mapping: there, a full disk kills the process
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(y_N), *shape_HWC)}
        np.lib.format.write_array_header_1_0(file, header)
        for images, image in enumerate(_readable(examples.images), start=1):  # noqa: B007
            file.write(to_pixels(image, shape_HWC).tobytes())
    if images != len(y_N):
        raise RequestError(f"{split} split: got {images:,} images for {len(y_N):,} labels")
    np.save(folder / f"{split}_y.npy", y_N)
    return _histogram(np.load(path, mmap_mode="r"))


def _readable(images: Iterable[Any]) -> Iterator[Any]:
    """The images; a source that cannot read them is not to be mistaken for a cache that cannot be written."""
    try:
        yield from images
    except OSError as error:
        raise RequestError(f"the source's images cannot be read: {error}") from error


def _histogram(x_NHWC: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel, C × 256, counted in chunks of CHUNK images."""
    histogram_C256 = np.zeros((x_NHWC.shape[3], 256), dtype=np.int64)
    for first in range(0, len(x_NHWC), CHUNK):
        for channel, counts_256 in enumerate(histogram_C256):
            values = x_NHWC[first : first + CHUNK, :, :, channel].ravel()
            counts_256 += np.bincount(values, minlength=256)
    return histogram_C256


def channel_statistics(histogram_C256: np.ndarray) -> tuple[list[float], list[float]]:
    """(mean_C, std_C) in units of 0..1 of pixels counted by value: exact, whatever the number of pixels."""
    value, count_C = np.arange(256) / 255, histogram_C256.sum(axis=1)
    mean_C = histogram_C256 @ value / count_C
    variance_C = (histogram_C256 * (value - mean_C[:, None]) ** 2).sum(axis=1) / count_C
    return mean_C.tolist(), np.sqrt(variance_C).tolist()


def _open(folder: Path) -> Stored:
    try:
        meta = json.loads((folder / "meta.json").read_text())
        train, test = _open_split(folder, "train"), _open_split(folder, "test")
        mean_C, std_C, classes = (tuple(meta[key]) for key in ("mean_C", "std_C", "classes"))
        return Stored(*train, *test, mean_C, std_C, classes)
    except (OSError, ValueError, KeyError) as error:
        raise RequestError(f"damaged cache {folder}: {error}; delete it and it is decoded again") from error


def _open_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """x_NHWC as a plain array over the mapping (np.memmap's own bookkeeping would cost every index), y_N."""
    x_NHWC = np.asarray(np.load(folder / f"{split}_x.npy", mmap_mode="r"))
    return x_NHWC, np.load(folder / f"{split}_y.npy")
