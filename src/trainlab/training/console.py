"""What a single run tells its user while it goes: one line an epoch, and how fast it is."""

import time

import lightning as L
from rich.console import Console

from trainlab.training.classifier import Classifier


class Throughput(L.Callback):
    """Seconds spent in training steps (evaluation and checkpoints left out), and samples per second."""

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self.seconds = 0.0
        self.steps = 0
        self.epoch_samples_per_second = 0.0
        self._since: float | None = None
        self._step = 0

    @property
    def samples_per_second(self) -> float | None:
        """Training samples per second over the whole run; None before the first epoch has ended."""
        return self.steps * self.batch_size / self.seconds if self.seconds else None

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock goes."""
        self._since, self._step = time.perf_counter(), trainer.global_step

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock stops; validation runs inside Lightning's training epoch."""
        self._stop(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock stops, where no validation has stopped it."""
        self._stop(trainer)

    def _stop(self, trainer: L.Trainer) -> None:
        if self._since is not None:
            seconds, steps = time.perf_counter() - self._since, trainer.global_step - self._step
            self.epoch_samples_per_second = steps * self.batch_size / seconds
            self.seconds += seconds
            self.steps += steps
            self._since = None


class EpochLines(L.Callback):
    """`epoch 2/5  train loss 0.214 acc 93.6%  val loss 0.101 acc 97.0%  11,230 samples/s`."""

    def __init__(self, console: Console, throughput: Throughput):
        self.console, self.throughput = console, throughput

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """One line; what was not measured this epoch is left out."""
        pl_module.read_losses()  # Lightning calls a module's own hook after its callbacks'
        measured = {k: float(v) for k, v in trainer.callback_metrics.items()}
        shown = measured | pl_module.meter.epoch()
        of = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        parts = [f"epoch {trainer.current_epoch + 1}{of}"]
        for split in ("train", "val"):
            if f"{split}/loss" in shown:
                parts.append(f"{split} loss {shown[f'{split}/loss']:.4f} acc {shown[f'{split}/acc']:.2%}")
        parts.append(f"{self.throughput.epoch_samples_per_second:,.0f} samples/s")
        self.console.print("  ".join(parts), highlight=False, soft_wrap=True)
