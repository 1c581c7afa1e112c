"""Where a run's numbers go: first to its record on disk, then to the tracker that was chosen.

An option of `logger=` is called as `option(context)` and returns a Lightning logger, or None where there is
nothing to track with. Trackers mirror the record; none of them decides whether a run succeeds: what a tracker
raises is a warning in the record.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from trainlab.build import plain
from trainlab.errors import RequestError, full_message
from trainlab.runs import RunFolder, metrics
from trainlab.runs.atomic import write_atomically
from trainlab.runs.identity import run_name
from trainlab.training import wandb_account
from trainlab.training.process import is_rank_zero

log = logging.getLogger(__name__)

INIT_TIMEOUT_SECONDS = 20
"""How long W&B may take to begin a run on a server that answers."""
ANSWER_SECONDS = 3.0
"""How long a run waits for W&B's server to answer at all before it is kept offline."""
FINISH_TIMEOUT_SECONDS = 60
"""How long a finished run waits for its numbers to be sent; what is left goes by `trainlab sync`."""
UNREACHABLE_FILE = ".wandb-unreachable"
"""Beside the run folders: why W&B could not be reached, so that the next runs need not wait too."""
UNREACHABLE_SECONDS = 600
"""For so long that is believed."""

REQUIRED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "trainlab.training.tracking.wandb_logger": (("wandb",), "wandb"),
    "trainlab.training.tracking.tensorboard_logger": (
        ("tensorboard", "tensorboardX"), "trainlab[tensorboard]",
    ),
}  # fmt: skip
"""Of our own options, the packages of which one must be there, and what brings it."""


@dataclass(frozen=True)
class RunContext:
    """What a tracker is told of a run: plain values only, and whom to tell what is worth knowing.

    `resumes`: the run goes on from its own checkpoint, so its curves go on too.
    """

    folder: Path
    run_id: str
    name: str
    group: str | None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    resumes: bool = False
    warn: Callable[[str], None] = log.warning


def context(
    settings: Mapping[str, Any],
    folder: Path,
    resumes: bool = False,
    warn: Callable[[str], None] = log.warning,
) -> RunContext:
    """How a run is called: its options, its seed; tags are its axes."""
    axes = {k: v for k, v in settings["axes"].items() if v is not None}
    # W&B refuses tags longer than 64 characters
    tags = [f"{k}={v}"[:64] for k, v in axes.items()]
    config = plain({k: v for k, v in settings.items() if k not in ("logger", "paths")})
    name = run_name(settings)
    return RunContext(folder, settings["run_id"], name, settings["group"], tags, config, resumes, warn)


def check_tracker(node: Mapping[str, Any]) -> None:
    """Refuses a tracker that is not installed, or a W&B mode that there is not, before there is a run.

    Raises:
        RequestError: with what brings it.
    """
    target = str(node.get("_target_"))
    if target in REQUIRED:
        packages, brought_by = REQUIRED[target]
        if not any(find_spec(package) for package in packages):
            name = target.rpartition(".")[2].removesuffix("_logger")
            raise RequestError(f"logger={name}: not installed; pip install '{brought_by}'")
    mode = node.get("mode")
    if target.endswith(".wandb_logger") and mode is not None and mode not in wandb_account.MODES:
        raise RequestError(f"logger.mode={mode}: expected online, offline or disabled")


class RecordLogger(Logger):
    """Lightning's numbers into the run's own record: metrics.jsonl now, metrics.parquet at the end."""

    def __init__(self, folder: RunFolder):
        super().__init__()
        self.folder = folder
        # a resumed run goes on from what it has measured before
        self.latest = dict(metrics(folder.path).select("name", "value").iter_rows())
        self.metrics = folder.metrics_log()

    @property
    def name(self) -> str:
        """The record has one name."""
        return "record"

    @property
    def version(self) -> str:
        """The run's id."""
        return self.folder.path.name

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: config.yaml holds the settings."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """One row a metric: step, epoch, name, value."""
        values = dict(metrics)
        epoch = int(values.pop("epoch", 0))
        self.latest |= values
        self.metrics.append((step or 0, epoch, name, float(value)) for name, value in values.items())

    @rank_zero_only
    def log_losses(self, losses: list[float], first_step: int, epoch: int) -> None:
        """The training loss of each step (nats)."""
        self.metrics.append((first_step + i, epoch, "train/loss_step", loss) for i, loss in enumerate(losses))

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Closed by `record.py` when the run ends; Lightning calls this after each of fit and test."""


class OwnWandbLogger(WandbLogger):
    """A WandbLogger that is told its run, and lets `Mirror` finish it."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run that was made for this run and no other."""
        return self._experiment

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Checkpoints stay in the run's folder."""


