"""Class folders: `train/<class>/*.png` and `test/<class>/*.png` (or jpg, …), of any sizes.

Their own order would be by class, so that the first thousand images show one class only: they are read in
turns instead, the first image of every class, then the second of every class, and so on.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from trainlab.data import splits
from trainlab.data.dataset_sources import DatasetHandle, Decoded, Examples
from trainlab.data.encoded_images import EncodedImage, EncodedImages
from trainlab.errors import RequestError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".tif", ".tiff"})
SHOWN_SUFFIXES = ", ".join(sorted(SUFFIXES))
SPLIT_FOLDER_NAMES = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation", "dev"),
}
"""What the folder of a split is called, in any capitals; the first is the name that we use."""
IGNORED_FOLDERS = frozenset({"__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"})
IGNORED_FILES = frozenset({"thumbs.db", "desktop.ini", "icon\r"})
"""What systems leave in folders: passed over without a word, as everything that begins with a dot."""
TEST_SHARE = 0.2
TEST_SEED = 0
"""Where only `train` is there: this share of each class becomes the test split, always the same images."""
MAX_NAMED = 5


@dataclass
class FolderContents:
    """Images by class, and what else lay there: files by suffix, links that lead nowhere, linked folders."""

    images: dict[str, list[Path]] = field(default_factory=dict)
    passed: Counter[str] = field(default_factory=Counter)
    dangling: list[Path] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)
    loose: int = 0


def find(
    folder: Path,
    classes: Sequence[str] | None = None,
    shape_HWC: tuple[int, int, int] | None = None,
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
    homes = split_folders(folder)
    spelled: dict[str, str] = {}
    seen = {
        split: _scan_split(homes[split], spelled) if split in homes else FolderContents()
        for split in SPLIT_FOLDER_NAMES
    }
    train, test, val = (seen[split].images for split in SPLIT_FOLDER_NAMES)
    if not train or not (test or cut_test):
        return None
    _check_contents(folder, seen)
    names = _label_order(folder, sorted(train), classes)
    if not test:
        _check_test_split_can_be_cut(folder, train)
    shown = tuple(classes or names)
    paths = {split: _round_robin(of_split.images, names) for split, of_split in seen.items()}

    def read() -> Decoded:
        turns = dict(paths)
        if not test:
            turns["train"], turns["test"] = _cut_test_split(*paths["train"])
        named = {split: _encoded_images(of_split) for split, (of_split, _) in turns.items()}
        pictures = EncodedImages(named, size=(shape_HWC[1], shape_HWC[0]) if shape_HWC else None)
        parts = {split: Examples(pictures.of(split), y_N) for split, (_, y_N) in turns.items() if len(y_N)}
        return Decoded(
            parts["train"],
            parts["test"],
            shown,
            parts.get("val"),
            notes=pictures.notes,
            depth=lambda: pictures.known_depth,
        )

    copy = "class folders" if test else "class folders, test split cut from train"
    files = {
        f"{split}/{path.relative_to(homes[split]).as_posix()}": path
        for split, (of_split, _) in paths.items()
        for path in of_split
    }
    recipe = "" if test else f"test: {TEST_SHARE} of train, seed {TEST_SEED}"
    return DatasetHandle(copy, read, files, recipe, shape_HWC, notes=_notes(folder, seen, has_val=bool(val)))


def split_folders(folder: Path) -> dict[str, Path]:
    """The folder of each split that is there, by our own name for it. RequestError where two compete."""
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir() or _is_dangling_link(p)):
        split = next(
            (split for split, names in SPLIT_FOLDER_NAMES.items() if path.name.lower() in names), None
        )
        if split in found:
            raise RequestError(
                f"{folder} holds both {found[split].name}/ and {path.name}/: which is the {split} split?"
            )
        if split is not None and _is_dangling_link(path):
            raise RequestError(f"links that lead nowhere: {path}")
        if split is not None:
            found[split] = path
    return found


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


def _scan_split(folder: Path, spelled: dict[str, str]) -> FolderContents:
    """Images by class. `spelled` remembers how a name was first written: Unicode has two ways for an "é"."""
    seen = FolderContents()
    for path in sorted(folder.iterdir()):
        if _is_dangling_link(path):
            seen.dangling.append(path)
        elif _is_class_folder(path):
            name = spelled.setdefault(unicodedata.normalize("NFC", path.name), path.name)
            images = sorted(_image_files(path, seen))
            if not images and not seen.dangling:
                there = _suffix_counts(seen.passed)
                raise RequestError(
                    f"class folder {path} holds no images: expected {SHOWN_SUFFIXES}"
                    + (f"; got {there}" if there else "")
                )
            seen.images.setdefault(name, []).extend(images)
        elif path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            seen.loose += 1
    return seen


def _image_files(folder: Path, seen: FolderContents) -> Iterator[Path]:
    """Images at any depth below a class folder; hidden files and folders are passed over."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        if entry.name.startswith(".") or entry.name in IGNORED_FOLDERS or entry.name.lower() in IGNORED_FILES:
            continue
        path, suffix = Path(entry.path), os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        if entry.is_dir(follow_symlinks=False):
            yield from _image_files(path, seen)
        elif _is_dangling_link(path):
            seen.dangling.append(path)
        elif entry.is_dir():
            seen.linked.append(path)
        elif suffix in SUFFIXES and entry.is_file():
            yield path
        else:
            seen.passed[suffix or "without a suffix"] += 1


