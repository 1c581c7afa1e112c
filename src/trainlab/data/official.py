"""MNIST, Fashion-MNIST and CIFAR-10: found below paths.data in one of three layouts, else downloaded."""

import shutil
import socket
import sys
import tarfile
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from filelock import FileLock

from trainlab.data import cifar_python, class_folders, idx, image_parquet
from trainlab.data.files import NotHere, may_download
from trainlab.data.sources import Found
from trainlab.errors import RequestError

TIMEOUT_SECONDS = 10.0
"""How long a download may stand still before it counts as failed."""

FAILURES = (OSError, RuntimeError, HTTPException, EOFError, tarfile.TarError)
"""What torchvision raises when a download fails or brings something else than it should."""


@dataclass(frozen=True)
class Official:
    """A data set with an official training and test split.

    name: the folder of its parquet or class-folder copy below paths.data.
    folder: torchvision's own folder below paths.data, read by `layout` (`find(folder, classes)`).
    shows: a file of that folder, for messages.
    torchvision_class: what downloads it, in torchvision.datasets.
    """

    name: str
    folder: str
    shows: str
    layout: Any
    torchvision_class: str
    classes: tuple[str, ...]
    shape_HWC: tuple[int, int, int]

    def find(self, root: Path) -> Found:
        """What lies below `root`, downloaded first where nothing does. RequestError where neither works."""
        found = self.look(root)
        if found is None and not may_download():
            raise NotHere(f"data set '{self.name}' not found in {root.absolute()}")
        return found or self._download(root)

    def look(self, root: Path) -> Found | None:
        """What lies below `root`; None where nothing does. Nothing is downloaded."""
        return (
            self.layout.find(root / self.folder, self.classes)
            or image_parquet.find(root / self.name, self.classes, self.shape_HWC)
            or class_folders.find(root / self.name, self.classes, self.shape_HWC)
        )

    def _download(self, root: Path) -> Found:
        staging = root / ".download" / self.name
        try:
            staging.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(staging.with_suffix(".lock")):  # many runs may miss it at once: one downloads
                if self.look(root) is None:
                    self._fetch(staging)
                    _publish(staging, root, self.folder)
        except FAILURES as error:
            raise self._missing(root, " ".join(str(error).split()) or type(error).__name__) from error
        found = self.look(root)
        if found is None:
            raise self._missing(root, "what was downloaded is incomplete")
        return found

    def _fetch(self, staging: Path) -> None:
        """Download into an empty folder: torchvision takes a half-unpacked file that it finds for whole."""
        from torchvision import datasets  # only where something has to be downloaded

        shutil.rmtree(staging, ignore_errors=True)
        with _impatient(), redirect_stdout(sys.stderr):
            getattr(datasets, self.torchvision_class)(root=str(staging), download=True)

    def _missing(self, root: Path, reason: str) -> RequestError:
        return RequestError(
            f"data set '{self.name}' not found in {root.absolute()}: looked for {self.folder}/{self.shows}, "
            f"{self.name}/train-*.parquet and {self.name}/train/<class>/*.png (each with its test split); "
            f"download failed: {reason}; data=digits and data=shapeset need no download"
        )


def _publish(staging: Path, root: Path, folder: str) -> None:
    """Move what came whole from the staging folder to where it belongs, file by file, each at once."""
    for path in sorted((staging / folder).iterdir()):
        if path.is_file() and path.suffix != ".gz":
            (root / folder).mkdir(parents=True, exist_ok=True)
            path.replace(root / folder / path.name)
    shutil.rmtree(staging)


@contextmanager
def _impatient() -> Generator[None, None, None]:
    """torchvision passes no timeout to its connections: give the process one meanwhile."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


_mnist_like = partial(Official, layout=idx, shows=idx.FILES[0], shape_HWC=(28, 28, 1))


def mnist() -> Official:
    """MNIST: 60,000 + 10,000 handwritten digits, 28 × 28 grey (LeCun et al. 1998)."""
    classes = tuple("0123456789")
    return _mnist_like(name="mnist", folder="MNIST/raw", torchvision_class="MNIST", classes=classes)


def fashion_mnist() -> Official:
    """Fashion-MNIST: 60,000 + 10,000 pieces of clothing, 28 × 28 grey (Xiao et al. 2017)."""
    classes = (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    )
    return _mnist_like(
        name="fashion_mnist", folder="FashionMNIST/raw", torchvision_class="FashionMNIST", classes=classes
    )


def cifar10() -> Official:
    """CIFAR-10: 50,000 + 10,000 photographs of ten kinds of things, 32 × 32 colour (Krizhevsky 2009)."""
    return Official(
        name="cifar10",
        folder="cifar-10-batches-py",
        shows=cifar_python.TRAIN[0],
        layout=cifar_python,
        torchvision_class="CIFAR10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        shape_HWC=(32, 32, 3),
    )


def here(root: Path) -> list[str]:
    """Which of the three lie below `root`, by name: what can be used with no download."""
    return [built.name for built in (mnist(), fashion_mnist(), cifar10()) if built.look(root) is not None]
