"""Files of a runs folder are read whole, within bounds, and only where they are files.

Whoever made the folder may have put anything there: a pipe that never ends, a link to a device, a file that
would fill the memory. What is no regular file of a fitting size is an OSError with a word on why.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainlab.errors import message

MOST_BYTES = 16 * 2**20
"""Of a record, an index or settings; those of 10,000 runs are 20 MB."""

DEEPEST = 30
"""Levels of nested mappings and lists."""

MOST_NODES = 100_000
LONGEST_PLAIN = 10_000
"""Characters of a YAML word without quotes: a number of so many digits takes seconds."""

# libyaml is ten times faster; it is missing from some builds of PyYAML
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def read_whole(path: Path, most: int = MOST_BYTES, follow: bool = True) -> bytes:
    """The content of a regular file of at most `most` bytes; without `follow` never through a link.

    Raises OSError, with `strerror` saying what is there instead.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= 0 if follow else getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, "Is a directory", str(path))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        if found.st_size > most:
            raise OSError(
                errno.EFBIG, f"it has {found.st_size:,} bytes, expected at most {most:,}", str(path)
            )
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def parse_yaml(content: bytes | str) -> Any:
    """Plain values of YAML that somebody else wrote, of bounded depth and size.

    Aliases let 400 bytes stand for gigabytes, and libyaml itself dies of a hundred thousand brackets.
    Raises ValueError, in one line.
    """
    try:
        _look_over(content)
        return yaml.load(content, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(message(error)) from None
    except Exception as error:  # a reader of arbitrary text raises whatever that leads it to
        raise ValueError(message(error)) from None


def _look_over(content: bytes | str) -> None:
    """Looks at the words of a YAML file without making anything of them. Raises ValueError, YAMLError.

    What an alias stands for counts as often as it stands for it.
    """
    known: dict[str, tuple[int, int]] = {}  # by anchor, its values and its levels
    open_nodes: list[_Node] = [_Node()]
    for event in yaml.parse(content, Loader=Loader):
        node = open_nodes[-1]
        if isinstance(event, _OPENING):
            open_nodes.append(_Node(event.anchor))
        elif isinstance(event, _CLOSING):
            open_nodes.pop()
            open_nodes[-1].take(node.values, node.levels + 1)
            if node.anchor:
                known[node.anchor] = node.values, node.levels + 1
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in known:
                raise ValueError(f"the alias *{event.anchor} stands for what is not complete")
            node.take(*known[event.anchor])
        elif isinstance(event, yaml.ScalarEvent):
            if event.implicit[0] and len(event.value) > LONGEST_PLAIN:
                raise ValueError(f"it has a word of {len(event.value):,} characters")
            node.take(1, 0)
            if event.anchor:
                known[event.anchor] = 1, 0
        deepest = len(open_nodes) + open_nodes[-1].levels
        if deepest > DEEPEST or sum(node.values for node in open_nodes) > MOST_NODES:
            raise ValueError(f"it has more than {DEEPEST} levels or {MOST_NODES:,} values")


@dataclass
class _Node:
    """A mapping or list that is being looked at: how many values it stands for, how deep they lie."""

    anchor: str | None = None
    values: int = 0
    levels: int = 0

    def take(self, values: int, levels: int) -> None:
        """Counts something inside it."""
        self.values += values
        self.levels = max(self.levels, levels)
