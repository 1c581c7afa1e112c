"""The index beside the run folders: one line per recorded run, so that 10,000 runs load in a second.

`<runs>/index.jsonl` is a cache of the records and never the truth. A line counts only while the time and size
of its `result.json` agree, and only for the user who has written it, and signed it (HMAC): a line that came
with a folder, or was changed, is not believed. A missing, stale, unknown or malformed line costs one read of
the record. Lines are appended in one write each, so any number of processes can add to it; one lost in a
rewrite is read again. What lies in its place and is no regular file is neither read nor written through.

The signing key lies in the user's own configuration folder, made when it is first needed; where none can be
kept, it lasts as long as the process, and lines that were signed before are read again."""

import functools
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypedDict

from trainlab.errors import RequestError
from trainlab.runs import json_nonfinite
from trainlab.runs.frozen_settings import class_count, read_settings
from trainlab.runs.groups import GROUPS_FOLDER
from trainlab.runs.identity import flat_hashed_settings
from trainlab.runs.result import RESULT_FILE, CorruptRunError, Result, read_result
from trainlab.runs.safe_files import append_atomically, read_bounded, write_atomically
from trainlab.runs.worst_values import guessing_accuracy

INDEX_FILE = "index.jsonl"
VERSION = 4  # of a line; raised when what it holds changes, so that older lines are read again

MAX_INDEX_BYTES, MAX_LINE_BYTES = 2**28, 2**20
_LINE_START, _SIGNATURE_DIGITS = b'{"seal": "', 32
_RUN_ID, _ID_WITHIN = re.compile(rb'"run_id": "([^"\\]+)"'), 400


class IndexEntry(TypedDict, total=False):
    """A line of the index. The entry of a run without a record has only `row` and `settings`.

    The settings stay text until they are needed: parsing 10,000 of them costs as much as all the rest.
    """

    by: str
    version: int
    run_id: str
    mtime_ns: int
    size: int
    row: dict[str, object]
    """As `table_row` gives it."""
    settings: str
    """As `flat_settings_json` gives it."""


def change_stamp(root: Path) -> tuple[int, ...]:
    """What changes as soon as a run below `root` begins, is recorded or goes; empty where nothing is.

    Costs three calls of `stat`, however many runs there are. A run that goes on writing does not change it.
    """
    seen: list[int] = []
    for path in (root, root / INDEX_FILE, root / GROUPS_FOLDER):
        with suppress(OSError):
            stat = path.stat()
            seen += [stat.st_mtime_ns, stat.st_size]
    return tuple(seen)


def read_index(root: Path) -> tuple[dict[str, IndexEntry], bool]:
    """Entries by run id, the last line of a run winning, and whether the file should be rewritten."""
    try:
        lines = read_bounded(root / INDEX_FILE, MAX_INDEX_BYTES, follow=False).splitlines()
    except FileNotFoundError:
        return {}, False
    except OSError:  # a link, a pipe: a real one takes its place where that can be
        return {}, True
    entries: dict[str, IndexEntry] = {}
    ours, is_malformed = 0, False
    for line in lines:
        entry = _parse_line(line)
        if entry is not None:
            ours += 1
            entries[entry["run_id"]] = entry
        else:
            is_malformed |= not _is_signed_by_others(line)
    half_is_stale = ours > 2 * len(entries) + 100
    return entries, is_malformed or half_is_stale


class IndexLookup:
    """The entries of an index one by one: the file is read once, a line is verified when it is asked for."""

    def __init__(self, root: Path) -> None:
        self._lines: dict[str, list[bytes]] = {}
        with suppress(OSError):
            for line in read_bounded(root / INDEX_FILE, MAX_INDEX_BYTES, follow=False).splitlines():
                if named := _RUN_ID.search(line, 0, _ID_WITHIN):
                    self._lines.setdefault(named[1].decode(errors="replace"), []).append(line)

    def get(self, run_id: str) -> IndexEntry | None:
        """The last entry of this run that this user has signed; None where there is none."""
        entries = map(_parse_line, reversed(self._lines.get(run_id, [])))
        return next((entry for entry in entries if entry is not None and entry["run_id"] == run_id), None)


def _parse_line(line: bytes) -> IndexEntry | None:
    """The entry of a line signed by this user; None for others' and malformed ones, and older versions."""
    body = b"{" + line[len(_LINE_START) + _SIGNATURE_DIGITS + 3 :]
    if not line.startswith(_LINE_START) or len(line) > MAX_LINE_BYTES:
        return None
    if not hmac.compare_digest(line[len(_LINE_START) :][:_SIGNATURE_DIGITS], sign(body).encode()):
        return None
    entry = json.loads(body)
    return entry if entry["version"] == VERSION else None


def _is_signed_by_others(line: bytes) -> bool:
    """Whether a line looks like one that another user has signed: it is kept for them."""
    mark = b'"by": "%s"' % signer_id().encode()
    return line.startswith(_LINE_START) and len(line) <= MAX_LINE_BYTES and mark not in line[:100]


def is_current(entry: IndexEntry | None, stat: os.stat_result) -> bool:
    """Whether an entry still describes the record with this time and size."""
    return (
        entry is not None and entry.get("mtime_ns") == stat.st_mtime_ns and entry.get("size") == stat.st_size
    )


