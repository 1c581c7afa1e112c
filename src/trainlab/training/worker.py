"""One run in a process: a frozen settings file in, a record on disk, an exit code out."""

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

    Never raises: whatever a run raised is in its record; its last lines go to the error stream.
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
    except Exception:
        traceback.print_exc()
        return 1
    return 0
