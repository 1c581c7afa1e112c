"""The decoded cache: uint8 arrays on disk, written once, mapped into memory by every process that trains.

`<cache>/<fingerprint>-<H>x<W>x<C>-v2/` holds train_x.npy, train_y.npy, test_x.npy, test_y.npy and meta.json.
A validation split of the data's own lies behind the training split in the same arrays.
It is written beside, under a lock that dies with its process, and renamed: what has the name is whole.
The operating system keeps one copy of the pages for all processes.
"""

import json
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image

from trainlab.data.data_quality import quality_notes
from trainlab.data.dataset_sources import Decoded, Examples
from trainlab.data.files import explain_write_errors
from trainlab.data.image_conversion import BitDepth, ShapeHWC, to_pixels
from trainlab.errors import RequestError

VERSION = 2
"""Raised whenever decoding gives other pixels or files: it is part of the folder's name."""
CHUNK_IMAGES = 2000

Pixels: TypeAlias = np.ndarray | Image.Image


@dataclass(frozen=True)
class DecodedArrays:
    """Both official splits as arrays. x_NHWC uint8, read-only and mapped; y_N int64.

    mean_C, std_C: of each channel over all pixels of the training split, in units of 0..1.
    val_rows: how many rows at the end of the training arrays are the data's own validation split.
    notes: what the user should know, as decoding showed it.
    bit_depth: black and white of images of more than 8 bits a pixel, or None.
    """

    train_x_NHWC: np.ndarray
    train_y_N: np.ndarray
    test_x_NHWC: np.ndarray
    test_y_N: np.ndarray
    mean_C: tuple[float, ...]
    std_C: tuple[float, ...]
    classes: tuple[str, ...]
    val_rows: int = 0
    notes: tuple[str, ...] = ()
    bit_depth: BitDepth | None = None


def open_decoded(
    fingerprint: str, shape_HWC: ShapeHWC, cache: Path, read: Callable[[], Decoded]
) -> DecodedArrays:
    """The decoded data set, decoded now (with `read`) if no process has done so before.

    Several processes may need it at once: one decodes, the others wait for it.
    Raises RequestError for a cache that cannot be written or is damaged, and whatever `read` raises.
    """
    folder = cache / f"{fingerprint}-{'x'.join(map(str, shape_HWC))}-v{VERSION}"
    if not folder.is_dir():
        with explain_write_errors(cache):
            cache.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder.with_suffix(".lock"))
            lock.acquire()
        try:
            if not folder.is_dir():
                _decode_into(folder, shape_HWC, read, cache)
        finally:
            lock.release()
    return _open_arrays(folder)


def _decode_into(folder: Path, shape_HWC: ShapeHWC, read: Callable[[], Decoded], cache: Path) -> None:
    partial = folder.with_suffix(".partial")
    decoded = read()
    classes = len(decoded.classes)
    try:
        with explain_write_errors(cache):
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed: the lock is ours
            partial.mkdir()
            histogram_C256 = _write_split(partial, "train", decoded.train, decoded.val, shape_HWC, classes)
            _write_split(partial, "test", decoded.test, None, shape_HWC, classes)
            (partial / "meta.json").write_text(json.dumps(_metadata(partial, decoded, histogram_C256)))
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _metadata(folder: Path, decoded: Decoded, histogram_C256: np.ndarray) -> dict[str, object]:
    mean_C, std_C = channel_statistics(histogram_C256)
    bit_depth, val_rows = decoded.bit_depth(), len(decoded.val.y_N) if decoded.val else 0
    arrays = [folder / f"{split}_{part}.npy" for split in ("train", "test") for part in "xy"]
    return {
        "classes": decoded.classes, "mean_C": mean_C, "std_C": std_C, "val_rows": val_rows,
        "notes": [*decoded.notes(), *quality_notes(folder, val_rows, decoded.classes, histogram_C256)],
        "depth": bit_depth.as_plain() if bit_depth else None,
        "checks": {path.name: [*_size_and_mtime(path), _checksum(path)] for path in arrays},
    }  # fmt: skip


