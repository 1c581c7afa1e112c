"""The idx files of MNIST and the npz of Keras: each form loads, or is refused in one line."""

import gzip
import struct

import numpy as np
import pytest
from bright_images import bright, idx, is_as_bright_as_its_labels_say, load, mnist_files, packed, write

from trainlab.data import identify_dataset, official_files
from trainlab.errors import RequestError


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
