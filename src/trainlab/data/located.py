"""Where the data of recorded settings are looked for, and where nothing is written on their account."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from trainlab.build import places
from trainlab.data.files import NotHere, no_downloads

T = TypeVar("T")


def with_places(
    settings: Mapping[str, Any],
    use: Callable[[str, str], T],
    data_folder: Path | None = None,
    cache: Path | None = None,
) -> T:
    """What `use(root, cache)` makes of the data that these settings mean.

    The user's own settings are taken at their word. Where a stranger's say that the data lie is looked at, if
    there is such a folder, and nothing is downloaded into it; what is missing there is used in, or got into,
    this machine's own folder, and what is decoded lies in this machine's own cache. `data_folder` and `cache`
    are the user's word on it, here and now.
    """
    here = places(settings)
    kept = here["cache"] if cache is None else str(cache)
    if data_folder is not None:
        return use(str(data_folder), kept)
    theirs = settings["paths"]["data"]
    if theirs != here["data"] and Path(theirs).is_dir():
        with suppress(NotHere), no_downloads():
            return use(theirs, kept)
    return use(here["data"], kept)
