"""MNIST, Fashion-MNIST and CIFAR-10: found below paths.data in one of three layouts, else downloaded.

What lies there under another name, one folder deeper or unpacked otherwise is read where that is safe; what
is not read is named, with what to do about it, before anything is downloaded.
"""

import shutil
import socket
import sys
import tarfile
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

from filelock import FileLock

from trainlab.data import checksums, cifar_python, class_folders, idx, image_parquet
from trainlab.data.files import NotHere, may_download
from trainlab.data.sources import Found
from trainlab.errors import RequestError, message

TIMEOUT_SECONDS = 10.0
"""How long a download may stand still before it counts as failed."""

FAILURES = (OSError, RuntimeError, HTTPException, EOFError, tarfile.TarError)
"""What torchvision raises when a download fails or brings something else than it should."""

MOST_NAMED = 8
_UNPACK = "an archive: unpack it"
_OTHER_FORM = "a form that is not read; what is read belongs into {folder}"
HINTS = {
    "*.tar.gz": "an archive: unpack it (tar -xzf {path})",
    "*.tgz": "an archive: unpack it (tar -xzf {path})",
    "*.tar": "an archive: unpack it (tar -xf {path})",
    "*.zip": _UNPACK,
    "*.7z": _UNPACK,
    "*.rar": _UNPACK,
    "datasets--*": "a hub's cache: copy its parquet files (below snapshots/) into {own}",
    "*.arrow": (
        "a hub's cache in arrow form, which is not read: write it as parquet, with that hub's library "
        "load_dataset(…)['train'].to_parquet('{own}/train-00000-of-00001.parquet'), and 'test' likewise"
    ),
    "*.parquet": "name its parts {own}/train-*.parquet and {own}/test-*.parquet",
    "*.csv": _OTHER_FORM,
    "*.npz": _OTHER_FORM,
    "*.npy": _OTHER_FORM,
    "*.mat": _OTHER_FORM,
    "*.h5": _OTHER_FORM,
    "*.pkl": _OTHER_FORM,
    "*.pt": _OTHER_FORM,
    "*.arff": _OTHER_FORM,
}
"""What lies there and is not read, by its name, and what to do about it."""


