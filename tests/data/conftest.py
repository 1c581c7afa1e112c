"""Small data sets in every format, written into a temporary root."""

import gzip
import io
import pickle
import socket

import numpy as np
import polars as pl
import pytest
from PIL import Image

CLASSES = 10


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("network is unreachable (blocked by the test)")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def pixels(images, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (images, *shape), dtype=np.uint8)


def labels(images):
    return np.arange(images) % CLASSES


def idx_bytes(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, dtype=">i4").tobytes()
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_mnist(root):
    """A small MNIST in torchvision's layout; returns its folder, images and labels."""

    def write(folder="MNIST/raw", train=40, test=20, packed=False):
        raw = root / folder
        raw.mkdir(parents=True, exist_ok=True)
        contents = {
            "train-images-idx3-ubyte": pixels(train, 28, 28),
            "train-labels-idx1-ubyte": labels(train),
            "t10k-images-idx3-ubyte": pixels(test, 28, 28, seed=1),
            "t10k-labels-idx1-ubyte": labels(test),
        }
        for name, array in contents.items():
            if packed:
                (raw / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
            else:
                (raw / name).write_bytes(idx_bytes(array))
        return raw, *contents.values()

    return write


@pytest.fixture
def write_cifar_python(root):
    """A small CIFAR-10 in the layout of its python version: 5 × 10 + 10 images."""

    def write():
        folder = root / "cifar-10-batches-py"
        folder.mkdir()
        for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
            batch = {b"data": pixels(10, 3072, seed=i), b"labels": labels(10).tolist()}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
        return folder

    return write


def encoded(image_HWC, image_format):
    file = io.BytesIO()
    Image.fromarray(image_HWC).save(file, image_format)
    return file.getvalue()


@pytest.fixture
def write_parquet(root):
    """A small CIFAR-10 as image parquet; returns its folder and the training images."""

    def write(image_format="PNG", column="img", parts=1, broken_image=None):
        folder = root / "cifar10"
        folder.mkdir()
        x_NHWC = pixels(20, 32, 32, 3)
        for split in ("train", "test"):
            for part in range(parts):
                rows = [{"bytes": encoded(x, image_format), "path": None} for x in x_NHWC[part::parts]]
                if broken_image is not None:
                    rows[broken_image]["bytes"] = rows[broken_image]["bytes"][:300]
                table = pl.DataFrame({column: rows, "label": labels(20)[part::parts]})
                table.write_parquet(folder / f"{split}-{part:05d}-of-{parts:05d}.parquet")
        return folder, x_NHWC

    return write


@pytest.fixture
def write_folders(root):
    """Class folders of images of several sizes; returns their folder."""

    def write(name, classes=("cat", "dog"), splits=("train", "test"), images=5, size=(40, 32)):
        for split in splits:
            for k, label in enumerate(classes):
                folder = root / name / split / label
                folder.mkdir(parents=True)
                for i in range(images):
                    x_HWC = np.full((size[0] + i, size[1], 3), 20 * k + i, dtype=np.uint8)
                    Image.fromarray(x_HWC).save(folder / f"{i}.png")
        return root / name

    return write
