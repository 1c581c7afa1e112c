"""A hash of a data set's content: part of a run's identity, and the key of the decoded cache."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from trainlab.data.dataset_sources import DatasetHandle, SourceLike, build_source
from trainlab.data.files import explain_read_errors, explain_write_errors, open_unpacked

FINGERPRINT_DIGITS = 16
"""Hexadecimal digits kept of a sha256: 64 bits."""
CHUNK_BYTES = 2**20
RECORD_VERSION = 2
"""Raised whenever what is remembered below the cache changes."""


class DataIdentity(NamedTuple):
    """What a data set is: the hash of its content, which copy it is, notes on its files."""

    fingerprint: str
    copy: str
    notes: tuple[str, ...] = ()


def identify_dataset(source: SourceLike, root: str | Path, cache: str | Path) -> DataIdentity:
    """The identity of a source's data set, without decoding it and without torch.

    The first look reads every file once (MNIST: 0.1 s); later ones compare sizes and times (milliseconds).
    Raises RequestError where the data is neither found nor downloaded, or `cache` cannot be written.
    """
    return identify_files(build_source(source).find(Path(root)), Path(cache))


def identify_files(handle: DatasetHandle, cache: Path) -> DataIdentity:
    """The identity of a data set that has been found.

    The fingerprint is the sha256 of the recipe and of every file's name and content, in the order of the
    names; a .gz counts as what it holds. The answer is remembered below `cache` under the files' paths,
    sizes, numbers (inode) and times of modification and change, so that a second look only asks the file
    system. The time of change is the system's own: content that is exchanged with size and time of
    modification kept is noticed by it (not on Windows, where that time is the file's first).

    Raises RequestError for a file that cannot be read, or a cache that cannot be written.
    """
    notes = () if callable(handle.notes) else tuple(handle.notes)
    if not handle.files:
        return DataIdentity(content_fingerprint(handle), _copy(handle), notes or _notes_from_content(handle))
    record = cache / "fingerprints" / f"{_file_state_digest(handle)}.json"
    if (identity := _read_record(record)) is None:
        identity = DataIdentity(content_fingerprint(handle), _copy(handle), _notes_from_content(handle))
        with explain_write_errors(cache):
            record.parent.mkdir(parents=True, exist_ok=True)
            beside = record.with_suffix(f".{os.getpid()}")
            beside.write_text(json.dumps(identity))
            beside.replace(record)
    return identity if callable(handle.notes) else identity._replace(notes=notes)


def content_fingerprint(handle: DatasetHandle) -> str:
    """The hash itself, read from the files every time."""
    whole = hashlib.sha256(handle.recipe.encode())
    for name, path in sorted(handle.files.items()):
        with explain_read_errors(path), open_unpacked(path) as content:
            digest = hashlib.sha256()
            while part := content.read(CHUNK_BYTES):
                digest.update(part)
        whole.update(name.encode() + b"\0" + digest.digest())
    return whole.hexdigest()[:FINGERPRINT_DIGITS]


def _copy(handle: DatasetHandle) -> str:
    return handle.copy() if callable(handle.copy) else handle.copy


def _notes_from_content(handle: DatasetHandle) -> tuple[str, ...]:
    """Notes that cost opening the files: remembered. All others are made anew each time."""
    return tuple(handle.notes()) if callable(handle.notes) else ()


def _file_state_digest(handle: DatasetHandle) -> str:
    """A hash of where the files lie, how long they are and when they were last changed."""
    whole = hashlib.sha256(f"{RECORD_VERSION} {handle.recipe}".encode())
    for name, path in sorted(handle.files.items()):
        with explain_read_errors(path):
            state = path.stat()
        marks = state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
        whole.update(repr((name, str(path.absolute()), *marks)).encode())
    return whole.hexdigest()[:32]


def _read_record(path: Path) -> DataIdentity | None:
    try:
        fingerprint, copy, notes = json.loads(path.read_text())
    except (OSError, ValueError):  # not there, or not ours: look again
        return None
    return DataIdentity(fingerprint, copy, tuple(notes))
