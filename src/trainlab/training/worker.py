"""One run in a process: a frozen settings file in, a record on disk, an exit code out."""

import errno
import logging
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from trainlab.build.trust import Own, default_place, digests_from_environment, recognized
from trainlab.errors import RequestError
from trainlab.runs.result import BrokenRun
from trainlab.runs.settings_file import read_settings_file
from trainlab.training.interruption import Interrupted
from trainlab.training.process import configure
from trainlab.training.pruning import Pruned
from trainlab.training.run import train

log = logging.getLogger(__name__)


def work(config_path: str | Path, console: Console | None = None, own: Collection[str] | None = None) -> int:
    """Does the run of a frozen settings file: 0 (finished, diverged, pruned), 1 (failed, interrupted) or 2.

    What in it is the user's own is told by `own`, or in the environment (`trainlab.build.trust`); all else is
    a stranger's. Never raises: whatever a run raised is in its record; its last lines go to the error stream.
    A full disk, which may leave no record, is told in one line.
    """
    try:
        settings = _settings(Path(config_path), digests_from_environment() if own is None else own)
    except RequestError as error:
        return _refused(error)
    return work_settings(settings, console)


def work_settings(settings: Mapping[str, Any], console: Console | None = None) -> int:
    """The same for settings that have no file yet: a run that is refused leaves no folder behind."""
    configure()
    try:
        train(settings, console)
    except RequestError as error:
        return _refused(error)
    except Pruned:
        return 0
    except (Interrupted, KeyboardInterrupt):
        return 1
    except Exception as error:
        full = _disk_full(error)
        if full is None:
            traceback.print_exc()
        else:
            print(f"trainlab: {full.strerror} ({settings['paths']['runs']})", file=sys.stderr)
        return 1
    return 0


def _refused(error: RequestError) -> int:
    print(f"trainlab: {error}", file=sys.stderr)
    return 2


def _disk_full(error: BaseException | None) -> OSError | None:
    """The full disk, or used-up quota, that an exception came of, directly or in the handling of another."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__ or error.__context__
    return None


def _settings(config: Path, known: Collection[str]) -> dict[str, Any]:
    """Frozen settings and whose they are; a stranger's file does not say where this machine writes.

    Raises:
        RequestError: no settings that can be read.
    """
    try:
        settings = recognized(read_settings_file(config), known)
    except BrokenRun as error:
        raise RequestError(str(error)) from None
    if not isinstance(settings.get("paths"), Own):
        in_place = config.parent.name == settings.get("run_id")
        runs = str(config.absolute().parents[1]) if in_place else default_place("runs")
        data = str((settings.get("paths") or {}).get("data") or default_place("data"))
        settings["paths"] = {"data": data, "cache": default_place("cache"), "runs": runs}
    return settings
