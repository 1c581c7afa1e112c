"""Opening data files, and saying which one is broken, and what it is instead."""

import gzip
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from trainlab.errors import RequestError, error_message

READ_ERRORS = (OSError, EOFError, ValueError, SyntaxError, KeyError, TypeError, IndexError, zlib.error)
"""What readers of images, archives and arrays raise on a file that is not what its name says."""

GZIP_MAGIC = b"\x1f\x8b"
MAGIC_NUMBERS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run git lfs pull",
    b"/annex/objects/": "a git-annex pointer, not the file itself: run git annex get",
    b"<": "a web page or XML, perhaps what a server answered instead of the file",
    GZIP_MAGIC: "a gzip archive",
    b"PK\x03\x04": "a zip archive: unpack it",
    b"\xfd7zXZ": "an xz archive: unpack it",
    b"BZh": "a bzip2 archive: unpack it",
    b"7z\xbc\xaf": "a 7-Zip archive: unpack it",
    b"Rar!": "a RAR archive: unpack it",
    b"PAR1": "a parquet file",
    b"ARROW1": "an arrow file",
    b"\x93NUMPY": "a numpy array (.npy)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF",
}
"""What a file is, by how it begins."""
KIND_BY_SUFFIX = {
    ".gz": ("gzip",),
    ".parquet": ("parquet",),
    ".png": ("PNG",),
    ".jpg": ("JPEG",),
    ".npz": ("zip",),
}
"""What files of these suffixes are: not worth saying."""
ISO_MEDIA_BRANDS = {
    b"avif": "an AVIF image",
    b"heic": "a HEIC image",
    b"heix": "a HEIC image",
    b"mif1": "a HEIF image",
}


def file_kind(head: bytes) -> str | None:
    """What a file that begins so is, with what to do about it; None where that is not known."""
    if not head:
        return "an empty file"
    if not head.strip(b"\0"):
        return "nothing but zeros, as a download that broke off leaves them"
    if head[4:8] == b"ftyp" and head[8:12] in ISO_MEDIA_BRANDS:
        return f"{ISO_MEDIA_BRANDS[head[8:12]]}: convert it"
    begins = head.lstrip().lower() if head.lstrip()[:1] == b"<" else head
    return next((kind for magic, kind in MAGIC_NUMBERS.items() if begins.startswith(magic)), None)


def first_bytes(path: Path, size: int = 64) -> bytes:
    """The first bytes of a file; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError:
        return b""


def file_kind_hint(path: Path) -> str:
    """`; it is a Git LFS pointer, …`, or nothing where the file's beginning does not tell."""
    kind = file_kind(first_bytes(path)) if path.is_file() else None
    as_named = kind and kind.split()[1] in KIND_BY_SUFFIX.get(path.suffix.lower(), ())
    return f"; it is {kind}" if kind and not as_named else ""


@contextmanager
def explain_read_errors(path: Path, *also: type[Exception]) -> Generator[None, None, None]:
    """Turn what a reader raises on a broken file (and `also`) into a RequestError that names the file."""
    try:
        yield
    except (*READ_ERRORS, *also) as error:
        reason = error_message(error)
        raise RequestError(
            f"corrupt or unreadable data file {path}: {reason}{file_kind_hint(path)}"
        ) from error


@contextmanager
def explain_write_errors(cache: Path) -> Generator[None, None, None]:
    """Turn an OSError while writing below paths.cache into a RequestError that says so."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error_message(error)
        raise RequestError(
            f"paths.cache {cache} cannot be written: {reason}; set paths.cache to a folder that can"
        ) from error


def open_unpacked(path: Path) -> BinaryIO:
    """The file's content for reading, unpacked where it is a gzip archive, whatever its name ends in.

    A name that ends in .gz is not enough: unpacking tools leave it on files that they have unpacked.
    """
    with path.open("rb") as file:
        is_packed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if is_packed else path.open("rb")
