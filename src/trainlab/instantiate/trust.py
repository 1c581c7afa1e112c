"""How whose settings they are (`Section.is_trusted`) reaches a worker, and what follows from it for paths.

A section is a stranger's unless it was marked: what it names is judged (`allowlist`), and where it says that
things lie decides nothing about where this machine writes (`resolve_paths`).

Between a sweep and its workers settings travel as a file in the runs folder, which anybody may have changed.
What the user said in them travels beside it, from process to process, as `trusted_digests`: a worker trusts
what is equal to that.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from trainlab.section import Section
from trainlab.settings import PathSettings, RunSettings, Settings

DIGESTS_VARIABLE = "TRAINLAB_OWN"
"""Environment of a worker: `trusted_digests` of the user's own settings, separated by commas."""

PATH_VARIABLES = {"data": "TRAINLAB_DATA", "cache": "TRAINLAB_CACHE", "runs": "TRAINLAB_RUNS"}
"""The keys of `paths`, which are folders of the same name unless the environment says otherwise."""

_ADJUSTED_FOR_WORKERS = ("trainer",)
"""What a worker's place adds to, and nothing is built of."""


def to_plain(settings: Any) -> Any:
    """A copy in plain mappings and lists: nobody's own."""
    if isinstance(settings, Section):
        return settings.to_plain()
    if isinstance(settings, Mapping):
        return {key: to_plain(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [to_plain(value) for value in settings]
    return settings


def trusted_digests(settings: Settings) -> frozenset[str]:
    """What in these settings is the user's, each section by a hash of all that it holds."""
    names = [name for name in settings.trusted_sections if name not in _ADJUSTED_FOR_WORKERS]
    return frozenset(_digest(name, getattr(settings, name)) for name in names)


def restore_trust(settings: RunSettings, known: Collection[str]) -> RunSettings:
    """Settings from a file, with what is equal to the user's own (`trusted_digests`) marked as theirs."""
    return settings.with_trusted([n for n, s in settings.sections.items() if _digest(n, s) in known])


def worker_environment(settings: Settings) -> dict[str, str]:
    """Environment variables of a worker: which parts of its settings file the user wrote."""
    found = trusted_digests(settings)
    return {DIGESTS_VARIABLE: ",".join(sorted(found))} if found else {}


def digests_from_environment() -> frozenset[str]:
    """The digests in the environment of this process."""
    return frozenset(filter(None, os.environ.get(DIGESTS_VARIABLE, "").split(",")))


def default_path(place: str) -> str:
    """This machine's folder for `data`, `cache` or `runs`, absolute, where nobody says otherwise."""
    return str(Path(os.environ.get(PATH_VARIABLES[place]) or place).expanduser().absolute())


def resolve_paths(settings: Settings) -> PathSettings:
    """`paths` as this machine goes by them: the user's own; for a stranger's settings, this machine's."""
    return settings.paths if settings.paths.is_trusted else default_paths()


def default_paths() -> PathSettings:
    """This machine's folders where nobody says otherwise."""
    return PathSettings(**{place: default_path(place) for place in PATH_VARIABLES})


def _digest(name: str, section: Section) -> str:
    content = json.dumps([name, section.to_plain()], sort_keys=True, default=repr)
    return hashlib.sha256(content.encode()).hexdigest()