@dataclass(frozen=True)
class Official:
    """A data set with an official training and test split.

    name: the folder of its parquet or class-folder copy below paths.data.
    folder: torchvision's own folder below paths.data, read by `layout` (`find(folder, classes)`).
    shows: a file of that folder, for messages.
    torchvision_class: what downloads it, in torchvision.datasets.
    also: what else the folder is called.
    """

    name: str
    folder: str
    shows: str
    layout: Any
    torchvision_class: str
    classes: tuple[str, ...]
    shape_HWC: tuple[int, int, int]
    also: tuple[str, ...] = ()

    def find(self, root: Path) -> Found:
        """What lies below `root`, downloaded first where nothing does. RequestError where neither works."""
        found = self.look(root)
        if found is not None:
            return found
        if there := self._unread(root):
            raise RequestError(
                f"data set '{self.name}' not found as it is read in {root.absolute()}: {there}"
            )
        if not may_download():
            raise NotHere(f"data set '{self.name}' not found in {root.absolute()}")
        return self._download(root)

    def look(self, root: Path) -> Found | None:
        """What lies below `root`; None where nothing does. Nothing is downloaded."""
        return self._files(root) or self._copies(root)

    def _files(self, root: Path) -> Found | None:
        """The files of the data set's own layout, judged by their checksums."""
        for folder in self._homes(root):
            found = self.layout.find(folder, self.classes)
            if found is not None and (folder != root or _owner(found) == self.name):
                return checksums.judged(self.name, found)
        return None

    def _copies(self, root: Path) -> Found | None:
        """Parquet, class folders or Keras' npz, in a folder of the data set's name in any capitals."""
        for folder in self._named(root):
            found = image_parquet.find(folder, self.classes, self.shape_HWC)
            found = found or class_folders.find(folder, self.classes, self.shape_HWC)
            if found := found or self._of_keras(folder):
                return found
        return self._of_keras(root)

    def _of_keras(self, folder: Path) -> Found | None:
        path = folder / "mnist.npz"
        if self.name != "mnist" or not path.is_file():
            return None
        note = "Keras' npz: no checksums are known, whether these are the official images is not checked"
        return replace(idx.arrays_found(path, self.classes), notes=(note,))

    def _named(self, root: Path) -> list[Path]:
        """Folders below root that are called like the data set, its own spelling first."""
        outer = self.folder.partition("/")[0]
        wanted = [_plain_name(name) for name in (self.name, outer, self.torchvision_class, *self.also)]
        there = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
        return sorted(
            (p for p in there if _plain_name(p.name) in wanted),
            key=lambda p: (p.name != self.name, p.name != outer, p.name),
        )

    def _homes(self, root: Path) -> list[Path]:
        """Where the data set's own files may lie: torchvision's folder, and what people make of it."""
        named = self._named(root)
        inside = [p for folder in named for p in sorted(folder.iterdir()) if p.is_dir()]
        wanted = {"raw", *(_plain_name(name) for name in (self.folder, *self.also))}
        inside = [p for p in inside if _plain_name(p.name) in wanted]
        return list(dict.fromkeys([root / self.folder, *named, *inside, root]))

    def _unread(self, root: Path) -> str | None:
        """What of this data set lies below `root` in a form that is not read, and what to do about it."""
        if (loose := self.layout.find(root, self.classes)) is not None and _owner(loose) is None:
            first = next(iter(loose.files.values()))
            return (
                f"there is {first}: move it and its like into {root / self.folder} if they are this data set"
            )
        named = self._named(root)
        for folder in filter(Path.is_dir, [root, *named]):
            below = sorted(folder.iterdir()) if folder == root else sorted(folder.rglob("*"))
            for path in below:
                is_ours = folder in named or self._is_called_like_it(path.name)
                if is_ours and (said := _hint(path)):
                    places = {"path": path, "folder": root / self.folder, "own": root / self.name}
                    return f"there is {path}: {said.format(**places)}"
        return None

    def _is_called_like_it(self, file_name: str) -> bool:
        plain = _plain_name(file_name)
        return _plain_name(self.name) in plain and (self.name != "mnist" or "fashion" not in plain)

    def _download(self, root: Path) -> Found:
        staging = root / ".download" / self.name
        try:
            staging.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(staging.with_suffix(".lock")):  # many runs may miss it at once: one downloads
                if self.look(root) is None:
                    self._fetch(staging)
                    _publish(staging, root, self.folder)
        except FAILURES as error:
            raise self._missing(root, message(error)) from error
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
            f"{_what_lies_in(root)}{_what_lacks(root / self.folder)}"
            f"download failed: {reason}; put it in {_as_said(root)} or set TRAINLAB_DATA; "
            "data=digits and data=shapeset need no download"
        )


def _as_said(root: Path) -> str:
    """The folder as short as it can be said: `data/`."""
    here = Path.cwd()
    return (
        f"{root.absolute().relative_to(here) if root.absolute().is_relative_to(here) else root.absolute()}/"
    )


def _owner(found: Found) -> str | None:
    """Whose official file the smallest one is: what lies in a folder of no name may be anybody's."""
    name = min(found.files, key=lambda name: found.files[name].stat().st_size)
    return checksums.owner(name, found.files[name])


def _plain_name(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _hint(path: Path) -> str | None:
    """What to do about a file, or a hub's folder, that is not read as it is."""
    name = path.name.lower()
    return next((said for pattern, said in HINTS.items() if fnmatch(name, pattern)), None)


def _what_lacks(folder: Path) -> str:
    """Of idx files that are there in part, those that are not."""
    there, _ = idx.files_in(folder)
    lacking = [name for name in idx.FILES if name not in there]
    return f"in {folder} {', '.join(lacking)} is missing; " if there and lacking else ""


def _what_lies_in(root: Path) -> str:
    there = sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) if root.is_dir() else []
    more = f" and {len(there) - MOST_NAMED} more" if len(there) > MOST_NAMED else ""
    return f"there lie {', '.join(there[:MOST_NAMED])}{more}; " if there else ""


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
        also=("cifar-10-batches-bin", "cifar-10-binary", "cifar-10-python"),
        shows=cifar_python.TRAIN[0],
        layout=cifar_python,
        torchvision_class="CIFAR10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        shape_HWC=(32, 32, 3),
    )


def here(root: Path) -> list[str]:
    """Which of the three lie below `root`, by name: what can be used with no download."""
    return [built.name for built in (mnist(), fashion_mnist(), cifar10()) if built.look(root) is not None]