def read_entry(folder: Path) -> IndexEntry:
    """The entry of a run, from its own files. Raises FileNotFoundError, CorruptRunError."""
    try:
        stat = (folder / RESULT_FILE).stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CorruptRunError(folder, f"{RESULT_FILE} cannot be read ({error.strerror})") from error
    return _build_entry(folder, stat, read_result(folder))


def append_result(folder: Path, result: Result, settings: Mapping | None = None) -> None:
    """Add a run's line, just after its record was written; its settings are read where they are not given."""
    with suppress(OSError):  # the next reader adds it
        append_entries(folder.parent, [_build_entry(folder, (folder / RESULT_FILE).stat(), result, settings)])


def append_entries(root: Path, entries: Iterable[IndexEntry]) -> None:
    """Append entries, each in one write. Raises OSError."""
    for entry in entries:
        append_atomically(root / INDEX_FILE, _format_line(entry))


def rewrite_index(root: Path, entries: Iterable[IndexEntry]) -> None:
    """Replace the index, but for the lines of others. Raises OSError."""
    try:
        lines = read_bounded(root / INDEX_FILE, MAX_INDEX_BYTES, follow=False).splitlines()
    except OSError:
        lines = []
    kept = [line.decode(errors="replace") + "\n" for line in lines if _is_signed_by_others(line)]
    write_atomically(root / INDEX_FILE, "".join([*kept, *map(_format_line, entries)]))


def flat_settings_json(folder: Path, settings: Mapping) -> str:
    """The decisive settings of a run, flat, as JSON. Raises CorruptRunError for what are no settings."""
    try:
        return json_nonfinite.dumps(flat_hashed_settings(settings))
    except (RequestError, TypeError, ValueError, AttributeError) as error:
        raise CorruptRunError(folder, f"config.yaml does not hold settings ({error})") from error


def table_row(result: Result, num_classes: int | None = None) -> dict[str, object]:
    """A record as one row: `axes` and `metrics` as they are, everything else as single values."""
    error = result.error
    return {
        "axes": dict(result.axes),
        "metrics": dict(result.metrics),
        "run_id": result.run_id,
        "status": result.status,
        "group": result.group,
        "seed": result.seed,
        "learned": result.verdict.learned,
        "level": result.verdict.level,
        "cause": result.verdict.cause,
        "layer": result.verdict.layer,
        "remedy": result.verdict.remedy,
        "verdict_version": None if result.verdict.learned is None else result.verdict.version or 1,
        "epochs": result.epochs,
        "steps": result.steps,
        "parameters": result.parameters,
        "samples_per_second": result.samples_per_second,
        "seconds": result.seconds,
        "device": result.machine.get("device"),
        "threads": result.machine.get("threads"),
        "devices": result.machine.get("devices"),
        "data_copy": result.data.get("copy"),
        "data_fingerprint": result.data.get("fingerprint"),
        "guessing": guessing_accuracy(result.data, num_classes),
        "stopped": json_nonfinite.dumps(result.stopped) if result.stopped else None,
        "error": f"{error.get('type')}: {error.get('message')}" if error else None,
        "started": result.started,
        "finished": result.finished,
    }


def _build_entry(
    folder: Path, stat: os.stat_result, result: Result, settings: Mapping | None = None
) -> IndexEntry:
    try:
        settings = read_settings(folder) if settings is None else settings
        flat = flat_settings_json(folder, settings)
    except CorruptRunError:  # the record is good all the same
        settings, flat = {}, "{}"
    return {
        "version": VERSION,
        "run_id": result.run_id,
        "mtime_ns": stat.st_mtime_ns,
        "size": stat.st_size,
        "row": table_row(result, class_count(settings)),
        "settings": flat,
    }


def _format_line(entry: IndexEntry) -> str:
    """A line that only this user can have written."""
    signed = {"by": signer_id(), **{key: value for key, value in entry.items() if key != "by"}}
    body = json_nonfinite.dumps(signed)
    return f'{{"seal": "{sign(body.encode())}", {body[1:]}\n'


KEY_FILE = "trainlab/seal.key"
_KEY_BYTES = 32


def sign(content: bytes) -> str:
    """32 hexadecimal digits that only this user can make for this content."""
    return hmac.digest(_signing_key(), content, "sha256").hex()[:32]


def signer_id() -> str:
    """Whose seals they are: 8 hexadecimal digits that tell nothing of the key."""
    return hashlib.sha256(b"trainlab" + _signing_key()).hexdigest()[:8]


@functools.cache
def _signing_key() -> bytes:
    fresh = os.urandom(_KEY_BYTES)
    with suppress(OSError, RuntimeError):  # no home, or one that cannot be written
        path = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / KEY_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{os.getpid()}.{fresh.hex()[:8]}")
        beside.touch(0o600)
        try:
            beside.write_bytes(fresh)
            with suppress(FileExistsError):
                os.link(beside, path)  # whole at once, and the first of several processes wins
        finally:
            beside.unlink()
        known = path.read_bytes()
        return known if len(known) == _KEY_BYTES else fresh
    return fresh