def _is_dangling_link(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _check_contents(folder: Path, seen: Mapping[str, FolderContents]) -> None:
    if dangling := [path for of_split in seen.values() for path in of_split.dangling]:
        more = f" and {len(dangling) - MAX_NAMED:,} more" if len(dangling) > MAX_NAMED else ""
        raise RequestError(f"links that lead nowhere: {', '.join(map(str, dangling[:MAX_NAMED]))}{more}")
    train = seen["train"].images
    if len(train) < 2:
        raise RequestError(
            f"class folders in {folder}: got one class, {next(iter(train))}; expected two at least"
        )
    for split in ("test", "val"):
        if extra := sorted(set(seen[split].images) - set(train)):
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


def _notes(folder: Path, seen: Mapping[str, FolderContents], *, has_val: bool) -> list[str]:
    """What is to be told about the files, a line each."""
    notes = []
    passed = sum((of_split.passed for of_split in seen.values()), Counter())
    if passed:
        notes.append(
            f"{sum(passed.values()):,} files passed over: {_suffix_counts(passed)} (read are "
            f"{SHOWN_SUFFIXES})"
        )
    if linked := [path for of_split in seen.values() for path in of_split.linked]:
        notes.append(
            f"linked folders inside a class are not followed: {', '.join(map(str, linked[:MAX_NAMED]))}"
        )
    for split, of_split in seen.items():
        if of_split.loose:
            fate = "they are not used" if of_split.images else "this split is not used"
            notes.append(f"{of_split.loose:,} images lie in {split}/ itself, in no class folder: {fate}")
    if has_val:
        notes.append("val/ is the validation split")
    if absent := sorted(set(seen["train"].images) - set(seen["test"].images)) if seen["test"].images else []:
        notes.append(f"classes without test images: {', '.join(absent[:MAX_NAMED])}")
    return notes


def _suffix_counts(passed: Counter[str]) -> str:
    return ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(passed.items()))


def _label_order(folder: Path, names: list[str], classes: Sequence[str] | None) -> list[str]:
    """The folders' names in the order of their labels."""
    if classes is None or set(names) == set(classes):
        return list(classes or names)
    numbers = [str(label) for label in range(len(classes))]
    if set(names) == set(numbers):
        return numbers
    raise RequestError(f"class folders in {folder}: got {', '.join(names)}, expected {', '.join(classes)}")


def _round_robin(by_class: Mapping[str, list[Path]], names: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    turns = sorted(
        (turn, label, path)
        for label, name in enumerate(names)
        for turn, path in enumerate(by_class.get(name, []))
    )
    return [path for _, _, path in turns], np.array([label for _, label, _ in turns], dtype=np.int64)


def _cut_test_split(
    paths: list[Path], y_N: np.ndarray
) -> tuple[tuple[list[Path], np.ndarray], tuple[list[Path], np.ndarray]]:
    """(training, test): a fifth of each class, always the same images, becomes the test split."""
    size = max(1, round(TEST_SHARE * len(y_N)))
    cut, rest = splits.stratified(y_N, size, splits.rng(TEST_SEED, "test"))
    cut = np.sort(cut)
    return ([paths[i] for i in rest], y_N[rest]), ([paths[i] for i in cut], y_N[cut])


def _encoded_images(paths: Sequence[Path]) -> list[EncodedImage]:
    return [(str(path), path) for path in paths]
