"""Data as people have them: each kind loads, or is refused in a line that says what lies there.

Every image of class k is about 20 + 20·k bright, so that a label can be told from its pixels.
"""

import gzip
import io
import json
import pickle
import shutil
import struct
import unicodedata

import numpy as np
import polars as pl
import pytest
from PIL import Image

from trainlab.data import encoded_images, fingerprint, identify_dataset, load_images, official_files
from trainlab.data.encoded_images import decode_image
from trainlab.data.files import file_kind
from trainlab.data.formats import class_folders
from trainlab.data.image_conversion import BitDepth, to_pixels
from trainlab.data.torchvision_datasets import cifar10
from trainlab.errors import RequestError
from trainlab.serving.preprocessing import preprocess_image

CIFAR_CLASSES = cifar10().classes


def bright(labels_N, *shape):
    noise = np.random.default_rng(0).integers(-6, 7, (len(labels_N), *shape))
    return (
        (20 + 20 * np.asarray(labels_N).reshape(-1, *[1] * len(shape)) + noise).clip(0, 255).astype(np.uint8)
    )


def png(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def load(source, root, cache, **settings):
    return load_images(source, root, cache, **{"val_size": 0, **settings})


def pets(root, cache, **settings):
    source = {"_target_": "trainlab.data.image_folder.ImageFolder", "folder": "pets"}
    return load(source, root, cache, **{"image_size": 8, "channels": 1, **settings})


def is_as_bright_as_its_labels_say(data):
    mean_N = data.train.x_NHWC.astype(float).mean(axis=(1, 2, 3))
    return bool((abs(mean_N - (20 + 20 * data.train.y_N)) < 8).all())


# The idx files of MNIST


def idx(array, order=">", kind=8):
    return (
        bytes([0, 0, kind, array.ndim]) + struct.pack(f"{order}{array.ndim}i", *array.shape) + array.tobytes()
    )


def mnist_files(shape=(28, 28)):
    labels = {"train": np.arange(40) % 10, "t10k": np.arange(20) % 10}
    files = {}
    for split, y_N in labels.items():
        x_NHW = bright(y_N, *shape)
        x_NHW[:, 0, 0] = np.arange(len(y_N)) + 100 * (split == "t10k")  # no image comes twice
        files[f"{split}-images-idx3-ubyte"] = idx(x_NHW)
        files[f"{split}-labels-idx1-ubyte"] = idx(y_N.astype(np.uint8))
    return files


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def packed(files):
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


def named_with_dots(files):
    return {name.replace("-idx", ".idx"): content for name, content in files.items()}


def half_unpacked(files):
    return {**packed(files), "train-images-idx3-ubyte": files["train-images-idx3-ubyte"][:5000]}


MNIST_THAT_LOADS = {
    "packed": ("MNIST/raw", packed),
    "named with dots": ("MNIST/raw", named_with_dots),
    "dots and packed": ("MNIST/raw", lambda files: packed(named_with_dots(files))),
    "each in a folder of its name": ("MNIST/raw", lambda files: {f"{n}/{n}": c for n, c in files.items()}),
    "no folder raw": ("MNIST", dict),
    "small letters": ("mnist/raw", dict),
    "unpacked, .gz left on": ("MNIST/raw", lambda files: {f"{n}.gz": c for n, c in files.items()}),
    "packed, .gz taken off": ("MNIST/raw", lambda files: {n: gzip.compress(c) for n, c in files.items()}),
    "half unpacked beside .gz": ("MNIST/raw", half_unpacked),
}


@pytest.mark.parametrize(("folder", "change"), MNIST_THAT_LOADS.values(), ids=MNIST_THAT_LOADS)
def test_mnist_under_its_usual_names_is_the_same_data(folder, change, root, cache, tmp_path):
    write(tmp_path / "plain" / "MNIST" / "raw", mnist_files())
    plain = load("mnist", tmp_path / "plain", cache)
    write(root / folder, change(mnist_files()))
    data = load("mnist", root, cache)
    assert data.fingerprint == plain.fingerprint and is_as_bright_as_its_labels_say(data)
    assert data.copy == "other files" and "not the official files of mnist" in data.notes[-1]


def changed(name, content):
    return {**mnist_files(), name: content}


IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
BROKEN_MNIST = {
    "little-endian": (lambda: changed(IMAGES, idx(bright(np.arange(40) % 10, 28, 28), "<")), "little-endian"),
    "sizes below 0": (
        lambda: changed(IMAGES, bytes([0, 0, 8, 3]) + struct.pack(">3i", -40, -28, 28)),
        "below 0",
    ),
    "a header cut short": (lambda: changed(IMAGES, b"\0\0\x08\x03\0\0"), "header is cut short"),
    "sizes beyond memory": (
        lambda: changed(IMAGES, bytes([0, 0, 8, 3]) + struct.pack(">3i", *[2**31 - 1] * 3)),
        r"got 16 bytes, expected 9,9\d\d",
    ),
    "floats": (
        lambda: changed(IMAGES, idx(np.zeros((40, 28, 28), ">f4"), kind=0x0D)),
        "float32, expected uint8",
    ),
    "another size": (lambda: mnist_files((56, 28)), "got images of 56 × 28, expected 28 × 28"),
    "a web page": (lambda: changed(LABELS, b"<html>403</html>"), "it is a web page"),
    "nothing": (lambda: changed(LABELS, b""), "it is an empty file"),
    "a Git LFS pointer": (
        lambda: changed(LABELS, b"version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "a zip archive": (lambda: changed(LABELS, b"PK\x03\x04" + bytes(20)), "it is a zip archive: unpack it"),
    "labels from 1": (
        lambda: changed(LABELS, idx((np.arange(40) % 10 + 1).astype(np.uint8))),
        r"got 1\.\.10",
    ),
    "labels of another split": (lambda: changed(LABELS, mnist_files()["t10k-labels-idx1-ubyte"]), "shape"),
}


@pytest.mark.parametrize(("files", "message"), BROKEN_MNIST.values(), ids=BROKEN_MNIST)
def test_idx_files_that_are_something_else_are_one_line(files, message, root, cache):
    write(root / "MNIST" / "raw", files())
    with pytest.raises(RequestError, match=message) as told:
        load("mnist", root, cache)
    assert "\n" not in str(told.value)


def test_a_small_archive_that_unpacks_to_more_than_its_header_says_is_not_held_in_memory(
    root, cache, monkeypatch
):
    files = mnist_files()
    write(
        root / "MNIST" / "raw", {**packed(files), f"{LABELS}.gz": gzip.compress(files[LABELS] + bytes(10**6))}
    )
    with pytest.raises(RequestError, match="got 1,000,048 bytes, expected 48"):
        load("mnist", root, cache)


def test_files_of_another_data_set_are_known_by_their_checksums(root, cache, monkeypatch):
    files = mnist_files()
    sums = {name: __import__("hashlib").md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setitem(official_files.OFFICIAL_MD5, "fashion_mnist", sums)
    write(root / "MNIST" / "raw", files)
    with pytest.raises(RequestError, match=r"is of fashion_mnist, not of mnist.*data=fashion_mnist"):
        identify_dataset("mnist", root, cache)
    monkeypatch.setitem(official_files.OFFICIAL_MD5, "mnist", sums)
    monkeypatch.setitem(official_files.OFFICIAL_MD5, "fashion_mnist", {})
    data = load("mnist", root, cache)
    assert data.copy == "official files" and data.notes == ()


def test_fashion_mnists_files_are_not_taken_for_mnist(real_root, tmp_path, cache):
    (tmp_path / "MNIST").mkdir()
    (tmp_path / "MNIST" / "raw").symlink_to(real_root / "FashionMNIST" / "raw")
    with pytest.raises(RequestError, match=r"is of fashion_mnist"):
        identify_dataset("mnist", tmp_path, cache)


def test_the_npz_of_keras_is_read(root, cache):
    y_N, test_y_N = np.arange(40) % 10, np.arange(20) % 10
    arrays = {
        "x_train": bright(y_N, 28, 28),
        "y_train": y_N,
        "x_test": bright(test_y_N, 28, 28),
        "y_test": test_y_N,
    }
    np.savez(root / "mnist.npz", **arrays)
    data = load("mnist", root, cache)
    assert (
        is_as_bright_as_its_labels_say(data) and data.copy == "Keras' npz" and "not checked" in data.notes[0]
    )
    np.savez(root / "mnist.npz", **{**arrays, "x_train": arrays["x_train"] / 255})
    with pytest.raises(RequestError, match=r"mnist\.npz: x_train holds float64, expected uint8"):
        load("mnist", root, cache)


# CIFAR-10


def cifar_batches(folder, change=lambda batch: batch):
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        y_N = np.arange(10)
        x_NHWC = bright(y_N, 32, 32, 3)
        x_NHWC[:, 0, 0, 0] = number * 10 + y_N
        batch = {b"data": x_NHWC.transpose(0, 3, 1, 2).reshape(10, -1), b"labels": y_N.tolist()}
        (folder / name).write_bytes(pickle.dumps(change(batch), protocol=2))


BATCHES = {
    "floats": (lambda b: {**b, b"data": b[b"data"] / 255}, "its data are float64, expected uint8"),
    "beyond 255": (lambda b: {**b, b"data": b[b"data"].astype(int) * 9}, r"expected 0\.\.255"),
    "below 0": (lambda b: {**b, b"data": b[b"data"].astype(int) - 100}, r"expected 0\.\.255"),
    "label fractions": (
        lambda b: {**b, b"labels": [y + 0.5 for y in b[b"labels"]]},
        "expected whole numbers",
    ),
    "no labels": (lambda b: {b"data": b[b"data"]}, "it holds data, expected data and labels"),
    "no dictionary": (lambda b: list(b), "it holds list, expected a dictionary"),
}


@pytest.mark.parametrize(("change", "message"), BATCHES.values(), ids=BATCHES)
def test_batches_of_something_else_are_one_line(change, message, root, cache):
    cifar_batches(root / "cifar-10-batches-py", change)
    with pytest.raises(RequestError, match=message):
        load("cifar10", root, cache)


@pytest.mark.parametrize("change", [
    lambda b: {key.decode(): value for key, value in b.items()},
    lambda b: {**b, b"data": b[b"data"].astype(np.int64)},
    lambda b: {**b, b"labels": np.array(b[b"labels"], np.float64)},
], ids=["text keys", "whole numbers", "whole floats as labels"])  # fmt: skip
def test_batches_that_hold_the_same_load(change, root, cache):
    cifar_batches(root / "cifar10" / "cifar-10-batches-py", change)  # one folder deeper, too
    data = load("cifar10", root, cache)
    assert is_as_bright_as_its_labels_say(data) and data.copy == "other files"


def test_the_binary_version_is_read(root, cache):
    rows = b"".join(
        bytes([y]) + image.transpose(2, 0, 1).tobytes()
        for y, image in zip(range(10), bright(np.arange(10), 32, 32, 3), strict=True)
    )
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    write(root / "cifar-10-batches-bin", dict.fromkeys(names, rows))
    data = load("cifar10", root, cache)
    assert is_as_bright_as_its_labels_say(data) and data.copy == "binary version"
    (root / "cifar-10-batches-bin" / names[2]).write_bytes(rows[:-5])
    with pytest.raises(
        RequestError, match=r"data_batch_3\.bin: got 30,725 bytes, expected a multiple of 3,073"
    ):
        load("cifar10", root, cache)


NOT_READ = {
    "an archive": ("cifar10", "cifar-10-python.tar.gz", r"unpack it \(tar -xzf"),
    "a hub's arrow files": (
        "cifar10",
        "cifar10/plain_text/0.0.0/abc/cifar10-train.arrow",
        "write it as parquet",
    ),
    "a hub's cache": ("cifar10", "datasets--cifar10/x", "copy its parquet files"),
    "parquet of another name": ("cifar10", "cifar10/part-0.parquet", r"cifar10/train-\*\.parquet"),
    "csv": ("mnist", "mnist_train.csv", "belongs into .*MNIST/raw"),
    "csv in the folder": ("mnist", "MNIST/train.csv", "belongs into .*MNIST/raw"),
    "an old torchvision file": ("mnist", "MNIST/processed/training.pt", "belongs into"),
    "an archive of clothes": ("fashion_mnist", "fashion-mnist.zip", "unpack it"),
}


@pytest.mark.parametrize(("name", "path", "message"), NOT_READ.values(), ids=NOT_READ)
def test_what_lies_there_and_is_not_read_is_named_before_anything_is_downloaded(
    name, path, message, root, cache, monkeypatch
):
    write(root, {path: b"x"})
    monkeypatch.setattr(
        "trainlab.data.torchvision_datasets.TorchvisionDataset._download", lambda *_: pytest.fail("downloads")
    )
    with pytest.raises(RequestError, match=message) as told:
        load(name, root, cache)
    assert path.partition("/")[0] in str(told.value)


def test_idx_files_in_the_folder_itself_are_named(root, cache, monkeypatch):
    write(root, packed(mnist_files()))
    monkeypatch.setattr(
        "trainlab.data.torchvision_datasets.TorchvisionDataset._download", lambda *_: pytest.fail("downloads")
    )
    with pytest.raises(RequestError, match=r"train-images-idx3-ubyte\.gz: move it and its like into"):
        load("mnist", root, cache)


# Parquet


def write_parquet(folder, labels=None, images=None, name="{split}-00000-of-00001.parquet"):
    folder.mkdir(parents=True, exist_ok=True)
    for split, shift in (("train", 0), ("test", 50)):
        y_N = np.arange(10)
        x_NHWC = bright(y_N, 32, 32, 3)
        x_NHWC[:, 0, 0, 0] = y_N + shift
        column = [images(x) if images else {"bytes": png(x), "path": None} for x in x_NHWC]
        path = folder / name.format(split=split)
        path.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame({"img": column, "label": labels(y_N) if labels else y_N}).write_parquet(path)


PARQUET = {
    "label names": ({"labels": lambda y: [CIFAR_CLASSES[k] for k in y]}, ""),
    "names in capitals": ({"labels": lambda y: [CIFAR_CLASSES[k].title() for k in y]}, ""),
    "label digits": ({"labels": lambda y: [str(k) for k in y]}, ""),
    "whole floats": ({"labels": lambda y: y.astype(float)}, ""),
    "bytes alone": ({"images": png}, ""),
    "a hub's subfolder": ({}, "plain_text"),
    "a hub's converted branch": ({"name": "{split}/0000.parquet"}, "plain_text"),
}


@pytest.mark.parametrize(("how", "below"), PARQUET.values(), ids=PARQUET)
def test_parquet_of_other_kinds_is_read(how, below, root, cache):
    write_parquet(root / "cifar10" / below, **how)
    assert is_as_bright_as_its_labels_say(load("cifar10", root, cache))


ODD_PARQUET = {
    "fractions": ({"labels": lambda y: y + 0.7}, r"labels are fractions: got 0\.7"),
    "missing labels": ({"labels": lambda y: [None, *y[1:].tolist()]}, "some labels are missing: 1 of 1"),
    "other names": ({"labels": lambda y: ["gnu"] * 10}, "labels are text: got gnu, expected airplane"),
    "no images": ({"images": lambda x: "x"}, r"holds String, expected \{bytes, path\} or bytes"),
    "an empty image": ({"images": lambda x: {"bytes": None, "path": "x.png"}}, "missing|holds"),
}


@pytest.mark.parametrize(("how", "message"), ODD_PARQUET.values(), ids=ODD_PARQUET)
def test_parquet_of_something_else_is_one_line(how, message, root, cache):
    write_parquet(root / "cifar10", **how)
    with pytest.raises(RequestError, match=message):
        load("cifar10", root, cache)


def test_two_configurations_of_a_hub_are_not_mixed(root, cache):
    for name in ("plain_text", "default"):
        write_parquet(root / "cifar10" / name)
    with pytest.raises(RequestError, match=r"2 folders of .*default, plain_text"):
        load("cifar10", root, cache)


def test_images_of_another_size_are_told(root, cache):
    write_parquet(root / "cifar10", images=lambda x: png(np.kron(x, np.ones((2, 1, 1), np.uint8))))
    assert any("20 images are not 32 × 32: cropped" in note for note in load("cifar10", root, cache).notes)


# Class folders


def write_pets(root, classes=("a", "b", "c"), splits=("train", "test"), save=png, ext="png", images=4):
    for split in splits:
        for k, name in enumerate(classes):
            folder = root / "pets" / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(images):
                image = bright([k], 8, 8)[0]
                image[0, 0] = 10 * splits.index(split) + i
                (folder / f"{i}.{ext}").write_bytes(save(image))
    return root / "pets"


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


# One way from an opened image to pixels


def colours():
    ramp = np.linspace(0, 255, 12).astype(np.uint8)
    return Image.fromarray(
        np.dstack([np.tile(ramp, (12, 1)), np.tile(ramp[:, None], (1, 12)), np.full((12, 12), 90, np.uint8)])
    )


def transparent(mode):
    image = colours().convert("RGBA")
    alpha = np.zeros((12, 12), np.uint8)
    alpha[3:9, 3:9], alpha[2, 2:10] = 255, 120
    image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def deep(kind, top, bottom=0):
    values = np.linspace(bottom, top, 144).reshape(12, 12)
    return Image.fromarray(values.astype(kind))


def with_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return png(colours().crop((0, 0, 12, 6)), "JPEG", exif=exif)


GREY = colours().convert("L")
FORMATS = {
    "L": png(GREY), "1": png(GREY.convert("1")), "RGB": png(colours()), "P": png(colours().convert("P")),
    "RGB JPEG": png(colours(), "JPEG"), "CMYK": png(colours().convert("CMYK"), "JPEG"),
    "YCbCr": png(colours().convert("YCbCr"), "TIFF"), "LAB": png(colours().convert("LAB"), "TIFF"),
    "BMP": png(colours(), "BMP"), "PPM": png(colours(), "PPM"),
    "GIF": png(GREY, "GIF", save_all=True, append_images=[Image.new("L", (12, 12))] * 2),
    "WebP": png(colours(), "WEBP"), "RGBA WebP": png(transparent("RGBA"), "WEBP", lossless=True),
    "several pages": png(colours(), "TIFF", save_all=True, append_images=[Image.new("RGB", (12, 12))]),
    "EXIF": with_exif(), "LA": png(transparent("LA")), "RGBA": png(transparent("RGBA")),
    "P with transparency": png(transparent("P")), "L with transparency": png(GREY, transparency=0),
    "16 bits": png(deep(np.uint16, 65535)), "12 bits in 16": png(deep(np.uint16, 4095)),
    "8 bits in 16": png(deep(np.uint16, 255)), "I": png(deep(np.int32, 60000), "TIFF"),
    "I 0..255": png(deep(np.int32, 255), "TIFF"), "F 0..1": png(deep(np.float32, 1), "TIFF"),
    "F 0..255": png(deep(np.float32, 255), "TIFF"), "F 0..5": png(deep(np.float32, 5), "TIFF"),
    "F below 0": png(deep(np.float32, 50, -30), "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_folders_parquet_and_predict_show_the_network_the_same(name, channels, tmp_path):
    """Of each format the pixels from a path, from parquet's bytes and of `predict` are equal, or refused."""
    content, shape = FORMATS[name], (8, 8, channels)
    path = tmp_path / "image"
    path.write_bytes(content)
    sources = {"folder": [("a", path)], "parquet": [("a", content)]}

    def of_training(source):
        return to_pixels(next(encoded_images.EncodedImages({"train": source}).decode("train")), shape)

    def depth():
        album = encoded_images.EncodedImages({"train": sources["folder"]})
        list(album.decode("train"))
        return album.used_bit_depth()

    try:
        shown = {kind: of_training(source) for kind, source in sources.items()}
    except RequestError:
        with pytest.raises(RequestError):
            preprocess_image(content, "mine", shape)
        return
    shown["predict"] = preprocess_image(path, "mine", shape, bit_depth=depth()).pixels_HWC
    assert (shown["folder"] == shown["parquet"]).all()
    assert (shown["folder"] == shown["predict"]).all()
    assert np.ptp(shown["predict"]) > 60, "nearly one colour"


def test_predict_has_the_depth_of_the_data_set(root, cache):
    """A dark picture among lighter ones of 12 bits stays dark, in training and for `predict`."""
    write_pets(root, save=lambda image: png(image.astype(np.uint16) * 16))
    data = pets(root, cache)
    assert is_as_bright_as_its_labels_say(data)
    assert data.notes == ("pictures of more than 8 bits a pixel: 4,095 is taken for white",)
    plain_depth = json.loads(json.dumps(data.bit_depth.as_plain()))
    dark = (root / "pets" / "train" / "a" / "0.png").read_bytes()
    taken = preprocess_image(dark, "image_folder", (8, 8, 1), bit_depth=BitDepth.from_plain(plain_depth))
    assert (taken.pixels_HWC == data.train.x_NHWC[0]).all()
    assert BitDepth.from_plain(None) is None


DEPTHS = {
    "full 16 bits": (np.uint16, 65535, 32896, 128),
    "12 bits": (np.uint16, 4095, 2056, 128),
    "8 bits": (np.uint16, 255, 128, 128),
    "floats to 1": (np.float32, 1.0, 0.5, 128),
    "floats to 255": (np.float32, 255.0, 128.5, 128),
    "32 bits": (np.int32, 2**31 - 1, 2**30, 64),
}


@pytest.mark.parametrize(("kind", "top", "value", "level"), DEPTHS.values(), ids=DEPTHS)
def test_what_is_white_is_said_by_the_largest_value(kind, top, value, level):
    image = Image.fromarray(np.array([[0, top], [value, value]], dtype=kind))
    read = np.asarray(decode_image(png(image, "TIFF"), "x", min_side=1).image)
    assert read[0, 0] == 0 and abs(int(read[1, 0]) - level) <= 1
    assert read[0, 1] == 255 or kind is np.int32


def test_values_that_were_hardly_meant_as_0_to_255_are_told(root, cache):
    write_pets(root, save=lambda image: png(image // 100))
    assert any("brighter than" in note for note in pets(root, cache).notes)


# Identity


def test_the_fingerprint_of_well_formed_class_folders_is_what_it_always_was(root, cache):
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            write(root / "pets" / split / label, {f"{i}.pgm": b"P5 1 1 255\n" + bytes([i]) for i in range(3)})
    source = {"_target_": "trainlab.data.image_folder.ImageFolder", "folder": "pets"}
    assert identify_dataset(source, root, cache)[:2] == ("309948ec107d066b", "class folders")


def test_content_that_is_exchanged_with_its_size_and_time_kept_is_noticed(root, cache):
    import os

    write(root / "MNIST" / "raw", mnist_files())
    first = identify_dataset("mnist", root, cache)
    path = root / "MNIST" / "raw" / IMAGES
    state, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert identify_dataset("mnist", root, cache)[0] != first[0]


def test_a_flipped_byte_in_the_cache_is_noticed_and_a_copied_cache_is_not(root, cache, tmp_path):
    write(root / "MNIST" / "raw", mnist_files())
    load("mnist", root, cache)
    shutil.copytree(cache, tmp_path / "copied", copy_function=shutil.copyfile)
    assert len(load("mnist", root, tmp_path / "copied").train) == 40
    (stored,) = cache.glob("*/train_x.npy")
    content = bytearray(stored.read_bytes())
    content[-1] ^= 1
    stored.write_bytes(content)
    with pytest.raises(
        RequestError, match=r"damaged cache .*train_x\.npy is not what was written; delete it"
    ):
        load("mnist", root, cache)


def test_remembered_notes_are_told_again(root, cache, monkeypatch):
    write(root / "MNIST" / "raw", mnist_files())
    first = load("mnist", root, cache).notes
    monkeypatch.setattr(fingerprint, "content_fingerprint", None)
    assert load("mnist", root, cache).notes == first != ()


@pytest.mark.parametrize("head", [b"", b"\0" * 40, b"PK\x03\x04", b"....ftypavif....", b"\n<!DOCTYPE html>"])
def test_files_are_known_by_how_they_begin(head):
    assert file_kind(head)
    assert file_kind(b"hello") is None


def test_all_usual_names_of_splits_are_known():
    names = [name for of_split in class_folders.SPLIT_FOLDER_NAMES.values() for name in of_split]
    assert len(names) == len(set(names)) and {"train", "test", "val", "valid", "validation"} <= set(names)


def test_what_is_odd_about_the_data_is_said_once_and_kept_in_the_record(root, tmp_path, call_command):
    folder = write_pets(root, images=8)
    shutil.copy(folder / "train" / "a" / "0.png", folder / "train" / "a" / "x.heic")
    asked = [
        "data=image_folder",
        "data.folder=pets",
        "data.image_size=8",
        "data.channels=1",
        "data.batch_size=8",
    ]
    asked += ["model=mlp", "trainer=cpu", "trainer.threads=1", "trainer.max_steps=1", "logger=none"]
    paths = {"data": root, "cache": tmp_path / "cache", "runs": tmp_path / "runs"}
    asked += [f"paths.{name}={path}" for name, path in paths.items()]
    code, printed, _ = call_command("train", *asked)
    assert code == 0 and printed.count("data: 1 files passed over: 1 .heic") == 1
    (result,) = (tmp_path / "runs").glob("*/result.json")
    assert json.loads(result.read_text())["data"]["notes"][0].startswith("1 files passed over: 1 .heic")
