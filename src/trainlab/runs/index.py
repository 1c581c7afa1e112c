"""The index beside the run folders: one line per recorded run, so that 10,000 runs load in a second.

`<runs>/index.jsonl` is a cache of the records and never the truth. A line counts only while the time and
size of its `result.json` agree, and only for the user who has written it, whose seal it bears: a line that
came with a folder, or was changed, tells nothing. A missing, stale, strange or garbled line costs one read of
the record. Lines are appended in one write each, so any number of processes can add to it; one lost in a
rewrite is read again. What lies in its place and is no file is not read, nor written through.
"""

import hmac
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from trainlab.errors import RequestError
from trainlab.runs import plain_json
from trainlab.runs.atomic import append_whole, write_atomically
from trainlab.runs.groups import GROUPS_FOLDER
from trainlab.runs.identity import deciding
from trainlab.runs.reading import read_whole
from trainlab.runs.result import RESULT_FILE, BrokenRun, Result, read_result
from trainlab.runs.seal import seal, sealer
from trainlab.runs.settings_file import read_settings

INDEX_FILE = "index.jsonl"
VERSION = 3  # of a line; raised when what it holds changes, so that older lines are read again

MOST_BYTES, LONGEST_LINE = 2**28, 2**20
_BEGINS, _SEAL_DIGITS = b'{"seal": "', 32

# {seal, by, version, run_id, mtime_ns, size, row: table_row(...), settings: settings_text(...)}.
# The settings stay text until someone asks for them: reading 10,000 of them costs as much as all the rest.
Entry = dict


def stamp(root: Path) -> tuple[int, ...]:
    """What changes as soon as a run below `root` begins, is recorded or goes; empty where nothing is.

    Costs three looks at the disk, however many runs there are. A run that goes on writing does not change it.
    """
    seen: list[int] = []
    for path in (root, root / INDEX_FILE, root / GROUPS_FOLDER):
        with suppress(OSError):
            stat = path.stat()
            seen += [stat.st_mtime_ns, stat.st_size]
    return tuple(seen)


def read_index(root: Path) -> tuple[dict[str, Entry], bool]:
    """Entries by run id, the last line of a run winning, and whether the file should be rewritten."""
    try:
        lines = read_whole(root / INDEX_FILE, MOST_BYTES, follow=False).splitlines()
    except FileNotFoundError:
        return {}, False
    except OSError:  # a link, a pipe: a real one takes its place where that can be
        return {}, True
    entries: dict[str, Entry] = {}
    ours, is_garbled = 0, False
    for line in lines:
        entry = _parsed(line)
        if entry is not None:
            ours += 1
            entries[entry["run_id"]] = entry
        else:
            is_garbled |= not _is_of_others(line)
    half_is_stale = ours > 2 * len(entries) + 100
    return entries, is_garbled or half_is_stale


def _parsed(line: bytes) -> Entry | None:
    """The entry of a line of ours; None for one that is garbled, another's, or of another version."""
    body = b"{" + line[len(_BEGINS) + _SEAL_DIGITS + 3 :]
    if not line.startswith(_BEGINS) or len(line) > LONGEST_LINE:
        return None
    if not hmac.compare_digest(line[len(_BEGINS) :][:_SEAL_DIGITS], seal(body).encode()):
        return None
    entry = json.loads(body)
    return entry if entry["version"] == VERSION else None


def _is_of_others(line: bytes) -> bool:
    """Whether a line looks like one that another user has sealed: it is kept for them."""
    mark = b'"by": "%s"' % sealer().encode()
    return line.startswith(_BEGINS) and len(line) <= LONGEST_LINE and mark not in line[:100]


def is_current(entry: Entry | None, stat: os.stat_result) -> bool:
    """Whether an entry still describes the record with this time and size."""
    return (
        entry is not None and entry.get("mtime_ns") == stat.st_mtime_ns and entry.get("size") == stat.st_size
    )


def read_entry(folder: Path) -> Entry:
    """The entry of a run, from its own files. Raises FileNotFoundError where no record is, BrokenRun."""
    try:
        stat = (folder / RESULT_FILE).stat()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BrokenRun(folder, f"{RESULT_FILE} cannot be read ({error.strerror})") from error
    return _entry(folder, stat, read_result(folder))


def note(folder: Path, result: Result) -> None:
    """Add a run's line, just after its record was written."""
    with suppress(OSError):  # the next reader adds it
        append(folder.parent, [_entry(folder, (folder / RESULT_FILE).stat(), result)])


def append(root: Path, entries: Iterable[Entry]) -> None:
    """Append entries, each in one write. Raises OSError."""
    for entry in entries:
        append_whole(root / INDEX_FILE, _line(entry))


def rewrite(root: Path, entries: Iterable[Entry]) -> None:
    """Replace the index, but for the lines of others. Raises OSError."""
    try:
        lines = read_whole(root / INDEX_FILE, MOST_BYTES, follow=False).splitlines()
    except OSError:
        lines = []
    kept = [line.decode(errors="replace") + "\n" for line in lines if _is_of_others(line)]
    write_atomically(root / INDEX_FILE, "".join([*kept, *map(_line, entries)]))


def settings_text(folder: Path, settings: Mapping) -> str:
    """The decisive settings of a run, flat, as JSON. Raises BrokenRun for what are no settings."""
    try:
        return plain_json.dumps(deciding(settings))
    except (RequestError, TypeError, ValueError, AttributeError) as error:
        raise BrokenRun(folder, f"config.yaml does not hold settings ({error})") from error


def table_row(result: Result) -> dict[str, object]:
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
        "stopped": plain_json.dumps(result.stopped) if result.stopped else None,
        "error": f"{error.get('type')}: {error.get('message')}" if error else None,
        "started": result.started,
        "finished": result.finished,
    }


def _entry(folder: Path, stat: os.stat_result, result: Result) -> Entry:
    try:
        settings = settings_text(folder, read_settings(folder))
    except BrokenRun:  # the record is good all the same
        settings = "{}"
    return {
        "version": VERSION,
        "run_id": result.run_id,
        "mtime_ns": stat.st_mtime_ns,
        "size": stat.st_size,
        "row": table_row(result),
        "settings": settings,
    }


def _line(entry: Entry) -> str:
    """A line that only this user can have written."""
    said = {"by": sealer(), **{key: value for key, value in entry.items() if key != "by"}}
    body = plain_json.dumps(said)
    return f'{{"seal": "{seal(body.encode())}", {body[1:]}\n'
