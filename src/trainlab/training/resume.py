"""Where a run starts: at the beginning, at its own last checkpoint, or at another run's."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainlab.errors import RequestError
from trainlab.runs import RunFolder
from trainlab.runs.selection import resolve
from trainlab.training.checkpoint import progress

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """The checkpoint to load (None: the initial weights) and the last step that this run has recorded."""

    checkpoint: Path | None = None
    last_step: int | None = None


def starting_point(settings: Mapping[str, Any], folder: RunFolder) -> Start:
    """`resume=true`: this run's last checkpoint if there is one; `false`: the beginning; a name: that run's.

    Raises:
        RequestError: the run or file that `resume` names is not there, or has used up the budget already.
    """
    wanted = settings["resume"]
    own = folder.checkpoints / "last.ckpt"
    if wanted is not False and own.exists():
        try:
            return Start(own, last_step=progress(own)[1] - 1)
        except RequestError as error:
            log.warning("%s; the run starts over", error)
    if isinstance(wanted, str):
        return Start(_foreign(settings, wanted))
    return Start()


def _foreign(settings: Mapping[str, Any], named: str) -> Path:
    path = Path(named)
    if path.suffix != ".ckpt":
        runs = resolve(settings["paths"]["runs"], named)
        if len(runs) != 1:
            raise RequestError(f"resume={named}: names {len(runs)} runs, expected one")
        path = runs[0] / "checkpoints" / "last.ckpt"
    budget = settings["trainer"]
    for key, done in zip(("max_epochs", "max_steps"), progress(path), strict=True):
        if budget[key] is not None and budget[key] <= done:
            raise RequestError(
                f"trainer.{key}={budget[key]}: resume={named} has done {done} already; expected more"
            )
    return path
