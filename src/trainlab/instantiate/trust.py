"""How trust in settings (`Section.is_trusted`) reaches a worker process, and which folders it then uses.

Between a sweep and its workers settings travel as a file in the runs folder, which anybody may have changed.
Hashes of the trusted sections (`trusted_digests`) travel beside it, from process to process: a worker trusts
the sections of the file whose hashes are among them. Untrusted settings do not decide where this machine
writes: its folders are then its own (`resolve_paths`).
"""

import hashlib
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from trainlab.section import Section
from trainlab.settings import PathSettings, RunSettings, Settings

DIGESTS_VARIABLE = "TRAINLAB_OWN"
"""Environment of a worker: the `trusted_digests` of its settings, separated by commas."""

_ADJUSTED_FOR_WORKERS = ("trainer",)
"""Sections that an engine adjusts for its workers; they name no class, so they need no trust."""


def trusted_digests(settings: Settings) -> frozenset[str]:
    """The trusted sections, each as a hash of its name and its content."""
    names = [name for name in settings.trusted_sections if name not in _ADJUSTED_FOR_WORKERS]
    return frozenset(_digest(name, getattr(settings, name)) for name in names)


def all_trusted_digests(runs: Iterable[Settings]) -> frozenset[str]:
    """The trusted sections of several runs."""
    return frozenset().union(*map(trusted_digests, runs))


def restore_trust(settings: RunSettings, known: Collection[str]) -> RunSettings:
    """Settings from a file; sections whose digests are `known` (`trusted_digests`) are marked as trusted."""
    return settings.with_trusted([n for n, s in settings.sections.items() if _digest(n, s) in known])


def worker_environment(*settings: Settings) -> dict[str, str]:
    """Environment variables of a worker of these runs: the digests of the sections that it may trust."""
    found = all_trusted_digests(settings)
    return {DIGESTS_VARIABLE: ",".join(sorted(found))} if found else {}


def digests_from_environment() -> frozenset[str]:
    """The digests in the environment of this process."""
    return frozenset(filter(None, os.environ.get(DIGESTS_VARIABLE, "").split(",")))


def _digest(name: str, section: Section) -> str:
    content = json.dumps([name, section.to_plain()], sort_keys=True, default=repr)
    return hashlib.sha256(content.encode()).hexdigest()


PATH_VARIABLES = {"data": "TRAINLAB_DATA", "cache": "TRAINLAB_CACHE", "runs": "TRAINLAB_RUNS"}
"""The keys of `paths`, which are folders of the same name unless the environment says otherwise."""


def default_path(place: str) -> str:
    """This machine's folder for `data`, `cache` or `runs`, absolute: from the environment, or the default."""
    return str(Path(os.environ.get(PATH_VARIABLES[place]) or place).expanduser().absolute())


def resolve_paths(settings: Settings) -> PathSettings:
    """The `paths` to use: those of the settings where they are trusted, else this machine's."""
    return settings.paths if settings.paths.is_trusted else default_paths()


def default_paths() -> PathSettings:
    """This machine's folders: from the environment, or the defaults."""
    return PathSettings(**{place: default_path(place) for place in PATH_VARIABLES})
