"""Class folders: `train/<class>/*.png` and `test/<class>/*.png` (or jpg, …), of any sizes.

Their own order would be by class, so that the first thousand images show one class only: they are read in
turns instead, the first image of every class, then the second of every class, and so on.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainlab.data import splits
from trainlab.data.files import reading
from trainlab.data.sources import Decoded, Examples, Found
from trainlab.errors import RequestError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"})
SHOWN_SUFFIXES = ", ".join(sorted(SUFFIXES))
TEST_SHARE = 0.2
TEST_SEED = 0
"""Where only `train` is there: this share of each class becomes the test split, always the same images."""


def find(
    folder: Path,
    classes: Sequence[str] | None = None,
    shape_HWC: tuple[int, int, int] | None = None,
    *,
    cut_test: bool = False,
) -> Found | None:
    """The data set in `folder`, or None where it has no class folders.

    classes: the names that the folders must have, in the order of the labels (or their numbers 0..K-1);
        None takes what is there, sorted.
    cut_test: without a `test` folder, cut the test split from `train` (and say so in `copy`).
    Raises RequestError for a class without images, or test classes that are no training classes.
    """
    train, test = _images_by_class(folder / "train"), _images_by_class(folder / "test")
    if not train or not (test or cut_test):
        return None
    names = _label_order(folder, sorted(train), classes)
    if extra := sorted(set(test) - set(train)):
        raise RequestError(f"class folders in {folder}: test has {extra}, which train does not have")
    paths = [path for split in (train, test) for of_class in split.values() for path in of_class]

    def read() -> Decoded:
        train_paths, train_y = _in_turns(train, names)
        if test:
            test_paths, test_y = _in_turns(test, names)
        else:
            size = max(1, round(TEST_SHARE * len(train_y)))
            cut, rest = splits.stratified(train_y, size, splits.rng(TEST_SEED, "test"))
            test_paths, test_y = [train_paths[i] for i in np.sort(cut)], train_y[np.sort(cut)]
            train_paths, train_y = [train_paths[i] for i in rest], train_y[rest]
        shown = tuple(classes or names)
        return Decoded(Examples(_open(train_paths), train_y), Examples(_open(test_paths), test_y), shown)

    copy = "class folders" if test else "class folders, test split cut from train"
    files = {path.relative_to(folder).as_posix(): path for path in paths}
    recipe = "" if test else f"test: {TEST_SHARE} of train, seed {TEST_SEED}"
    return Found(copy=copy, read=read, files=files, recipe=recipe, shape_HWC=shape_HWC)


def _images_by_class(folder: Path) -> dict[str, list[Path]]:
    if not folder.is_dir():
        return {}
    found = {}
    for class_folder in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found[class_folder.name] = _images_below(class_folder)
        if not found[class_folder.name]:
            raise RequestError(f"class folder {class_folder} holds no images: expected {SHOWN_SUFFIXES}")
    return found


def _images_below(folder: Path) -> list[Path]:
    paths = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return sorted(p for p in paths if p.is_file())


def _label_order(folder: Path, names: list[str], classes: Sequence[str] | None) -> list[str]:
    """The folders' names in the order of their labels."""
    if classes is None or set(names) == set(classes):
        return list(classes or names)
    numbers = [str(label) for label in range(len(classes))]
    if set(names) == set(numbers):
        return numbers
    raise RequestError(f"class folders in {folder}: got {', '.join(names)}, expected {', '.join(classes)}")


def _in_turns(by_class: dict[str, list[Path]], names: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    turns = sorted(
        (turn, label, path)
        for label, name in enumerate(names)
        for turn, path in enumerate(by_class.get(name, []))
    )
    return [path for _, _, path in turns], np.array([label for _, label, _ in turns], dtype=np.int64)


def _open(paths: Sequence[Path]) -> Iterator[Image.Image]:
    for path in paths:
        with reading(path, Image.DecompressionBombError), Image.open(path) as image:
            upright = ImageOps.exif_transpose(image)  # loads it whole: a truncated file raises here
        yield upright
