"""Whose settings they are, the user's own or a stranger's: by their type, so that no door can forget it.

What the user's command line and `./conf` compose to is marked by `own`. Everything else, read from a runs
folder, a claim or a checkpoint, is a plain mapping, and a stranger's: what it names is judged (`policy`), and
where it says that things lie decides nothing about where this machine writes (`places`).

Between a sweep and its workers settings travel as a file in the runs folder, which anybody may have changed.
What the user said in them travels beside it, from process to process, as `digests`: a worker marks as own
what is equal to that.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

DIGESTS_VARIABLE = "TRAINLAB_OWN"
"""Environment of a worker: `digests` of the user's own settings, separated by commas."""

PATH_VARIABLES = {"data": "TRAINLAB_DATA", "cache": "TRAINLAB_CACHE", "runs": "TRAINLAB_RUNS"}
"""The keys of `paths`, which are folders of the same name unless the environment says otherwise."""

_ADJUSTED_FOR_WORKERS = ("trainer", "axes")
"""What a worker's place adds to, and nothing is built of."""


class Trusted(dict):
    """Settings that the user wrote, on the command line or in `./conf`: what they name is built."""

    def __or__(self, other: Any) -> "Trusted":
        """What the user said, with what this program says beside it."""
        return Trusted({**self, **other})


def mark_trusted(settings: Any) -> Any:
    """A copy of the user's settings, marked as theirs with all that lies below."""
    if isinstance(settings, Mapping):
        return Trusted({key: mark_trusted(value) for key, value in settings.items()})
    if isinstance(settings, list | tuple):
        return type(settings)(mark_trusted(value) for value in settings)
    return settings


def to_plain(settings: Any) -> Any:
    """A copy in plain mappings and lists: nobody's own."""
    if isinstance(settings, Mapping):
        return {key: to_plain(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [to_plain(value) for value in settings]
    return settings


def trusted_keys(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Which of the settings, by their first key, are the user's."""
    return tuple(key for key, value in settings.items() if isinstance(value, Trusted))


def with_trusted(settings: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """These settings with those of these keys marked as the user's: `own_keys`, the other way."""
    return {key: mark_trusted(value) if key in keys else value for key, value in settings.items()}


def trusted_digests(settings: Mapping[str, Any]) -> frozenset[str]:
    """What in these settings is the user's, each first key by a hash of all that it holds."""
    keys = [key for key in trusted_keys(settings) if key not in _ADJUSTED_FOR_WORKERS]
    return frozenset(_digest(key, settings[key]) for key in keys)


def restore_trust(settings: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Settings from a file, with what is equal to the user's own (`digests`) marked as theirs."""
    mappings = [key for key, value in settings.items() if isinstance(value, Mapping)]
    return with_trusted(settings, [key for key in mappings if _digest(key, settings[key]) in known])


def worker_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Environment variables of a worker: which parts of its settings file the user wrote."""
    found = trusted_digests(settings)
    return {DIGESTS_VARIABLE: ",".join(sorted(found))} if found else {}


def digests_from_environment() -> frozenset[str]:
    """The digests in the environment of this process."""
    return frozenset(filter(None, os.environ.get(DIGESTS_VARIABLE, "").split(",")))


def default_path(place: str) -> str:
    """This machine's folder for `data`, `cache` or `runs`, absolute, where nobody says otherwise."""
    return str(Path(os.environ.get(PATH_VARIABLES[place]) or place).expanduser().absolute())


def resolve_paths(settings: Mapping[str, Any]) -> dict[str, str]:
    """`paths` as this machine goes by them: the user's own; for a stranger's settings, this machine's."""
    paths = settings.get("paths")
    return (
        dict(paths)
        if isinstance(paths, Trusted)
        else {place: default_path(place) for place in PATH_VARIABLES}
    )


def _digest(key: str, value: Any) -> str:
    return hashlib.sha256(json.dumps([key, value], sort_keys=True, default=repr).encode()).hexdigest()
