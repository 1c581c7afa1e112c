"""A W&B run for each attempt of a run: online where there is a key and a server that answers, else
offline."""

import os
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment

from trainlab.errors import error_with_type
from trainlab.runs.safe_files import write_atomically
from trainlab.training import wandb_connection
from trainlab.training.tracking import RunContext

if TYPE_CHECKING:
    from wandb import Run

Mode: TypeAlias = Literal["online", "offline", "shared"]

INIT_TIMEOUT_SECONDS = 20
"""How long W&B may take to begin a run on a server that answers."""
ANSWER_SECONDS = 3.0
"""How long a run waits for W&B's server to answer at all before it is kept offline."""
FINISH_TIMEOUT_SECONDS = 60
"""How long a finished run waits for its numbers to be sent; what is left goes by `trainlab sync`."""
UNREACHABLE_FILE = ".wandb-unreachable"
"""Beside the run folders: why W&B could not be reached, so that the next runs need not wait too."""
UNREACHABLE_SECONDS = 600
"""How long that counts."""


class ManagedWandbLogger(WandbLogger):
    """A WandbLogger of a given run, which `FaultTolerantLogger` finishes."""

    @property
    @rank_zero_experiment
    def experiment(self) -> "Run":
        """The W&B run that was made for this run and no other."""
        return cast("Run", self._experiment)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        """Checkpoints stay in the run's folder."""


def wandb_logger(
    context: RunContext, project: str = "trainlab", entity: str | None = None, mode: str | None = None
) -> Logger | None:
    """A W&B run of its own: offline without a key, and when the server cannot be reached."""
    wandb_connection.mode_from_environment(context.warn)  # before the import reads it
    mode = mode or os.environ.get("WANDB_MODE") or _choose_mode(context)
    if mode == "disabled":
        return None
    import wandb

    def begin(mode: str, wandb_id: str | None, resume: Literal["allow", "never"] | None) -> "Run":
        return wandb.init(
            mode=cast(Mode, mode), project=project, entity=entity, dir=str(context.folder), name=context.name,
            group=context.group, tags=context.tags, config=context.config, reinit="create_new",
            id=wandb_id, resume=resume,
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=INIT_TIMEOUT_SECONDS,
                finish_timeout=FINISH_TIMEOUT_SECONDS, finish_timeout_raises=True,
            ),
        )  # fmt: skip

    wandb_id = next_wandb_id(context)
    try:
        run = begin(mode, wandb_id, "allow" if context.resumes else "never")
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        if "exists" in str(error):  # made on another machine, or its folder has been removed here
            run = begin(mode, f"{wandb_id}-{uuid.uuid4().hex[:6]}", "never")
        else:
            _note_unreachable(context, f"W&B cannot be reached ({error_with_type(error)})")
            # under an id of W&B's own making: the attempt still holds the run's
            run = begin("offline", None, None)
    return ManagedWandbLogger(experiment=run, save_dir=str(context.folder), log_model=False)


def next_wandb_id(context: RunContext) -> str:
    """W&B's id of this attempt: the run's own, and `<run_id>-2` and so on where it starts over.

    W&B keeps every number that it was ever sent under an id; one curve is one attempt. A run that goes on
    from its checkpoint goes on under the id that it had.
    """
    files = sorted(context.folder.glob("wandb/*run-*/run-*.wandb"))  # folders begin with the time
    known = [file.stem.removeprefix("run-") for file in files]
    if context.resumes and known:
        return known[-1]
    tried = [context.run_id, *(f"{context.run_id}-{number}" for number in range(2, len(known) + 3))]
    return next(name for name in tried if name not in known)


def _choose_mode(context: RunContext) -> str:
    """Online with a key and a server that answers; asked once for the runs of a sweep."""
    if not wandb_connection.has_api_key(context.warn):
        return "offline"
    if why := _known_unreachable(context):
        context.warn(_offline_message(why))
        return "offline"
    if why := wandb_connection.unreachable_reason(ANSWER_SECONDS):
        _note_unreachable(context, why)
        return "offline"
    return "online"


def _offline_message(why: str) -> str:
    return f"{why}: the run is kept offline, in its folder; `trainlab sync` uploads it"


def _note_unreachable(context: RunContext, why: str) -> None:
    context.warn(_offline_message(why))
    with suppress(OSError):  # the next run asks again
        write_atomically(context.folder.parent / UNREACHABLE_FILE, why)


def _known_unreachable(context: RunContext) -> str | None:
    path = context.folder.parent / UNREACHABLE_FILE
    try:
        age_seconds = abs(time.time() - path.stat().st_mtime)
        return path.read_text(encoding="utf-8") if age_seconds < UNREACHABLE_SECONDS else None
    except OSError:
        return None
