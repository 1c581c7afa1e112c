"""Class folders: each form loads, or is refused in one line; what the user should know is noted."""

import shutil
import unicodedata

import numpy as np
import pytest
from bright_images import is_as_bright_as_its_labels_say, pets, write, write_pets
from PIL import Image

from trainlab.errors import RequestError


def copies_of_a_notebook(folder):
    inside = folder / "train" / "a" / ".ipynb_checkpoints"
    inside.mkdir()
    shutil.copy(folder / "train" / "a" / "0.png", inside / "0-checkpoint.png")


def macosx(folder):
    write(folder / "train" / "__MACOSX", {"._0.png": b"\0"})
    write(folder / "train" / "a" / "__MACOSX", {"._0.png": b"\0"})


def other_suffixes(folder):
    for suffix in (".jfif", ".avif", ".heic", ""):
        shutil.copy(folder / "train" / "a" / "0.png", folder / "train" / "a" / f"more{suffix}")


FOLDERS_THAT_LOAD = {
    "copies of a notebook": (copies_of_a_notebook, ()),
    "__MACOSX": (macosx, ()),
    "other suffixes": (
        other_suffixes,
        ("4 files passed over: 1 .avif, 1 .heic, 1 .jfif, 1 without a suffix",),
    ),
    "capitals": (lambda f: (f / "train").rename(f / "Train"), ()),
    "images beside the classes": (
        lambda f: shutil.copy(f / "train" / "a" / "0.png", f / "train" / "x.png"),
        ("1 images lie in train/ itself, in no class folder",),
    ),
    "a linked folder in a class": (
        lambda f: (f / "train" / "a" / "more").symlink_to(f / "train" / "b"),
        ("linked folders inside a class are not followed",),
    ),
}


@pytest.mark.parametrize(("change", "notes"), FOLDERS_THAT_LOAD.values(), ids=FOLDERS_THAT_LOAD)
def test_class_folders_with_something_else_in_them(change, notes, root, cache):
    change(write_pets(root))
    data = pets(root, cache)
    assert len(data.train) == 12 and is_as_bright_as_its_labels_say(data)
    assert len(data.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, data.notes, strict=True))


def three_broken(folder):
    for name in ("train/a/1", "train/c/2", "test/b/0"):
        (folder / f"{name}.png").write_bytes(b"")


def without_train(folder):
    shutil.rmtree(folder / "test")
    for path in sorted((folder / "train").iterdir()):
        path.rename(folder / path.name)
    (folder / "train").rmdir()


def one_deeper(folder):
    shutil.rmtree(folder / "test")
    (folder / "pets").mkdir()
    (folder / "train").rename(folder / "pets" / "train")


