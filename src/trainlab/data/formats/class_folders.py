"""Class folders: `train/<class>/*.png` and `test/<class>/*.png` (or jpg, …), of any sizes.

In alphabetical order the first thousand images would show one class only. They are read round-robin instead:
the first image of every class, then the second of every class, and so on.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from trainlab.data import splits
from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples
from trainlab.data.encoded_images import EncodedImage, EncodedImages
from trainlab.data.image_conversion import ShapeHWC
from trainlab.errors import RequestError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"})
SHOWN_SUFFIXES = ", ".join(sorted(SUFFIXES))
SPLIT_FOLDER_NAMES = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation", "dev"),
}
"""What the folder of a split may be called, in any capitals; the first is trainlab's own name."""
IGNORED_FOLDERS = frozenset({"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"})
IGNORED_FILES = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
"""What operating systems leave in folders: ignored, as everything that begins with a dot."""
TEST_SHARE = 0.2
TEST_SEED = 0
"""Without a `test` folder this share of each class becomes the test split, always the same images."""
MAX_NAMED = 5

Rows: TypeAlias = tuple[list[Path], np.ndarray]
"""Files of a split, and their labels y_N."""


@dataclass
class FolderContents:
    """What lies in a split's folder.

    images: by class.
    skipped_suffixes: how many files of each suffix are no images.
    dangling_links, linked_folders: symbolic links that are not followed.
    loose_images: images in no class folder.
    """

    images: dict[str, list[Path]] = field(default_factory=dict)
    skipped_suffixes: Counter[str] = field(default_factory=Counter)
    dangling_links: list[Path] = field(default_factory=list)
    linked_folders: list[Path] = field(default_factory=list)
    loose_images: int = 0


def find(
    folder: Path,
    classes: Sequence[str] | None = None,
    shape_HWC: ShapeHWC | None = None,
    *,
    cut_test: bool = False,
) -> DatasetHandle | None:
    """The data set in `folder`, or None where it has no class folders.

    classes: the names that the folders must have, in the order of the labels (or their numbers 0..K-1);
        None takes what is there, sorted.
    cut_test: without a `test` folder, cut the test split from `train` (and say so in `copy`).
    Raises RequestError for a class without images, a single class, links that lead nowhere, or test classes
    that are no training classes.
    """
    folders = split_folders(folder)
    spellings: dict[str, str] = {}
    contents = {
        split: _scan_split(folders[split], spellings) if split in folders else FolderContents()
        for split in SPLIT_FOLDER_NAMES
    }
    train, test, val = (contents[split].images for split in SPLIT_FOLDER_NAMES)
    if not train or not (test or cut_test):
        return None
    _check_contents(folder, contents)
    names = _label_order(folder, sorted(train), classes)
    if not test:
        _check_test_split_can_be_cut(folder, train)
    rows = {split: _round_robin(contents[split].images, names) for split in SPLIT_FOLDER_NAMES}
    return DatasetHandle(
        copy="class folders" if test else "class folders, test split cut from train",
        read=lambda: _read(rows, tuple(classes or names), shape_HWC, cut_test=not test),
        files={
            f"{split}/{path.relative_to(folders[split]).as_posix()}": path
            for split, (paths, _) in rows.items()
            for path in paths
        },
        recipe="" if test else f"test: {TEST_SHARE} of train, seed {TEST_SEED}",
        shape_HWC=shape_HWC,
        notes=_notes(contents, has_val=bool(val)),
    )


def _read(
    rows: Mapping[str, Rows], classes: tuple[str, ...], shape_HWC: ShapeHWC | None, *, cut_test: bool
) -> Decoded:
    if cut_test:
        train, test = _cut_test_split(*rows["train"])
        rows = {**rows, "train": train, "test": test}
    encoded = {split: _encoded_images(paths) for split, (paths, _) in rows.items()}
    images = EncodedImages(encoded, size=(shape_HWC[1], shape_HWC[0]) if shape_HWC else None)
    parts = {split: Examples(images.decode(split), y_N) for split, (_, y_N) in rows.items() if len(y_N)}
    return Decoded(
        parts["train"],
        parts["test"],
        classes,
        parts.get("val"),
        notes=images.notes,
        bit_depth=images.used_bit_depth,
    )


def split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split, by trainlab's name for it. RequestError where two folders mean one split."""
    if not folder.is_dir():
        return {}
    folders: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir() or _is_dangling_link(p)):
        split = next(
            (split for split, names in SPLIT_FOLDER_NAMES.items() if path.name.lower() in names), None
        )
        if split in folders:
            raise RequestError(
                f"{folder} holds both {folders[split].name}/ and {path.name}/: which is the {split} split?"
            )
        if split is not None and _is_dangling_link(path):
            raise RequestError(f"links that lead nowhere: {path}")
        if split is not None:
            folders[split] = path
    return folders


def class_folders_in(folder: Path) -> list[str]:
    """Names of the folders in `folder` that hold images, at any depth: what may be meant as classes."""
    if not folder.is_dir():
        return []
    return [
        p.name
        for p in sorted(folder.iterdir())
        if _is_class_folder(p) and next(_image_files(p, FolderContents()), None)
    ]


def _is_class_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and path.name not in IGNORED_FOLDERS


