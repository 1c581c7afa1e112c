"""The folders for data, cache and runs: untrusted settings do not decide where this machine writes."""

import os
from pathlib import Path

from trainlab.settings import PathSettings, Settings

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
