"""Where a run's numbers go: first to its record on disk, then to the tracker that was chosen.

An option of `logger=` is called as `option(context)` and returns a Lightning logger, or None where there is
nothing to track with. Trackers repeat what is recorded; none of them decides whether a run succeeds: what a
tracker raises is a warning in the record."""

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakSet

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from trainlab.errors import RequestError, error_with_type
from trainlab.instantiate.allowlist import current_name
from trainlab.json_types import Json
from trainlab.runs import RunFolder, read_metrics
from trainlab.runs.identity import run_name
from trainlab.section import Component
from trainlab.settings import RunSettings
from trainlab.training import wandb_connection
from trainlab.training.lightning_internals import is_rank_zero

log = logging.getLogger(__name__)

REQUIRED_PACKAGES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "trainlab.training.wandb_tracking.wandb_logger": (("wandb",), "wandb"),
    "trainlab.training.tracking.tensorboard_logger": (
        ("tensorboard", "tensorboardX"), "trainlab[tensorboard]",
    ),
}  # fmt: skip
"""Of our own options, the packages of which one must be there, and what brings it."""


@dataclass(frozen=True)
class RunContext:
    """What a tracker gets to know of a run: plain values only, and where its warnings go.

    `resumes`: the run goes on from its own checkpoint, so its curves go on too.
    """

    folder: Path
    run_id: str
    name: str
    group: str | None
    tags: list[str] = field(default_factory=list)
    config: dict[str, Json] = field(default_factory=dict)
    resumes: bool = False
    warn: Callable[[str], None] = log.warning


def run_context(
    settings: RunSettings,
    folder: Path,
    resumes: bool = False,
    warn: Callable[[str], None] = log.warning,
) -> RunContext:
    """How a run is called: its options, its seed; tags are its axes."""
    axes = {k: v for k, v in settings.axes.items() if v is not None}
    # W&B refuses tags longer than 64 characters
    tags = [f"{k}={v}"[:64] for k, v in axes.items()]
    config = {k: v for k, v in settings.to_plain().items() if k not in ("logger", "paths")}
    name = run_name(settings.axes, settings.seed)
    return RunContext(folder, settings.run_id, name, settings.group, tags, config, resumes, warn)


def check_tracker(node: Component) -> None:
    """Refuses a tracker that is not installed, or a W&B mode that there is not, before there is a run.

    Raises:
        RequestError: with what brings it.
    """
    target = current_name(str(node.target))
    if target in REQUIRED_PACKAGES:
        packages, brought_by = REQUIRED_PACKAGES[target]
        if not any(find_spec(package) for package in packages):
            name = target.rpartition(".")[2].removesuffix("_logger")
            raise RequestError(f"logger={name}: not installed; pip install '{brought_by}'")
    mode = node.arguments.get("mode")
    if target.endswith(".wandb_logger") and mode is not None and mode not in wandb_connection.MODES:
        raise RequestError(f"logger.mode={mode}: expected online, offline or disabled")


class RecordLogger(Logger):
    """Lightning's numbers into the run's own record: metrics.jsonl now, metrics.parquet at the end."""

    def __init__(self, folder: RunFolder):
        super().__init__()
        self.folder = folder
        # a resumed run goes on from what it has measured before
        self.latest = dict(read_metrics(folder.path).select("name", "value").iter_rows())
        self.metrics = folder.metrics_log()

    @property
    def name(self) -> str:
        return "record"

    @property
    def version(self) -> str:
        return self.folder.path.name

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, object] | Namespace, *args: object, **kwargs: object) -> None:
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
        """Closed by the result writer when the run ends; Lightning calls this after each of fit and test."""


class FaultTolerantLogger(Logger):
    """A tracker whose failures are warnings; after the first one it is not called again."""

    def __init__(self, inner: Logger, warn: Callable[[str], None]):
        super().__init__()
        self.inner, self._warn = inner, warn
        self.takes_histograms = isinstance(inner, WandbLogger)
        """Whether it takes histograms beside numbers."""
        if isinstance(inner, WandbLogger):
            _open_in_wandb.add(self)

    @property
    def name(self) -> str | None:
        return type(self.inner).__name__.removesuffix("Logger").removeprefix("Managed")

    @property
    def version(self) -> int | str | None:
        """Its run folder says which run this is."""
        return None

    def log_metrics(self, metrics: Mapping[str, object], step: int | None = None) -> None:
        # histograms too: Lightning's type is narrower than what its loggers take
        values: dict = dict(metrics)
        self._attempt(lambda: self.inner.log_metrics(values, step))

    def log_hyperparams(self, params: dict[str, object] | Namespace, *args: object, **kwargs: object) -> None:
        """Lightning's hyperparameters; the run's settings are the tracker's already."""
        self._attempt(lambda: self.inner.log_hyperparams(params, *args, **kwargs))

    def log_graph(self, model: nn.Module, input_array: Tensor | None = None) -> None:
        self._attempt(lambda: self.inner.log_graph(model, input_array))

    def save(self) -> None:
        self._attempt(self.inner.save)

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        self._attempt(lambda: self.inner.after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        """Closed by `close`; Lightning calls this after each of fit and test."""

    def close(self, exit_code: int) -> None:
        """Ends the tracker's run as done (0) or failed (1). Ctrl-C ends the waiting, not the run."""
        try:
            self._attempt(lambda: self._close(exit_code))
        except KeyboardInterrupt:
            self._warn(f"{self.name} was interrupted while it finished: it may lack the last numbers")

    def _close(self, exit_code: int) -> None:
        if isinstance(self.inner, WandbLogger):
            _open_in_wandb.discard(self)
            self.inner.experiment.finish(exit_code=exit_code)
        else:
            self.inner.finalize("success" if exit_code == 0 else "failed")

    def _attempt(self, call: Callable[[], object]) -> None:
        if self._is_lost:
            return
        try:
            call()
        except Exception as error:  # a tracker may raise anything
            self._is_lost = True
            self._warn(
                f"{self.name} failed and may lack numbers; the record has all ({error_with_type(error)})"
            )
            _open_in_wandb.discard(self)
            if isinstance(self.inner, WandbLogger) and not _open_in_wandb:
                _tear_down_wandb()

    _is_lost = False


_open_in_wandb: WeakSet[FaultTolerantLogger] = WeakSet()
"""Of this process: a stack has one for each run."""


def _tear_down_wandb() -> None:
    """Without its service, W&B would print a traceback when the process ends, and refuse the next run.

    Only where no other run has a tracker left: it ends them all.
    """
    import wandb

    with suppress(Exception):
        wandb.teardown()


def csv_logger(context: RunContext) -> Logger:
    """`csv/metrics.csv` in the run's folder."""
    return CSVLogger(str(context.folder), name="csv", version="")


def tensorboard_logger(context: RunContext) -> Logger:
    """Event files under `tensorboard/` in the run's folder."""
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(str(context.folder), name="tensorboard", version="")


def open_tracker(
    option: Callable[[RunContext], Logger | None] | None, run: RunContext
) -> FaultTolerantLogger | None:
    """The chosen tracker, in the one process that writes; None where there is none, or it cannot be had."""
    if option is None or not is_rank_zero():
        return None
    try:
        logger = option(run)
    except Exception as error:  # whatever a tracker says, the run is worth having without it
        run.warn(f"there is no tracker: {error_with_type(error)}")
        return None
    return None if logger is None else FaultTolerantLogger(logger, run.warn)
