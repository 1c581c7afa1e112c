"""Opening data files, and saying which one is broken."""

import gzip
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, cast

from trainlab.errors import RequestError

_may_download: ContextVar[bool] = ContextVar("may_download", default=True)

BROKEN = (OSError, EOFError, ValueError, SyntaxError, KeyError, TypeError, IndexError, zlib.error)
"""What readers of images, archives and arrays raise on a file that is not what its name says."""


@contextmanager
def reading(path: Path, *also: type[Exception]) -> Generator[None, None, None]:
    """Turn what a reader raises on a broken file (and `also`) into a RequestError that names the file."""
    try:
        yield
    except (*BROKEN, *also) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RequestError(f"corrupt or unreadable data file {path}: {reason}") from error


@contextmanager
def writing(cache: Path) -> Generator[None, None, None]:
    """Turn an OSError while writing below paths.cache into a RequestError that says so."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise RequestError(
            f"paths.cache {cache} cannot be written: {reason}; set paths.cache to a folder that can"
        ) from error


class NotHere(RequestError):
    """The data set does not lie in this folder, and is not to be downloaded into it."""


@contextmanager
def no_downloads() -> Generator[None, None, None]:
    """Within this block a data set that is not there is `NotHere`: the folder is not ours to write to."""
    before = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(before)


def may_download() -> bool:
    """Whether a data set that is missing may be downloaded into its folder."""
    return _may_download.get()


def open_content(path: Path) -> BinaryIO:
    """The file's content for reading, unpacked where its name ends in .gz."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")
