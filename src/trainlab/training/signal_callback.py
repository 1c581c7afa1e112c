"""Ties the signals to a run: at the scheduled steps, into signals.jsonl, and to W&B."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import lightning as L
import numpy as np
import torch
from lightning.pytorch.utilities.types import STEP_OUTPUT
from torch.optim import Optimizer

from trainlab.runs import RunFolder
from trainlab.runs.tables_on_disk import RowLog
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.measured_steps import measured_steps
from trainlab.signals.recorder import Measurement, SignalRecorder
from trainlab.training.classifier import Classifier
from trainlab.training.lightning_internals import gradient_scale
from trainlab.training.tracking import FaultTolerantLogger

if TYPE_CHECKING:
    import wandb

HISTOGRAM_BINS = 64


class SignalCallback(L.Callback):
    """Measures the network of a `Classifier` while it trains, in the process of rank zero alone.

    `signals` is True (the default schedule) or the number of measurements. The schedule is a function of the
    whole run's length, and the record is cut at the checkpoint a run goes on from, so that each step is
    measured once. Stands before any callback that may end the run at a step's end.
    """

    def __init__(self, folder: RunFolder, signals: bool | int):
        self.folder, self.signals = folder, signals
        self._steps: frozenset[int] = frozenset()
        self._recorder: SignalRecorder | None = None
        self._log: RowLog | None = None
        self._step: int | None = None  # the step being measured
        self._rate: float | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """Opens the record; a run that is not recorded by this process is not measured by it."""
        if trainer.is_global_zero:
            self._steps = frozenset(measured_steps(self.signals, trainer.estimated_stepping_batches))
            self._recorder = SignalRecorder(pl_module.model.network)
            self._log = self.folder.signals_log()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Puts the hooks on, at a scheduled step."""
        if self._recorder is not None and trainer.global_step in self._steps:
            self._step = trainer.global_step
            self._rate = _current_learning_rate(trainer)
            self._recorder.start()

    def on_before_optimizer_step(
        self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer
    ) -> None:
        """Gradients are there (reduced over processes, unscaled), and not clipped yet."""
        if self._step is not None and self._recorder is not None:
            self._recorder.before_update(grad_scale=gradient_scale(trainer))

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: STEP_OUTPUT,
        batch: object,
        batch_idx: int,
    ) -> None:
        """The step is done: its rows go to the record, then to W&B."""
        if self._step is None or self._recorder is None or self._log is None:
            return
        step, self._step = self._step, None
        assert isinstance(outputs, Mapping)
        measured = self._recorder.finish(outputs["loss"])
        if self._rate is not None:
            measured.rows.append((NETWORK, "learning_rate", self._rate))
        self._log.append((step, *row) for row in measured.rows)
        for logger in trainer.loggers:
            if isinstance(logger, FaultTolerantLogger) and logger.takes_histograms:
                logger.log_metrics(wandb_payload(measured), step=step)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._close()

    def _close(self) -> None:
        if self._recorder is not None:
            self._recorder.cancel()
        if self._log is not None:
            self._log.close()
        self._recorder = self._log = self._step = None


def _current_learning_rate(trainer: L.Trainer) -> float | None:
    """The learning rate of the step to come: a schedule changes it after each."""
    groups = trainer.optimizers[0].param_groups if trainer.optimizers else []
    return float(groups[0]["lr"]) if groups else None


def wandb_payload(measured: Measurement) -> "dict[str, float | wandb.Histogram]":
    """What W&B shows: a chart for each layer and quantity, a histogram of each layer's pre-activations."""
    import wandb

    shown: dict[str, float | wandb.Histogram] = {
        f"signals/{layer}/{quantity}": value for layer, quantity, value in measured.rows
    }
    for layer, z_NPF in measured.preactivations.items():
        if torch.isfinite(z_NPF).all():
            counts_and_edges = np.histogram(z_NPF.cpu().numpy(), bins=HISTOGRAM_BINS)
            shown[f"signals/{layer}/preactivations"] = wandb.Histogram(np_histogram=counts_and_edges)
    return shown