FOLDERS_REFUSED = {
    "three broken": (three_broken, "3 corrupt or unreadable data files: .*a/1.*c/2.*test/b/0"),
    "a pointer": (
        lambda f: (f / "train/a/1.png").write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        "train/a/1.png: not an image.*git lfs pull",
    ),
    "links that lead nowhere": (
        lambda f: [(f / "train" / c / "x.png").symlink_to("/nonexistent") for c in "ab"],
        "lead nowhere: .*a/x.png, .*b/x.png",
    ),
    "a class that leads nowhere": (lambda f: (f / "train/d").symlink_to("/none"), "nowhere: .*train/d"),
    "a split that leads nowhere": (lambda f: (f / "val").symlink_to("/nonexistent"), "nowhere: .*val"),
    "one class": (
        lambda f: [shutil.rmtree(f / split / c) for split in ("train", "test") for c in "bc"],
        "got one class, a; expected two at least",
    ),
    "capitals": (lambda f: (f / "test" / "a").rename(f / "test" / "A"), "A and a differ in capitals"),
    "two training folders": (lambda f: shutil.copytree(f / "train", f / "Training"), "which is the train"),
    "a class of other formats": (
        lambda f: [p.rename(p.with_suffix(".heic")) for p in (f / "train" / "a").iterdir()],
        "holds no images.*got 4 .heic",
    ),
    "no train": (without_train, "holds the folders a, b, c: if these are the classes, move them below"),
    "one folder deeper": (one_deeper, "there is pets/train: set data.folder=pets/pets"),
    "one image a class": (
        lambda f: [shutil.rmtree(f / "test"), *(p.unlink() for p in (f / "train").rglob("[123].png"))],
        "one image only in a, b, c",
    ),
    "NaN": (
        lambda f: Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(f / "train" / "a" / "x.tif"),
        "x.tif: it holds NaN",
    ),
    "transparent throughout": (
        lambda f: Image.new("RGBA", (8, 8)).save(f / "train" / "a" / "x.png"),
        "x.png: transparent throughout",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FOLDERS_REFUSED.values(), ids=FOLDERS_REFUSED)
def test_class_folders_that_are_refused_in_one_line(change, message, root, cache):
    change(write_pets(root))
    with pytest.raises(RequestError, match=message) as told:
        pets(root, cache)
    assert "\n" not in str(told.value)


def test_a_huge_image_is_refused_by_its_header(root, cache, monkeypatch, recwarn):
    folder = write_pets(root)
    Image.new("1", (10_000, 10_000)).save(folder / "train" / "a" / "huge.png")
    with pytest.raises(RequestError, match=r"huge\.png: 10,000 × 10,000 pixels, expected at most 50,000,000"):
        pets(root, cache)
    assert not recwarn.list


def test_both_ways_to_write_an_accent_are_one_class(root, cache):
    write_pets(root, (unicodedata.normalize("NFD", "é"), "b"), splits=("train",))
    write_pets(root, (unicodedata.normalize("NFC", "é"), "b"), splits=("test",))
    data = pets(root, cache)
    assert len(data.classes) == 2 and np.bincount(data.test.y_N).tolist() == [4, 4]


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_a_validation_folder_is_the_validation_split(name, root, cache):
    folder = write_pets(root, splits=("train", "test", "val"))
    (folder / "val").rename(folder / name)
    data = pets(root, cache, val_size=None)
    assert (len(data.train), len(data.val), len(data.test)) == (12, 12, 12)
    assert data.val.x_NHWC[data.val.index][:, 0, 0, 0].tolist() == [
        v for v in (20, 21, 22, 23) for _ in range(3)
    ]
    assert data.notes == ("val/ is the validation split",)
    only_train = data.train.x_NHWC[:12]
    assert data.mean_C[0] == pytest.approx(only_train.mean() / 255)
    some = pets(root, cache, val_size=6)
    assert len(some.val) == 6 and len(some.train) == 12
    assert np.bincount(some.val.labels_N).tolist() == [2, 2, 2]
    assert "of 12 validation images 6 are used (data.val_size)" in some.notes
    with pytest.raises(RequestError, match=r"data\.val_size: got 13, expected 0 to 12"):
        pets(root, cache, val_size=13)


def test_the_same_image_in_two_splits_or_classes_is_told(root, cache):
    folder = write_pets(root)
    for name in ("a/0", "a/1", "b/2"):
        shutil.copy(folder / "train" / f"{name}.png", folder / "test" / f"{name}.png")
    shutil.copy(folder / "train" / "a" / "0.png", folder / "train" / "b" / "9.png")
    notes = pets(root, cache).notes
    assert "3 of 12 test images are training images too" in notes
    assert "1 training images lie in two classes or more" in notes


def test_test_images_in_no_class_folder_are_told(root, cache):
    folder = write_pets(root, images=8)
    for path in sorted((folder / "test").rglob("*.png")):
        path.rename(folder / "test" / f"{path.parent.name}{path.name}")
    for name in "abc":
        (folder / "test" / name).rmdir()
    data = pets(root, cache)
    assert data.copy == "class folders, test split cut from train"
    assert data.notes == ("24 images lie in test/ itself, in no class folder: this split is not used",)


def test_classes_that_a_cut_leaves_without_images_are_told(root, cache):
    write_pets(root)
    assert "classes without training images after the cuts: b, c" in pets(root, cache, train_size=1).notes
    assert not any("after the cuts" in note for note in pets(root, cache, train_size=3).notes)


def test_a_few_images_leave_one_for_validation(root, cache):
    write_pets(root, ("a", "b"), images=2)
    data = pets(root, cache, val_size=None)
    assert (len(data.train), len(data.val)) == (3, 1)