class Mirror(Logger):
    """A tracker whose failures are warnings; after the first one it is not called again."""

    def __init__(self, inner: Logger, warn: Callable[[str], None]):
        super().__init__()
        self.inner, self._warn = inner, warn
        self.shows_pictures = isinstance(inner, WandbLogger)
        """Whether it takes histograms beside numbers."""

    @property
    def name(self) -> str | None:
        """The tracker's."""
        return type(self.inner).__name__.removesuffix("Logger").removeprefix("Own")

    @property
    def version(self) -> int | str | None:
        """Its run folder says which run this is."""
        return None

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Numbers of one step."""
        self._ask(lambda: self.inner.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Lightning's hyperparameters; the run's settings are the tracker's already."""
        self._ask(lambda: self.inner.log_hyperparams(params, *args, **kwargs))

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """The network, for trackers that draw it."""
        self._ask(lambda: self.inner.log_graph(model, input_array))

    def save(self) -> None:
        """Writes what is waiting."""
        self._ask(self.inner.save)

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """For trackers that keep checkpoints."""
        self._ask(lambda: self.inner.after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        """Closed by `close`; Lightning calls this after each of fit and test."""

    def close(self, exit_code: int) -> None:
        """Ends the tracker's run as done (0) or failed (1). Ctrl-C ends the waiting, not the run."""
        try:
            self._ask(lambda: self._close(exit_code))
        except KeyboardInterrupt:
            self._warn(f"{self.name} was interrupted while it finished: it may lack the last numbers")

    def _close(self, exit_code: int) -> None:
        if isinstance(self.inner, WandbLogger):
            self.inner.experiment.finish(exit_code=exit_code)
        else:
            self.inner.finalize("success" if exit_code == 0 else "failed")

    def _ask(self, call: Callable[[], Any]) -> None:
        if self._is_lost:
            return
        try:
            call()
        except Exception as error:  # another's code, another's server: anything may come
            self._is_lost = True
            self._warn(f"{self.name} failed and may lack numbers; the record has all ({full_message(error)})")
            if isinstance(self.inner, WandbLogger):
                _forget_wandb()

    _is_lost = False


def _forget_wandb() -> None:
    """Without its service, W&B would print a traceback when the process ends, and refuse the next run."""
    import wandb

    with suppress(Exception):
        wandb.teardown()


def wandb_logger(
    context: RunContext, project: str = "trainlab", entity: str | None = None, mode: str | None = None
) -> Logger | None:
    """A W&B run of its own: offline without a key, and when the server cannot be reached."""
    wandb_account.mode_of_environment(context.warn)  # before the import reads it
    mode = mode or os.environ.get("WANDB_MODE") or _online_or_offline(context)
    if mode == "disabled":
        return None
    import wandb

    def begin(mode: Any, wandb_id: str | None, resume: Any) -> Any:
        return wandb.init(
            mode=mode, project=project, entity=entity, dir=str(context.folder), name=context.name,
            group=context.group, tags=context.tags, config=context.config, reinit="create_new",
            id=wandb_id, resume=resume,
            settings=wandb.Settings(
                silent=True, console="off", init_timeout=INIT_TIMEOUT_SECONDS,
                finish_timeout=FINISH_TIMEOUT_SECONDS, finish_timeout_raises=True,
            ),
        )  # fmt: skip

    wandb_id = wandb_id_of(context)
    try:
        run = begin(mode, wandb_id, "allow" if context.resumes else "never")
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        if "exists" in str(error):  # made on another machine, or its folder has been removed here
            run = begin(mode, f"{wandb_id}-{uuid.uuid4().hex[:6]}", "never")
        else:
            _note_unreachable(context, f"W&B cannot be reached ({full_message(error)})")
            # under an id of W&B's own making: the attempt still holds the run's
            run = begin("offline", None, None)
    return OwnWandbLogger(experiment=run, save_dir=str(context.folder), log_model=False)


def wandb_id_of(context: RunContext) -> str:
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


def _online_or_offline(context: RunContext) -> str:
    """Online with a key and a server that answers; asked once for the runs of a sweep."""
    if not wandb_account.has_key(context.warn):
        return "offline"
    if why := _known_unreachable(context):
        context.warn(_kept_offline(why))
        return "offline"
    if why := wandb_account.why_unreachable(ANSWER_SECONDS):
        _note_unreachable(context, why)
        return "offline"
    return "online"


def _kept_offline(why: str) -> str:
    return f"{why}: the run is kept offline, in its folder; `trainlab sync` uploads it"


def _note_unreachable(context: RunContext, why: str) -> None:
    context.warn(_kept_offline(why))
    with suppress(OSError):  # the next run asks again
        write_atomically(context.folder.parent / UNREACHABLE_FILE, why)


def _known_unreachable(context: RunContext) -> str | None:
    path = context.folder.parent / UNREACHABLE_FILE
    try:
        age_seconds = abs(time.time() - path.stat().st_mtime)
        return path.read_text(encoding="utf-8") if age_seconds < UNREACHABLE_SECONDS else None
    except OSError:
        return None


def csv_logger(context: RunContext) -> Logger:
    """`csv/metrics.csv` in the run's folder."""
    return CSVLogger(str(context.folder), name="csv", version="")


def tensorboard_logger(context: RunContext) -> Logger:
    """Event files under `tensorboard/` in the run's folder."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(str(context.folder), name="tensorboard", version="")


def open_tracker(option: Callable[[RunContext], Logger | None] | None, run: RunContext) -> Mirror | None:
    """The chosen tracker, in the one process that writes; None where there is none, or it cannot be had."""
    if option is None or not is_rank_zero():
        return None
    try:
        logger = option(run)
    except Exception as error:  # whatever a tracker says, the run is worth having without it
        run.warn(f"there is no tracker: {full_message(error)}")
        return None
    return None if logger is None else Mirror(logger, run.warn)
