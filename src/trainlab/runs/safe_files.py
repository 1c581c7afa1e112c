"""Files of a runs folder: read whole and within bounds, written whole or not at all.

Whoever made the folder may have put anything there: a pipe that never ends, a link to a device, a file that
would fill the memory. What is no regular file of a fitting size is an OSError that says why."""

import errno
import os
import stat
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from trainlab.errors import error_message


@contextmanager
def atomic_replacement(path: Path) -> Generator[Path]:
    """A path beside `path` to write to; at the end it is on the disk and takes the place of `path`.

    When the block raises (or the disk is full) the half-written file is removed and `path` stays as it was.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield beside
        _fsync(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    if os.name == "posix":  # the rename itself lasts only once the folder is on the disk; Windows cannot ask
        _fsync(path.parent)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` (UTF-8) to `path` in one step. Raises OSError (disk full, …) and changes nothing."""
    with atomic_replacement(path) as beside:
        beside.write_bytes(text.encode())


def append_atomically(path: Path, text: str) -> None:
    """Append `text` in a single write, so that lines of several processes never mix. Raises OSError,
    also for a link in its place: it may lead anywhere."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # a pipe in its place is an error, not a wait
    descriptor = os.open(path, flags, 0o666)  # the umask decides who else may write
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


MAX_FILE_BYTES = 16 * 2**20
"""Of a record, an index or settings; those of 10,000 runs are 20 MB."""

MAX_YAML_LEVELS = 30
"""Levels of nested mappings and lists."""

MAX_YAML_VALUES = 100_000
MAX_YAML_WORD = 10_000
"""Characters of a YAML word without quotes: a number of so many digits takes seconds."""

# libyaml is ten times faster; it is missing from some builds of PyYAML
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_START_EVENTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_END_EVENTS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def read_bounded(path: Path, most: int = MAX_FILE_BYTES, follow: bool = True) -> bytes:
    """The content of a regular file of at most `most` bytes; without `follow` never through a link.

    Raises OSError, with `strerror` saying what is there instead.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if status.st_size > most:
            raise OSError(
                errno.EFBIG, f"it has {status.st_size:,} bytes, expected at most {most:,}", str(path)
            )
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def parse_bounded_yaml(content: bytes | str) -> object:
    """Plain values of untrusted YAML, of bounded depth and size.

    Aliases let 400 bytes stand for gigabytes, and libyaml itself dies of a hundred thousand brackets.
    Raises ValueError, in one line.
    """
    try:
        _check_yaml_bounds(content)
        return yaml.load(content, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(error_message(error)) from None
    except Exception as error:  # a reader of arbitrary text raises whatever that leads it to
        raise ValueError(error_message(error)) from None


def _check_yaml_bounds(content: bytes | str) -> None:
    """Reads the events of a YAML file without building any value. Raises ValueError, YAMLError.

    What an alias stands for counts as often as it stands for it.
    """
    known: dict[str, tuple[int, int]] = {}  # by anchor, its values and its levels
    open_nodes: list[_OpenNode] = [_OpenNode()]
    for event in yaml.parse(content, Loader=Loader):
        node = open_nodes[-1]
        if isinstance(event, _START_EVENTS):
            open_nodes.append(_OpenNode(event.anchor))
        elif isinstance(event, _END_EVENTS):
            open_nodes.pop()
            open_nodes[-1].take(node.values, node.levels + 1)
            if node.anchor:
                known[node.anchor] = node.values, node.levels + 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise ValueError(f"the alias *{event.anchor} stands for what is not complete")
            node.take(*known[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            if event.implicit[0] and len(event.value) > MAX_YAML_WORD:
                raise ValueError(f"it has a word of {len(event.value):,} characters")
            node.take(1, 0)
            if event.anchor:
                known[event.anchor] = 1, 0
        deepest = len(open_nodes) + open_nodes[-1].levels
        if deepest > MAX_YAML_LEVELS or sum(node.values for node in open_nodes) > MAX_YAML_VALUES:
            raise ValueError(f"it has more than {MAX_YAML_LEVELS} levels or {MAX_YAML_VALUES:,} values")


@dataclass
class _OpenNode:
    """A mapping or list that is being looked at: how many values it stands for, how deep they lie."""

    anchor: str | None = None
    values: int = 0
    levels: int = 0

    def take(self, values: int, levels: int) -> None:
        """Counts something inside it."""
        self.values += values
        self.levels = max(self.levels, levels)
