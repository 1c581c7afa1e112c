"""MNIST, Fashion-MNIST and CIFAR-10: found below paths.data in one of several formats, else downloaded.

Files under another name, one folder deeper or unpacked otherwise are read where that is safe; files that are
not read are named, with what to do about them, before anything is downloaded.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock

from trainlab.data import official_files
from trainlab.data.dataset_sources import DatasetHandle, DatasetNotFound, may_download
from trainlab.data.formats import cifar_batches, class_folders, idx, image_parquet
from trainlab.data.image_conversion import ShapeHWC
from trainlab.data.official_files import DOWNLOAD_ERRORS, download, publish_download
from trainlab.errors import RequestError, error_message

MAX_NAMED = 8

FindFiles: TypeAlias = Callable[[Path, tuple[str, ...]], DatasetHandle | None]
"""`find` of a format: the data set of these classes in a folder, None where it is not there."""

_UNPACK_HINT = "an archive: unpack it"
_OTHER_FORMAT_HINT = "a form that is not read; what is read belongs into {folder}"
UNREAD_FORMAT_HINTS = {
    "*.tar.gz": "an archive: unpack it (tar -xzf {path})",
    "*.tgz": "an archive: unpack it (tar -xzf {path})",
    "*.tar": "an archive: unpack it (tar -xf {path})",
    "*.zip": _UNPACK_HINT,
    "*.7z": _UNPACK_HINT,
    "*.rar": _UNPACK_HINT,
    "datasets--*": "a hub's cache: copy its parquet files (below snapshots/) into {own}",
    "*.arrow": (
        "a hub's cache in arrow form, which is not read: write it as parquet, with that hub's library "
        "load_dataset(…)['train'].to_parquet('{own}/train-00000-of-00001.parquet'), and 'test' likewise"
    ),
    "*.parquet": "name its parts {own}/train-*.parquet and {own}/test-*.parquet",
    "*.csv": _OTHER_FORMAT_HINT,
    "*.npz": _OTHER_FORMAT_HINT,
    "*.npy": _OTHER_FORMAT_HINT,
    "*.mat": _OTHER_FORMAT_HINT,
    "*.h5": _OTHER_FORMAT_HINT,
    "*.pkl": _OTHER_FORMAT_HINT,
    "*.pt": _OTHER_FORMAT_HINT,
    "*.arff": _OTHER_FORMAT_HINT,
}
"""Files and folders that are not read, by pattern, and what to do about them."""


@dataclass(frozen=True)
class TorchvisionDataset:
    """A data set with an official training and test split.

    name: the folder of its parquet or class-folder copy below paths.data.
    folder: torchvision's own folder below paths.data.
    find_files: finds the files of torchvision's format in a folder.
    example_file: a file of that folder, for messages.
    torchvision_class: what downloads it, in torchvision.datasets.
    folder_aliases: what else the folder is called.
    """

    name: str
    folder: str
    example_file: str
    find_files: FindFiles
    torchvision_class: str
    classes: tuple[str, ...]
    shape_HWC: ShapeHWC
    folder_aliases: tuple[str, ...] = ()

    def find(self, root: Path) -> DatasetHandle:
        """The data set below `root`, downloaded first where it is missing. RequestError where that fails."""
        handle = self.find_local(root)
        if handle is not None:
            return handle
        if unread := self._unread_files(root):
            raise RequestError(
                f"data set '{self.name}' not found as it is read in {root.absolute()}: {unread}"
            )
        if not may_download():
            raise DatasetNotFound(f"data set '{self.name}' not found in {root.absolute()}")
        return self._download(root)

    def find_local(self, root: Path) -> DatasetHandle | None:
        """The data set below `root`, None where it is missing. Nothing is downloaded."""
        return self._find_own_files(root) or self._find_copies(root)

    def _find_own_files(self, root: Path) -> DatasetHandle | None:
        """The files of torchvision's format, with their checksums."""
        for folder in self._own_folders(root):
            handle = self.find_files(folder, self.classes)
            if handle is not None and (folder != root or _dataset_of_files(handle) == self.name):
                return official_files.with_checksums(self.name, handle)
        return None

    def _find_copies(self, root: Path) -> DatasetHandle | None:
        """Parquet, class folders or Keras' npz, in a folder of the data set's name in any capitals."""
        for folder in self._folders_named_like_it(root):
            handle = (
                image_parquet.find(folder, self.classes, self.shape_HWC)
                or class_folders.find(folder, self.classes, self.shape_HWC)
                or self._find_keras_npz(folder)
            )
            if handle is not None:
                return handle
        return self._find_keras_npz(root)

    def _find_keras_npz(self, folder: Path) -> DatasetHandle | None:
        path = folder / "mnist.npz"
        if self.name != "mnist" or not path.is_file():
            return None
        note = "Keras' npz: no checksums are known, whether these are the official images is not checked"
        return replace(idx.keras_npz(path, self.classes), notes=(note,))

    def _folders_named_like_it(self, root: Path) -> list[Path]:
        """Folders below root with the data set's name in any spelling, its own spelling first."""
        outer = self.folder.partition("/")[0]
        wanted = [
            _letters_and_digits(name)
            for name in (self.name, outer, self.torchvision_class, *self.folder_aliases)
        ]
        folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
        return sorted(
            (p for p in folders if _letters_and_digits(p.name) in wanted),
            key=lambda p: (p.name != self.name, p.name != outer, p.name),
        )

    def _own_folders(self, root: Path) -> list[Path]:
        """Where files of torchvision's format may lie: its own folder, and what people make of it."""
        named = self._folders_named_like_it(root)
        inside = [p for folder in named for p in sorted(folder.iterdir()) if p.is_dir()]
        wanted = {"raw", *(_letters_and_digits(name) for name in (self.folder, *self.folder_aliases))}
        inside = [p for p in inside if _letters_and_digits(p.name) in wanted]
        return list(dict.fromkeys([root / self.folder, *named, *inside, root]))

    def _unread_files(self, root: Path) -> str | None:
        """Files of this data set below `root` in a form that is not read, and what to do about them."""
        if (loose := self.find_files(root, self.classes)) is not None and _dataset_of_files(loose) is None:
            first = next(iter(loose.files.values()))
            return (
                f"there is {first}: move it and its like into {root / self.folder} if they are this data set"
            )
        named = self._folders_named_like_it(root)
        for folder in filter(Path.is_dir, [root, *named]):
            below = sorted(folder.iterdir()) if folder == root else sorted(folder.rglob("*"))
            for path in below:
                is_ours = folder in named or self._is_named_like_it(path.name)
                if is_ours and (hint := _unread_format_hint(path)):
                    folders = {"folder": root / self.folder, "own": root / self.name}
                    return f"there is {path}: {hint.format(path=path, **folders)}"
        return None

    def _is_named_like_it(self, file_name: str) -> bool:
        plain = _letters_and_digits(file_name)
        return _letters_and_digits(self.name) in plain and (self.name != "mnist" or "fashion" not in plain)

    def _download(self, root: Path) -> DatasetHandle:
        staging = root / ".download" / self.name
        try:
            staging.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(staging.with_suffix(".lock")):  # many runs may miss it at once: one downloads
                if self.find_local(root) is None:
                    download(self.torchvision_class, staging)
                    publish_download(staging, root, self.folder)
        except DOWNLOAD_ERRORS as error:
            raise self._not_found_error(root, error_message(error)) from error
        handle = self.find_local(root)
        if handle is None:
            raise self._not_found_error(root, "what was downloaded is incomplete")
        return handle

    def _not_found_error(self, root: Path, reason: str) -> RequestError:
        return RequestError(
            f"data set '{self.name}' not found in {root.absolute()}: "
            f"looked for {self.folder}/{self.example_file}, {self.name}/train-*.parquet and "
            f"{self.name}/train/<class>/*.png (each with its test split); "
            f"{_folder_listing(root)}{_missing_idx_files(root / self.folder)}"
            f"download failed: {reason}; put it in {_short_path(root)} or set TRAINLAB_DATA; "
            "data=digits and data=shapeset need no download"
        )


