"""The official files of MNIST, Fashion-MNIST and CIFAR-10: known by their md5, downloaded by torchvision."""

import hashlib
import shutil
import socket
import sys
import tarfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import cache
from http.client import HTTPException
from pathlib import Path

from trainlab.data.dataset_sources import DatasetHandle
from trainlab.data.files import explain_read_errors, open_unpacked
from trainlab.errors import RequestError

OFFICIAL_COPY, OTHER_COPY = "official files", "other files"
OFFICIAL_MD5: dict[str, dict[str, str]] = {
    # of the unpacked files
    "mnist": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "fashion_mnist": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
    # as torchvision knows them
    "cifar10": {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
}


def dataset_of_file(name: str, path: Path) -> str | None:
    """The data set whose official file of this name it is; None where it is not official."""
    return next(
        (data for data, sums in OFFICIAL_MD5.items() if name in sums and sums[name] == _md5(path)), None
    )


def with_checksums(data: str, handle: DatasetHandle) -> DatasetHandle:
    """The handle with `copy` and `notes` that say whether its files are the official ones.

    Opening it raises RequestError for the official files of another data set.
    """

    @cache
    def sums() -> Mapping[str, str]:
        return {name: _md5(path) for name, path in handle.files.items()}

    def copy() -> str:
        if not set(handle.files) <= set(OFFICIAL_MD5[data]):
            return str(handle.copy)
        _refuse_files_of_other_datasets(data, handle, sums())
        return OFFICIAL_COPY if sums() == OFFICIAL_MD5[data] else OTHER_COPY

    def notes() -> list[str]:
        notes = list(handle.notes() if callable(handle.notes) else handle.notes)
        if not set(handle.files) <= set(OFFICIAL_MD5[data]):
            notes.append(
                f"{handle.copy}: no checksums are known, whether these are the official images is not checked"
            )
        elif other := [name for name, known in OFFICIAL_MD5[data].items() if sums()[name] != known]:
            notes.append(f"not the official files of {data}, by checksum: {', '.join(other)}")
        return notes

    return replace(handle, copy=copy, notes=notes)


def _refuse_files_of_other_datasets(data: str, handle: DatasetHandle, sums: Mapping[str, str]) -> None:
    """Fashion-MNIST's files have MNIST's names: a copy into the wrong folder is a known mishap."""
    for other, known in OFFICIAL_MD5.items():
        for name, path in handle.files.items():
            if other != data and known.get(name) == sums[name]:
                raise RequestError(
                    f"{path} is of {other}, not of {data}, by its checksum: use data={other}, or move it"
                )


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with explain_read_errors(path), open_unpacked(path) as content:
        while part := content.read(2**20):
            digest.update(part)
    return digest.hexdigest()


TIMEOUT_SECONDS = 10.0
"""How long a download may stand still before it counts as failed."""

DOWNLOAD_ERRORS = (OSError, RuntimeError, HTTPException, EOFError, tarfile.TarError)
"""What torchvision raises when a download fails or brings something else than it should."""


def download(torchvision_class: str, staging: Path) -> None:
    """Download into an empty folder: torchvision takes a half-unpacked file that it finds for whole."""
    from torchvision import datasets  # only where something has to be downloaded

    shutil.rmtree(staging, ignore_errors=True)
    with _socket_timeout(), redirect_stdout(sys.stderr):
        getattr(datasets, torchvision_class)(root=str(staging), download=True)


def publish_download(staging: Path, root: Path, folder: str) -> None:
    """Move what came whole from the staging folder to where it belongs, file by file, each at once."""
    for path in sorted((staging / folder).iterdir()):
        if path.is_file() and path.suffix != ".gz":
            (root / folder).mkdir(parents=True, exist_ok=True)
            path.replace(root / folder / path.name)
    shutil.rmtree(staging)


@contextmanager
def _socket_timeout() -> Generator[None, None, None]:
    """torchvision passes no timeout to its connections: give the process one meanwhile."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
