"""A hash of a data set's content: part of a run's identity, and the key of the decoded cache."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from trainlab.data.files import open_content, reading, writing
from trainlab.data.sources import Found

DIGITS = 16
"""Hexadecimal digits kept of a sha256: 64 bits."""
PART_BYTES = 2**20


class Identity(NamedTuple):
    """What a data set is: the hash of its content, which copy it is, what is to be told of its files."""

    fingerprint: str
    copy: str
    notes: tuple[str, ...] = ()


def identity(found: Found, cache: Path) -> Identity:
    """(fingerprint, copy, notes) of what was found.

    The fingerprint is the sha256 of the recipe and of every file's name and content, in the order of the
    names; a .gz counts as what it holds. The answer is remembered below `cache` under the files' paths,
    sizes, numbers (inode) and times of modification and change, so that a second look only asks the file
    system. The time of change is the system's own: content that is exchanged with size and time of
    modification kept is noticed by it (not on Windows, where that time is the file's first).

    Raises RequestError for a file that cannot be read, or a cache that cannot be written.
    """
    if not found.files:
        return Identity(content_fingerprint(found), _said(found.copy), tuple(_said(found.notes)))
    known = cache / "fingerprints" / f"{_stamp(found)}.json"
    if (remembered := _remembered(known)) is not None:
        return _with_notes(found, remembered)
    answer = Identity(content_fingerprint(found), _said(found.copy), _opened_notes(found))
    with writing(cache):
        known.parent.mkdir(parents=True, exist_ok=True)
        beside = known.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(answer))
        beside.replace(known)
    return _with_notes(found, answer)


def _opened_notes(found: Found) -> tuple[str, ...]:
    """Notes that cost opening the files: remembered. Those of looking are new each time."""
    return tuple(found.notes()) if callable(found.notes) else ()


def _with_notes(found: Found, answer: Identity) -> Identity:
    return answer if callable(found.notes) else answer._replace(notes=tuple(found.notes))


def content_fingerprint(found: Found) -> str:
    """The hash itself, read from the files every time."""
    whole = hashlib.sha256(found.recipe.encode())
    for name, path in sorted(found.files.items()):
        with reading(path), open_content(path) as content:
            digest = hashlib.sha256()
            while part := content.read(PART_BYTES):
                digest.update(part)
        whole.update(name.encode() + b"\0" + digest.digest())
    return whole.hexdigest()[:DIGITS]


def _said(said: Any) -> Any:
    return said() if callable(said) else said


def _stamp(found: Found) -> str:
    """A hash of where the files lie, how long they are and when they were last changed."""
    whole = hashlib.sha256(f"2 {found.recipe}".encode())  # raised with what is remembered
    for name, path in sorted(found.files.items()):
        with reading(path):
            state = path.stat()
        marks = state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino
        whole.update(repr((name, str(path.absolute()), *marks)).encode())
    return whole.hexdigest()[:32]


def _remembered(known: Path) -> Identity | None:
    try:
        fingerprint, copy, notes = json.loads(known.read_text())
    except (OSError, ValueError):  # not there, or not ours: look again
        return None
    return Identity(fingerprint, copy, tuple(notes))
