"""Where a run's numbers go: first to its record on disk, then to the tracker that was chosen.

An option of `logger=` is called as `option(context)` and returns a Lightning logger. Trackers mirror the
record; none of them decides whether a run succeeds.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from trainlab.build import plain
from trainlab.errors import RequestError
from trainlab.runs import RunFolder, metrics
from trainlab.runs.identity import run_name
from trainlab.training.process import is_rank_zero
from trainlab.training.pruning import Pruned
from trainlab.training.wandb_account import has_key

log = logging.getLogger(__name__)

# How long a run waits for W&B's server before it is kept offline
INIT_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class RunContext:
    """What a tracker is told of a run: plain values only."""

    folder: Path
    run_id: str
    name: str
    group: str | None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


def context(settings: Mapping[str, Any], folder: Path) -> RunContext:
    """How a run is called: its options, its seed; tags are its axes."""
    axes = {k: v for k, v in settings["axes"].items() if v is not None}
    # W&B refuses tags longer than 64 characters
    tags = [f"{k}={v}"[:64] for k, v in axes.items()]
    config = plain({k: v for k, v in settings.items() if k not in ("logger", "paths")})
    return RunContext(folder, settings["run_id"], run_name(settings), settings["group"], tags, config)


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
    """A WandbLogger that is told its run, and lets `tracker` finish it."""

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run that was made for this run and no other."""
        return self._experiment

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Checkpoints stay in the run's folder."""


def wandb_logger(
    context: RunContext, project: str = "trainlab", entity: str | None = None, mode: str | None = None
) -> Logger:
    """A W&B run of its own: offline without a key, and when the server cannot be reached."""
    import wandb

    def begin(mode: Any, run_id: str | None) -> Any:
        return wandb.init(
            mode=mode, project=project, entity=entity, dir=str(context.folder), name=context.name,
            group=context.group, tags=context.tags, config=context.config, reinit="create_new",
            id=run_id, resume="allow" if run_id else None,
            settings=wandb.Settings(silent=True, console="off", init_timeout=INIT_TIMEOUT_SECONDS),
        )  # fmt: skip

    mode = mode or os.environ.get("WANDB_MODE") or ("online" if has_key() else "offline")
    try:
        run = begin(mode, context.run_id)
    except wandb.errors.Error as error:
        if mode == "offline":
            raise
        log.warning("W&B cannot be reached (%s): the run is kept offline, in its folder", error)
        # under an id of W&B's own making: the attempt still holds the run's
        run = begin("offline", None)
    return OwnWandbLogger(experiment=run, save_dir=str(context.folder), log_model=False)


def csv_logger(context: RunContext) -> Logger:
    """`csv/metrics.csv` in the run's folder."""
    return CSVLogger(str(context.folder), name="csv", version="")


def tensorboard_logger(context: RunContext) -> Logger:
    """Event files under `tensorboard/` in the run's folder.

    Raises:
        RequestError: the package is not installed.
    """
    try:
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(str(context.folder), name="tensorboard", version="")
    except ModuleNotFoundError:
        raise RequestError("logger=tensorboard: not installed; pip install 'trainlab[tensorboard]'") from None


@contextmanager
def tracker(option: Callable[[RunContext], Logger] | None, told: RunContext) -> Iterator[Logger | None]:
    """The chosen tracker for as long as the run goes; a run that raises is shown as failed."""
    logger = None if option is None or not is_rank_zero() else option(told)
    exit_code = 1
    try:
        yield logger
        exit_code = 0
    except Pruned:
        exit_code = 0  # a result
        raise
    finally:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=exit_code)
        elif logger is not None:
            logger.finalize("success" if exit_code == 0 else "failed")
