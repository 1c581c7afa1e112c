"""`load_images`: a data set found, decoded, and cut into training, validation and test split."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainlab.data import splits
from trainlab.data.alterations import mislabel, permute_pixels
from trainlab.data.dataset_sources import DatasetHandle, SourceLike, build_source
from trainlab.data.decoded_cache import DecodedArrays, open_decoded
from trainlab.data.fingerprint import identify_files
from trainlab.data.image_conversion import BitDepth, ShapeHWC
from trainlab.errors import RequestError

DEFAULT_VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Some rows of a stored array.

    x_NHWC: uint8, read-only, all rows that are stored (training and validation split share them).
    y_N: int64, the labels of all these rows.
    index: int64, the rows that belong to this split, in the order in which evaluation sees them.
    """

    x_NHWC: np.ndarray
    y_N: np.ndarray
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    @property
    def labels_N(self) -> np.ndarray:
        """The labels of this split's own examples, in the order of `index`."""
        return self.y_N[self.index]


@dataclass(frozen=True)
class ImageData:
    """A data set ready for training.

    mean_C, std_C: of the whole official training split, per channel, in units of 0..1.
    classes: the names of the K classes, in the order of their labels.
    fingerprint, copy: what decides the content, and which copy it is ("official files", …).
    notes: what the user should know about the data, a line each (files passed over, images in two splits, …).
    bit_depth: black and white of images of more than 8 bits a pixel; None without any.
    """

    train: Split
    val: Split
    test: Split
    mean_C: tuple[float, ...]
    std_C: tuple[float, ...]
    classes: tuple[str, ...]
    fingerprint: str
    copy: str
    notes: tuple[str, ...] = ()
    bit_depth: BitDepth | None = None

    @property
    def in_shape_CHW(self) -> tuple[int, int, int]:
        """The shape of one image as a network sees it."""
        height, width, channels = self.train.x_NHWC.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.classes)


def load_images(
    source: SourceLike,
    root: str | Path,
    cache: str | Path,
    *,
    image_size: int | None = None,
    channels: int | None = None,
    num_classes: int | None = None,
    val_size: int | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    split_seed: int = 0,
    pixel_order: int | None = None,
    label_noise: float = 0.0,
) -> ImageData:
    """Find, decode (the first time) and split a data set.

    source: a built-in name, an object with `find(root)`, or a `{_target_: …}` node of settings; a class of
        one's own may stand in the user's own settings (`Section.is_trusted`), or where it is
        allowed.
    root, cache: paths.data (may be read-only) and paths.cache.
    image_size, channels: None keeps the images' own.
    num_classes: the first K classes only; None keeps all.
    val_size: images cut from the training split with its class shares; None is a tenth (at least one image),
        0 is none. Where the data have a validation split of their own it is cut from that, and None is all.
    train_size: of what remains, so many, shuffled and equally many of each class as far as they go.
    test_size: so many of the official test split, shuffled, with its class shares; None is all of it.
    split_seed: the seed of these three cuts, and of which labels are wrong.
    pixel_order: the seed of one order in which the pixels of all images come; None leaves them in place.
    label_noise: the share of the training split's labels that is wrong (0..1); others stay right.

    Raises RequestError for missing or corrupt data, a cache that cannot be written, a value out of range.
    """
    _require_in_range("split_seed", split_seed, 0, None)
    handle = build_source(source).find(Path(root))
    identity = identify_files(handle, Path(cache))
    stored = open_decoded(
        identity.fingerprint, _target_shape(handle, image_size, channels), Path(cache), handle.read
    )
    if len(stored.classes) < 2:
        raise RequestError(f"data: got one class, {stored.classes[0]}; expected two at least")
    kept = _kept_classes(num_classes, stored.classes)
    train, val = _training_rows(stored, kept, val_size, train_size, split_seed)
    test = _test_rows(stored.test_y_N, kept, test_size, split_seed)
    data = ImageData(
        train=Split(stored.train_x_NHWC, stored.train_y_N, train),
        val=Split(stored.train_x_NHWC, stored.train_y_N, val),
        test=Split(stored.test_x_NHWC, stored.test_y_N, test),
        mean_C=stored.mean_C,
        std_C=stored.std_C,
        classes=stored.classes[:kept],
        fingerprint=identity.fingerprint,
        copy=identity.copy,
        notes=tuple(dict.fromkeys([*identity.notes, *stored.notes, *_split_notes(stored, kept, train, val)])),
        bit_depth=stored.bit_depth,
    )
    if label_noise:
        data = _with_wrong_labels(data, label_noise, split_seed)
    return data if pixel_order is None else _with_pixel_order(data, pixel_order)