def _write_split(
    folder: Path, split: str, examples: Examples, more: Examples | None, shape_HWC: ShapeHWC, classes: int
) -> np.ndarray:
    """Write one split, and `more` behind it; the histogram of the split's own pixels, C × 256."""
    parts = [(split, examples), *([("validation", more)] if more else [])]
    labels = [integer_labels(part.y_N, name, classes) for name, part in parts]
    y_N = np.concatenate(labels)
    path = folder / f"{split}_x.npy"
    with path.open("wb") as file:  # not through a mapping: there, a full disk kills the process
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(y_N), *shape_HWC)}
        np.lib.format.write_array_header_1_0(file, header)
        for (name, part), part_y_N in zip(parts, labels, strict=True):
            images = 0
            for images, image in enumerate(_explain_source_errors(part.images), start=1):  # noqa: B007
                file.write(to_pixels(image, shape_HWC).tobytes())
            if images != len(part_y_N):
                raise RequestError(f"{name} split: got {images:,} images for {len(part_y_N):,} labels")
    np.save(folder / f"{split}_y.npy", y_N)
    return _histogram(np.load(path, mmap_mode="r")[: len(labels[0])])


def integer_labels(y_N: npt.ArrayLike, split: str, classes: int) -> np.ndarray:
    """Labels as int64. RequestError for any that is missing, a fraction, or none of 0..K-1."""
    got_N = np.asarray(y_N)
    if got_N.ndim != 1 or got_N.dtype.kind not in "iufb":
        raise RequestError(f"{split} labels: got {got_N.dtype} of shape {got_N.shape}, expected N integers")
    if got_N.dtype.kind == "f":
        if np.isnan(got_N).any():
            raise RequestError(
                f"{split} labels: {np.isnan(got_N).sum():,} of {len(got_N):,} are missing (null)"
            )
        if (odd_N := got_N[got_N != np.floor(got_N)]).size:
            raise RequestError(f"{split} labels: got {odd_N[0]:g}, expected whole numbers")
    whole_N = got_N.astype(np.int64)
    if len(whole_N) == 0 or whole_N.min() < 0 or whole_N.max() >= classes:
        got = f"{whole_N.min()}..{whole_N.max()}" if len(whole_N) else "none"
        raise RequestError(f"{split} labels: got {got}, expected at least one, each of 0..{classes - 1}")
    return whole_N


def _explain_source_errors(images: Iterable[Pixels]) -> Iterator[Pixels]:
    """The images; a source that cannot read them is not to be mistaken for a cache that cannot be written."""
    try:
        yield from images
    except OSError as error:
        raise RequestError(f"the source's images cannot be read: {error}") from error


def _histogram(x_NHWC: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel, C × 256, counted in chunks of CHUNK_IMAGES."""
    histogram_C256 = np.zeros((x_NHWC.shape[3], 256), dtype=np.int64)
    for first in range(0, len(x_NHWC), CHUNK_IMAGES):
        for channel, counts_256 in enumerate(histogram_C256):
            values = x_NHWC[first : first + CHUNK_IMAGES, :, :, channel].ravel()
            counts_256 += np.bincount(values, minlength=256)
    return histogram_C256


def channel_statistics(histogram_C256: np.ndarray) -> tuple[list[float], list[float]]:
    """(mean_C, std_C) in units of 0..1 of pixels counted by value: exact, whatever the number of pixels."""
    value, count_C = np.arange(256) / 255, histogram_C256.sum(axis=1)
    mean_C = histogram_C256 @ value / count_C
    variance_C = (histogram_C256 * (value - mean_C[:, None]) ** 2).sum(axis=1) / count_C
    return mean_C.tolist(), np.sqrt(variance_C).tolist()


def _open_arrays(folder: Path) -> DecodedArrays:
    try:
        meta = json.loads((folder / "meta.json").read_text())
        for name, (*marks, checksum) in meta["checks"].items():
            path = folder / name
            # a copied cache has other times: then its bytes are counted, which costs a tenth of a second
            if marks != _size_and_mtime(path) and checksum != _checksum(path):
                raise ValueError(f"{name} is not what was written")
        train, test = _open_split(folder, "train"), _open_split(folder, "test")
        mean_C, std_C, classes, notes = (tuple(meta[key]) for key in ("mean_C", "std_C", "classes", "notes"))
        bit_depth, val_rows = BitDepth.from_plain(meta["depth"]), int(meta["val_rows"])
        return DecodedArrays(*train, *test, mean_C, std_C, classes, val_rows, notes, bit_depth)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(f"damaged cache {folder}: {error}; delete it and it is decoded again") from error


def _size_and_mtime(path: Path) -> list[int]:
    """Size and time of the last change: what tells cheaply that a file is as it was written."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def _checksum(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while part := file.read(2**22):
            crc = zlib.crc32(part, crc)
    return crc


def _open_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """x_NHWC as a plain array over the mapping (np.memmap's own bookkeeping would cost every index), y_N."""
    x_NHWC = np.asarray(np.load(folder / f"{split}_x.npy", mmap_mode="r"))
    return x_NHWC, np.load(folder / f"{split}_y.npy")
