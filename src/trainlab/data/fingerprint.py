"""A hash of a data set's content: part of a run's identity, and the key of the decoded cache."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from trainlab.data.dataset_sources import DatasetHandle, build_source
from trainlab.data.files import explain_read_errors, explain_write_errors, open_unpacked

if TYPE_CHECKING:
    pass


FINGERPRINT_DIGITS = 16
"""Hexadecimal digits kept of a sha256: 64 bits."""
CHUNK_BYTES = 2**20


class DataIdentity(NamedTuple):
    """What a data set is: the hash of its content, which copy it is, what is to be told of its files."""

    fingerprint: str
    copy: str
    notes: tuple[str, ...] = ()


def identify_handle(found: DatasetHandle, cache: Path) -> DataIdentity:
    """(fingerprint, copy, notes) of what was found.

    The fingerprint is the sha256 of the recipe and of every file's name and content, in the order of the
    names; a .gz counts as what it holds. The answer is remembered below `cache` under the files' paths,
    sizes, numbers (inode) and times of modification and change, so that a second look only asks the file
    system. The time of change is the system's own: content that is exchanged with size and time of
    modification kept is noticed by it (not on Windows, where that time is the file's first).

    Raises RequestError for a file that cannot be read, or a cache that cannot be written.
    """
    if not found.files:
        return DataIdentity(content_fingerprint(found), _resolved(found.copy), tuple(_resolved(found.notes)))
    known = cache / "fingerprints" / f"{_file_state_digest(found)}.json"
    if (remembered := _read_remembered(known)) is not None:
        return _with_notes(found, remembered)
    answer = DataIdentity(content_fingerprint(found), _resolved(found.copy), _notes_from_content(found))
    with explain_write_errors(cache):
        known.parent.mkdir(parents=True, exist_ok=True)
        beside = known.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(answer))
        beside.replace(known)
    return _with_notes(found, answer)


def _notes_from_content(found: DatasetHandle) -> tuple[str, ...]:
    """Notes that cost opening the files: remembered. Those of looking are new each time."""
    return tuple(found.notes()) if callable(found.notes) else ()


def _with_notes(found: DatasetHandle, answer: DataIdentity) -> DataIdentity:
    return answer if callable(found.notes) else answer._replace(notes=tuple(found.notes))


def content_fingerprint(found: DatasetHandle) -> str:
    """The hash itself, read from the files every time."""
    whole = hashlib.sha256(found.recipe.encode())
    for name, path in sorted(found.files.items()):
        with explain_read_errors(path), open_unpacked(path) as content:
            digest = hashlib.sha256()
            while part := content.read(CHUNK_BYTES):
                digest.update(part)
        whole.update(name.encode() + b"\0" + digest.digest())
    return whole.hexdigest()[:FINGERPRINT_DIGITS]


def _resolved(said: Any) -> Any:
    return said() if callable(said) else said


def _file_state_digest(found: DatasetHandle) -> str:
    """A hash of where the files lie, how long they are and when they were last changed."""
    whole = hashlib.sha256(f"2 {found.recipe}".encode())  # raised with what is remembered
    for name, path in sorted(found.files.items()):
        with explain_read_errors(path):
            state = path.stat()
        marks = state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
        whole.update(repr((name, str(path.absolute()), *marks)).encode())
    return whole.hexdigest()[:32]


def _read_remembered(known: Path) -> DataIdentity | None:
    try:
        fingerprint, copy, notes = json.loads(known.read_text())
    except (OSError, ValueError):  # not there, or not ours: look again
        return None
    return DataIdentity(fingerprint, copy, tuple(notes))


def identify(data_settings: Mapping[str, Any], root: str | Path, cache: str | Path) -> tuple[str, str]:
    """(fingerprint, copy) of the data set of a `data:` node, without decoding it and without torch.

    The first look reads every file once (MNIST: 0.1 s); later ones compare sizes and times (milliseconds).
    Raises RequestError where the data is neither found nor downloaded, or `cache` cannot be written.
    """
    fingerprint, copy, _ = identify_with_notes(data_settings, root, cache)
    return fingerprint, copy


def identify_with_notes(
    data_settings: Mapping[str, Any], root: str | Path, cache: str | Path
) -> "DataIdentity":
    """(fingerprint, copy, notes) likewise: with what is to be told about the files that were found."""

    found = build_source(data_settings["source"]).find(Path(root))
    return identify_handle(found, Path(cache))