def _with_wrong_labels(data: ImageData, share: float, seed: int) -> ImageData:
    y_N = data.train.y_N.copy()
    y_N[data.train.index] = mislabel(data.train.labels_N, share, data.num_classes, seed)
    return replace(data, train=replace(data.train, y_N=y_N))


def _with_pixel_order(data: ImageData, seed: int) -> ImageData:
    """Copies of the stored images, in memory; training and validation split still share theirs."""
    train_x_NHWC, test_x_NHWC = (permute_pixels(s.x_NHWC, seed) for s in (data.train, data.test))
    return replace(
        data,
        train=replace(data.train, x_NHWC=train_x_NHWC),
        val=replace(data.val, x_NHWC=train_x_NHWC),
        test=replace(data.test, x_NHWC=test_x_NHWC),
    )


def _split_notes(stored: DecodedArrays, kept: int, train: np.ndarray, val: np.ndarray) -> list[str]:
    """What the cuts left without images."""
    notes = []
    own = len(stored.train_y_N) - stored.val_rows
    available, used = (
        np.bincount(stored.train_y_N[rows], minlength=kept)[:kept] > 0 for rows in (np.arange(own), train)
    )
    if len(lost := np.flatnonzero(available & ~used)):
        names = ", ".join(stored.classes[k] for k in lost[:10])
        notes.append(f"classes without training images after the cuts: {names}")
    if stored.val_rows and len(val) < stored.val_rows:
        notes.append(f"of {stored.val_rows:,} validation images {len(val):,} are used (data.val_size)")
    return notes


def _target_shape(handle: DatasetHandle, image_size: int | None, channels: int | None) -> ShapeHWC:
    if image_size is not None:
        _require_in_range("image_size", image_size, 1, None)
    if image_size is not None and channels is not None:
        return image_size, image_size, channels
    if handle.shape_HWC is None:
        raise RequestError("data.image_size and data.channels: got null, expected both (images of any sizes)")
    height, width, own_channels = handle.shape_HWC
    return image_size or height, image_size or width, channels or own_channels


def _kept_classes(num_classes: int | None, classes: tuple[str, ...]) -> int:
    if num_classes is None:
        return len(classes)
    return _require_in_range(
        "num_classes", num_classes, 2, len(classes), f"the classes are {', '.join(classes)}"
    )


def _training_rows(
    stored: DecodedArrays, kept: int, val_size: int | None, train_size: int | None, split_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the training and of the validation split."""
    y_N = stored.train_y_N
    own = len(y_N) - stored.val_rows
    train, val = np.flatnonzero(y_N[:own] < kept), own + np.flatnonzero(y_N[own:] < kept)
    if stored.val_rows:
        if val_size is not None:
            _require_in_range(
                "val_size", val_size, 0, len(val), f"the data's own validation split has {len(val):,} images"
            )
            val = val[splits.stratified(y_N[val], val_size, splits.rng(split_seed, "validation"))[0]]
        left_out = 0
    else:
        train, val = _cut_validation(y_N, train, val_size, split_seed)
        left_out = len(val)
    if train_size is not None:
        why = f"what {left_out:,} for validation leave of {len(train) + left_out:,}"
        _require_in_range("train_size", train_size, 1, len(train), why)
        train = train[splits.balanced(y_N[train], train_size, splits.rng(split_seed, "train"))[0]]
    return train, val


def _cut_validation(
    y_N: np.ndarray, rows: np.ndarray, val_size: int | None, split_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(training, validation) rows, cut from those of the training split."""
    if val_size is None:
        val_size = max(round(DEFAULT_VALIDATION_SHARE * len(rows)), min(1, len(rows) - 1))
    _require_in_range("val_size", val_size, 0, len(rows) - 1, f"cut from {len(rows):,} training images")
    val, train = splits.stratified(y_N[rows], val_size, splits.rng(split_seed, "validation"))
    return rows[train], rows[val]


def _test_rows(y_N: np.ndarray, kept: int, test_size: int | None, split_seed: int) -> np.ndarray:
    rows = np.flatnonzero(y_N < kept)
    if test_size is None:
        return rows
    _require_in_range("test_size", test_size, 1, len(rows), "the official test split")
    return rows[splits.stratified(y_N[rows], test_size, splits.rng(split_seed, "test"))[0]]


def _require_in_range(name: str, got: int, at_least: int, at_most: int | None, why: str = "") -> int:
    if got < at_least or (at_most is not None and got > at_most):
        allowed = f"at least {at_least}" if at_most is None else f"{at_least} to {at_most:,}"
        raise RequestError(f"data.{name}: got {got:,}, expected {allowed}" + (f" ({why})" if why else ""))
    return got
