"""What a single run tells its user while it goes: a bar, one line an epoch, and how fast it is."""

import time
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

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
        self._trainer: L.Trainer | None = None

    @property
    def samples_per_second(self) -> float | None:
        """Training samples per second over the whole run, all attempts; None before any were counted."""
        seconds, steps = self._going()
        seconds, steps = self.seconds + seconds, self.steps + steps
        return steps * self.batch_size / seconds if steps else None

    def state_dict(self) -> dict[str, Any]:
        """In every checkpoint: what has been counted, the epoch that is going on included."""
        seconds, steps = self._going()
        return {"seconds": self.seconds + seconds, "steps": self.steps + steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A run that goes on counts all its attempts."""
        self.seconds, self.steps = float(state_dict["seconds"]), int(state_dict["steps"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock goes, also where a run is resumed in mid-epoch and none begins."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock goes."""
        self._trainer, self._step = trainer, trainer.global_step
        self._since = time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock stops; validation runs inside Lightning's training epoch."""
        self._stop()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The clock stops, where no validation has stopped it."""
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The clock stops: what comes now is no training."""
        self._stop()

    def _stop(self) -> None:
        if self._since is not None:
            seconds, steps = self._going()
            self.epoch_samples_per_second = steps * self.batch_size / seconds
            self.seconds += seconds
            self.steps += steps
            self._since = None

    def _going(self) -> tuple[float, int]:
        """Seconds and steps since the clock was started; none where it stands still."""
        if self._since is None or self._trainer is None:
            return 0.0, 0
        return time.perf_counter() - self._since, self._trainer.global_step - self._step


class Display(L.Callback):
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
        self.progress.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A look at the bar costs more than a small net's step: every tenth one is enough."""
        if batch_idx % 10 == 0:
            self.progress.update(self.task, completed=trainer.global_step)

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
        self.progress.console.print("  ".join(parts), highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The bar goes; the lines stay."""
        self.progress.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The terminal is given back, whatever happened."""
        self.progress.stop()
