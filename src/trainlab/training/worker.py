"""One run in a process: a frozen settings file in, a record on disk, an exit code out."""

import errno
import logging
import sys
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from trainlab.errors import RequestError
from trainlab.instantiate.trust import default_path, digests_from_environment, restore_trust
from trainlab.process_limits import allow_open_files
from trainlab.runs.frozen_settings import read_settings_file
from trainlab.runs.result import CorruptRunError
from trainlab.settings import PathSettings, RunSettings
from trainlab.training.environment import configure_process
from trainlab.training.interruption import Interrupted
from trainlab.training.out_of_memory import OUT_OF_MEMORY_STACK, is_out_of_memory
from trainlab.training.pruning import Pruned
from trainlab.training.run import train

log = logging.getLogger(__name__)


def run_config_file(
    config_path: str | Path,
    console: Console | None = None,
    own: Collection[str] | None = None,
    *,
    is_checked: bool = False,
) -> int:
    """Does the run of a frozen settings file: 0 (finished, diverged, pruned), 1 (failed, interrupted) or 2.

    `own`: digests of its trusted sections, by default those in the environment
    (`trainlab.instantiate.trust`); all other sections are untrusted.
    `is_checked`: a plan on this machine has accepted these settings. Never raises:
    whatever a run raised is in its record; its last lines go to the error stream. A full disk, which may
    leave no record, is told in one line.
    """
    try:
        settings = _read_trusted_settings(
            Path(config_path), digests_from_environment() if own is None else own
        )
    except RequestError as error:
        return _report_refusal(error)
    return run_settings(settings, console, is_checked=is_checked)


def run_settings(settings: RunSettings, console: Console | None = None, *, is_checked: bool = False) -> int:
    """The same for settings that have no file yet: a run that is refused leaves no folder behind."""
    configure_process()
    try:
        train(settings, console, is_checked=is_checked)
    except RequestError as error:
        return _report_refusal(error)
    except Pruned:
        return 0
    except (Interrupted, KeyboardInterrupt):
        return 1
    except Exception as error:
        return _report_failure(error, settings)
    return 0


def run_stack_files(config_paths: Sequence[str | Path], own: Collection[str] | None = None) -> int:
    """Does the runs of these frozen settings files as one stack; the exit code is as for a single run.

    Each run has its own record; a stack in which one has failed is still done (0). Runs that find no room
    together are OUT_OF_MEMORY_STACK, whatever their records say of it: a sweep tries again with fewer.
    """
    known = digests_from_environment() if own is None else own
    try:
        settings = [_read_trusted_settings(Path(path), known) for path in config_paths]
    except RequestError as error:
        return _report_refusal(error)
    configure_process()
    allow_open_files(len(settings))
    # most processes train single runs
    from trainlab.training.stack import train_stack

    try:
        train_stack(settings)
    except RequestError as error:
        return _report_refusal(error)
    except (Interrupted, KeyboardInterrupt):
        return 1
    except Exception as error:
        code = _report_failure(error, settings[0])
        return OUT_OF_MEMORY_STACK if is_out_of_memory(error) else code
    return 0


def _report_failure(error: Exception, settings: RunSettings) -> int:
    """What a run raised is in its record: its last lines are for the log."""
    full = _find_disk_full_error(error)
    if full is None:
        traceback.print_exception(error)
    else:
        print(f"trainlab: {full.strerror} ({settings.paths.runs})", file=sys.stderr)
    return 1


def _report_refusal(error: RequestError) -> int:
    print(f"trainlab: {error}", file=sys.stderr)
    return 2


def _find_disk_full_error(error: BaseException | None) -> OSError | None:
    """The full disk, or used-up quota, that an exception came of, directly or in the handling of another."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__ or error.__context__
    return None


def _read_trusted_settings(config: Path, known: Collection[str]) -> RunSettings:
    """Frozen settings and whose they are; a stranger's file does not say where this machine writes.

    Raises:
        RequestError: no settings that can be read.
    """
    try:
        record = read_settings_file(config)
    except CorruptRunError as error:
        raise RequestError(str(error)) from None
    settings = restore_trust(RunSettings.from_record(record, str(config)), known)
    if settings.paths.is_trusted:
        return settings
    in_place = config.parent.name == settings.run_id
    runs = str(config.absolute().parents[1]) if in_place else default_path("runs")
    return settings.replace(
        paths=PathSettings(data=settings.paths.data, cache=default_path("cache"), runs=runs)
    )
