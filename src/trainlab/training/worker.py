"""One run in a process: a frozen settings file in, a record on disk, an exit code out."""

import errno
import logging
import sys
import traceback
from pathlib import Path

import yaml
from rich.console import Console

from trainlab.errors import RequestError
from trainlab.training.interruption import Interrupted
from trainlab.training.process import configure
from trainlab.training.pruning import Pruned
from trainlab.training.run import train

log = logging.getLogger(__name__)


def work(config_path: str | Path, console: Console | None = None) -> int:
    """Does the run of a frozen settings file: 0 (finished, diverged, pruned), 1 (failed, interrupted) or 2.

    Never raises: whatever a run raised is in its record; its last lines go to the error stream. A full disk,
    which may leave no record, is told in one line.
    """
    configure()
    try:
        settings = yaml.safe_load(Path(config_path).read_text(encoding="utf-8"))
        train(settings, console)
    except RequestError as error:
        print(f"trainlab: {error}", file=sys.stderr)
        return 2
    except Pruned:
        return 0
    except Interrupted:
        return 1
    except Exception as error:
        full = _disk_full(error)
        if full is None:
            traceback.print_exc()
        else:
            print(f"trainlab: {full.strerror} ({Path(config_path).parent})", file=sys.stderr)
        return 1
    return 0


def _disk_full(error: BaseException | None) -> OSError | None:
    """The full disk, or used-up quota, that an exception came of, directly or in the handling of another."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        error = error.__cause__ or error.__context__
    return None
