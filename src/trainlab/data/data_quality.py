"""Faults of a data set that its decoded arrays show: duplicate images, empty classes, dark pixels."""

import hashlib
from pathlib import Path

import numpy as np

DARKEST = 32
"""Of 255: where no pixel of the training split is brighter, its values were hardly meant as 0..255."""


def quality_notes(
    folder: Path, val_rows: int, classes: tuple[str, ...], histogram_C256: np.ndarray
) -> list[str]:
    """Notes on the arrays of a cache that is being written; `val_rows` lie at the training arrays' end."""
    train_x, train_y, test_x, test_y = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("train_x", "train_y", "test_x", "test_y")
    )
    rows = len(train_y) - val_rows
    train, val, test = map(_image_digests, (train_x[:rows], train_x[rows:], test_x))
    notes = [
        _shared_images_note("test", test, "training", train),
        _shared_images_note("validation", val, "training", train),
        _shared_images_note("test", test, "validation", val),
        _conflicting_labels_note([*train, *val], train_y),
        *_empty_classes_notes(train_y[:rows], test_y, classes),
        _dark_images_note(histogram_C256),
    ]
    return [note for note in notes if note]


def _image_digests(x_NHWC: np.ndarray) -> list[bytes]:
    return [hashlib.blake2b(image.tobytes(), digest_size=12).digest() for image in x_NHWC]


def _shared_images_note(name: str, digests: list[bytes], other: str, others: list[bytes]) -> str | None:
    known = set(others)
    count = sum(digest in known for digest in digests)
    if not count:
        return None
    return f"{count:,} of {len(digests):,} {name} images are {other} images too"


def _conflicting_labels_note(digests: list[bytes], y_N: np.ndarray) -> str | None:
    labels: dict[bytes, int] = {}
    conflicting = {
        digest
        for digest, label in zip(digests, y_N.tolist(), strict=True)
        if labels.setdefault(digest, label) != label
    }
    if not conflicting:
        return None
    return f"{len(conflicting):,} training images lie in two classes or more"


def _empty_classes_notes(train_y_N: np.ndarray, test_y_N: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    notes = []
    for split, y_N in (("training", train_y_N), ("test", test_y_N)):
        absent = np.flatnonzero(np.bincount(y_N, minlength=len(classes)) == 0)
        if len(absent):
            notes.append(f"classes without {split} images: {', '.join(classes[k] for k in absent[:10])}")
    return notes


def _dark_images_note(histogram_C256: np.ndarray) -> str | None:
    brightest = int(np.flatnonzero(histogram_C256.sum(axis=0))[-1])
    if brightest >= DARKEST:
        return None
    return f"no pixel of the training images is brighter than {brightest} of 255: are the values meant so?"
