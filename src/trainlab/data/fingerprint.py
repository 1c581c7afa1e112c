"""A hash of a data set's content: part of a run's identity, and the key of the decoded cache."""

import hashlib
import json
import os
from pathlib import Path

from trainlab.data.files import open_content, reading, writing
from trainlab.data.sources import Found

DIGITS = 16
"""Hexadecimal digits kept of a sha256: 64 bits."""
PART_BYTES = 2**20


def identity(found: Found, cache: Path) -> tuple[str, str]:
    """(fingerprint, copy) of what was found.

    The fingerprint is the sha256 of the recipe and of every file's name and content, in the order of the
    names; a .gz counts as what it holds. The answer is remembered below `cache` under the files' paths,
    sizes and modification times, so that a second look only asks the file system.

    Raises RequestError for a file that cannot be read, or a cache that cannot be written.
    """
    if not found.files:
        return content_fingerprint(found), _copy(found)
    known = cache / "fingerprints" / f"{_stamp(found)}.json"
    if (remembered := _remembered(known)) is not None:
        return remembered
    answer = content_fingerprint(found), _copy(found)
    with writing(cache):
        known.parent.mkdir(parents=True, exist_ok=True)
        beside = known.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps(answer))
        beside.replace(known)
    return answer


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


def _copy(found: Found) -> str:
    return found.copy if isinstance(found.copy, str) else found.copy()


def _stamp(found: Found) -> str:
    """A hash of where the files lie, how long they are and when they were last changed."""
    whole = hashlib.sha256(found.recipe.encode())
    for name, path in sorted(found.files.items()):
        with reading(path):
            state = path.stat()
        whole.update(repr((name, str(path.absolute()), state.st_size, state.st_mtime_ns)).encode())
    return whole.hexdigest()[:32]


def _remembered(known: Path) -> tuple[str, str] | None:
    try:
        fingerprint, copy = json.loads(known.read_text())
    except (OSError, ValueError):  # not there, or not ours: look again
        return None
    return fingerprint, copy
