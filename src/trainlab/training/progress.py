"""What a single run shows its user while it trains: a progress bar, and one line an epoch."""

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from trainlab.training.classifier import Classifier
from trainlab.training.timing import Throughput


class EpochProgress(L.Callback):
    """A bar over the whole run on a terminal, and above it one line an epoch.

    `epoch 2/5  train loss 0.2140 acc 93.61%  val loss 0.1010 acc 97.00%  11,230 samples/s`
    """

    def __init__(self, console: Console, throughput: Throughput, total_steps: int, bar: bool):
        self.throughput, self.total_steps = throughput, total_steps
        columns = (
            "[progress.description]{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(
            *columns,
            console=console,
            transient=True,
            refresh_per_second=4,
            disable=not (bar and console.is_terminal),
        )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The bar appears, where a resumed run has been before."""
        self.task = self.progress.add_task("steps", total=self.total_steps, completed=trainer.global_step)
        self._shown_step = trainer.global_step
        self.progress.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """A look at the bar costs more than a small net's step: every tenth one is enough."""
        if trainer.global_step >= self._shown_step + 10:
            self._shown_step = trainer.global_step
            self.progress.update(self.task, completed=self._shown_step)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Classifier) -> None:  # type: ignore[override]
        """One line; what was not measured this epoch is left out."""
        pl_module.log_losses_and_check_finite()  # Lightning calls a module's own hook after its callbacks'
        measured = {k: float(v) for k, v in trainer.callback_metrics.items()}
        shown = measured | pl_module.meter.epoch()
        of = f"/{trainer.max_epochs}" if trainer.max_epochs and trainer.max_epochs > 0 else ""
        parts = [f"epoch {trainer.current_epoch + 1}{of}"]
        for split in ("train", "val"):
            if f"{split}/loss" in shown:
                parts.append(f"{split} loss {shown[f'{split}/loss']:.4f} acc {shown[f'{split}/acc']:.2%}")
        parts.append(f"{self.throughput.epoch_samples_per_second:,.0f} samples/s")
        self.progress.console.print("  ".join(parts), highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The bar goes; the lines stay."""
        self.progress.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The terminal is given back, whatever happened."""
        self.progress.stop()