def _short_path(root: Path) -> str:
    """The folder relative to the working directory, where it lies below it: `data/`."""
    folder, here = root.absolute(), Path.cwd()
    return f"{folder.relative_to(here) if folder.is_relative_to(here) else folder}/"


def _dataset_of_files(handle: DatasetHandle) -> str | None:
    """The data set whose official file the smallest one is: a folder of no name may hold any of them."""
    name = min(handle.files, key=lambda name: handle.files[name].stat().st_size)
    return official_files.dataset_of_file(name, handle.files[name])


def _letters_and_digits(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _unread_format_hint(path: Path) -> str | None:
    """What to do about a file, or a hub's folder, that is not read as it is."""
    name = path.name.lower()
    return next((hint for pattern, hint in UNREAD_FORMAT_HINTS.items() if fnmatch(name, pattern)), None)


def _missing_idx_files(folder: Path) -> str:
    """Which idx files are missing, where some of them are there."""
    files, _ = idx.find_idx_files(folder)
    missing = [name for name in idx.IDX_FILES if name not in files]
    return f"in {folder} {', '.join(missing)} is missing; " if files and missing else ""


def _folder_listing(root: Path) -> str:
    names = sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) if root.is_dir() else []
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"it holds {', '.join(names[:MAX_NAMED])}{more}; " if names else ""


_mnist_like = partial(
    TorchvisionDataset, find_files=idx.find, example_file=idx.IDX_FILES[0], shape_HWC=(28, 28, 1)
)


def mnist() -> TorchvisionDataset:
    """MNIST: 60,000 + 10,000 handwritten digits, 28 × 28 grey (LeCun et al. 1998)."""
    classes = tuple("0123456789")
    return _mnist_like(name="mnist", folder="MNIST/raw", torchvision_class="MNIST", classes=classes)


def fashion_mnist() -> TorchvisionDataset:
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


def cifar10() -> TorchvisionDataset:
    """CIFAR-10: 50,000 + 10,000 photographs of ten kinds of things, 32 × 32 colour (Krizhevsky 2009)."""
    return TorchvisionDataset(
        name="cifar10",
        folder="cifar-10-batches-py",
        folder_aliases=("cifar-10-batches-bin", "cifar-10-binary", "cifar-10-python"),
        example_file=cifar_batches.TRAIN_BATCHES[0],
        find_files=cifar_batches.find,
        torchvision_class="CIFAR10",
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        shape_HWC=(32, 32, 3),
    )


def available_offline(root: Path) -> list[str]:
    """Which of the three lie below `root`, by name: what can be used with no download."""
    return [
        built.name for built in (mnist(), fashion_mnist(), cifar10()) if built.find_local(root) is not None
    ]