def _scan_split(folder: Path, spellings: dict[str, str]) -> FolderContents:
    """Images by class. `spellings` holds how a name was first written: Unicode has two ways for an "é"."""
    contents = FolderContents()
    for path in sorted(folder.iterdir()):
        if _is_dangling_link(path):
            contents.dangling_links.append(path)
        elif _is_class_folder(path):
            name = spellings.setdefault(unicodedata.normalize("NFC", path.name), path.name)
            images = sorted(_image_files(path, contents))
            if not images and not contents.dangling_links:
                suffixes = _suffix_counts(contents.skipped_suffixes)
                raise RequestError(
                    f"class folder {path} holds no images: expected {SHOWN_SUFFIXES}"
                    + (f"; got {suffixes}" if suffixes else "")
                )
            contents.images.setdefault(name, []).extend(images)
        elif path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            contents.loose_images += 1
    return contents


def _image_files(folder: Path, contents: FolderContents) -> Iterator[Path]:
    """Images at any depth below a class folder; hidden files and folders are passed over."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        if entry.name.startswith(".") or entry.name in IGNORED_FOLDERS or entry.name.lower() in IGNORED_FILES:
            continue
        path, suffix = Path(entry.path), os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        if entry.is_dir(follow_symlinks=False):
            yield from _image_files(path, contents)
        elif _is_dangling_link(path):
            contents.dangling_links.append(path)
        elif entry.is_dir():
            contents.linked_folders.append(path)
        elif suffix in SUFFIXES and entry.is_file():
            yield path
        else:
            contents.skipped_suffixes[suffix or "without a suffix"] += 1


def _is_dangling_link(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _check_contents(folder: Path, contents: Mapping[str, FolderContents]) -> None:
    if dangling := [path for split in contents.values() for path in split.dangling_links]:
        more = f" and {len(dangling) - MAX_NAMED:,} more" if len(dangling) > MAX_NAMED else ""
        raise RequestError(f"links that lead nowhere: {', '.join(map(str, dangling[:MAX_NAMED]))}{more}")
    train = contents["train"].images
    if len(train) < 2:
        raise RequestError(
            f"class folders in {folder}: got one class, {next(iter(train))}; expected two at least"
        )
    for split in ("test", "val"):
        if extra := sorted(set(contents[split].images) - set(train)):
            raise RequestError(
                f"class folders in {folder}: {split} has {extra}, which train does not have: "
                f"it has {sorted(train)}{_case_mismatch_hint(extra, train)}"
            )


def _case_mismatch_hint(extra: Sequence[str], train: Mapping[str, list[Path]]) -> str:
    known = {name.casefold(): name for name in train}
    pairs = [f"{name} and {known[name.casefold()]}" for name in extra if name.casefold() in known]
    return f" ({', '.join(pairs)} differ in capitals alone: rename one)" if pairs else ""


def _check_test_split_can_be_cut(folder: Path, train: Mapping[str, list[Path]]) -> None:
    """A class with one image would be left without any to train on."""
    if single := [name for name, paths in train.items() if len(paths) < 2]:
        raise RequestError(
            f"class folders in {folder}: one image only in {', '.join(single[:MAX_NAMED])}; "
            "expected two at least, since the test split is cut from train where there is no test/"
        )


def _notes(contents: Mapping[str, FolderContents], *, has_val: bool) -> list[str]:
    """What the user should know about the files, a line each."""
    notes = []
    skipped = sum((split.skipped_suffixes for split in contents.values()), Counter())
    if skipped:
        counts = _suffix_counts(skipped)
        notes.append(f"{skipped.total():,} files passed over: {counts} (read are {SHOWN_SUFFIXES})")
    if linked := [path for split in contents.values() for path in split.linked_folders]:
        named = ", ".join(map(str, linked[:MAX_NAMED]))
        notes.append(f"linked folders inside a class are not followed: {named}")
    for name, split in contents.items():
        if split.loose_images:
            fate = "they are not used" if split.images else "this split is not used"
            notes.append(f"{split.loose_images:,} images lie in {name}/ itself, in no class folder: {fate}")
    if has_val:
        notes.append("val/ is the validation split")
    if absent := _classes_without_test_images(contents):
        notes.append(f"classes without test images: {', '.join(absent[:MAX_NAMED])}")
    return notes


def _classes_without_test_images(contents: Mapping[str, FolderContents]) -> list[str]:
    train, test = contents["train"].images, contents["test"].images
    return sorted(set(train) - set(test)) if test else []


def _suffix_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(counts.items()))


def _label_order(folder: Path, names: list[str], classes: Sequence[str] | None) -> list[str]:
    """The folders' names in the order of their labels."""
    if classes is None or set(names) == set(classes):
        return list(classes or names)
    numbers = [str(label) for label in range(len(classes))]
    if set(names) == set(numbers):
        return numbers
    raise RequestError(f"class folders in {folder}: got {', '.join(names)}, expected {', '.join(classes)}")


def _round_robin(by_class: Mapping[str, list[Path]], names: Sequence[str]) -> Rows:
    turns = sorted(
        (turn, label, path)
        for label, name in enumerate(names)
        for turn, path in enumerate(by_class.get(name, []))
    )
    return [path for _, _, path in turns], np.array([label for _, label, _ in turns], dtype=np.int64)


def _cut_test_split(paths: list[Path], y_N: np.ndarray) -> tuple[Rows, Rows]:
    """(training, test): a fifth of each class, always the same images, becomes the test split."""
    size = max(1, round(TEST_SHARE * len(y_N)))
    cut, rest = splits.stratified(y_N, size, splits.rng(TEST_SEED, "test"))
    cut = np.sort(cut)
    return ([paths[i] for i in rest], y_N[rest]), ([paths[i] for i in cut], y_N[cut])


def _encoded_images(paths: Sequence[Path]) -> list[EncodedImage]:
    return [(str(path), path) for path in paths]
