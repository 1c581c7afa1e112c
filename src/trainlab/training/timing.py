"""How long a run takes: seconds in training steps, and seconds over all its attempts."""

import time
from datetime import UTC, datetime, timedelta

import lightning as L
import torch


class Elapsed(L.Callback):
    """Seconds since `begin`, and what the attempts before took up to the checkpoint that this one loads."""

    def __init__(self) -> None:
        self._before = 0.0
        self.begin()

    def begin(self) -> None:
        """Starts a monotonic clock, and notes the date beside it."""
        self._since, self._date = time.monotonic(), datetime.now(UTC)

    @property
    def seconds(self) -> float:
        """Of all attempts together, the time between them left out."""
        return self._before + self._of_this_attempt

    @property
    def started(self) -> str:
        """When this attempt began (ISO 8601, UTC)."""
        return self._date.isoformat(timespec="seconds")

    @property
    def finished(self) -> str:
        """Now (ISO 8601, UTC), and not before start plus duration, should the clock have been set back."""
        possible = self._date + timedelta(seconds=self._of_this_attempt)
        return max(possible, datetime.now(UTC)).isoformat(timespec="seconds")

    @property
    def _of_this_attempt(self) -> float:
        return time.monotonic() - self._since

    def state_dict(self) -> dict[str, float]:
        """In every checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Of the attempt that this one continues."""
        self._before = float(state_dict["seconds"])


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
        seconds, steps = self._since_start()
        seconds, steps = self.seconds + seconds, self.steps + steps
        return steps * self.batch_size / seconds if steps else None

    def state_dict(self) -> dict[str, float]:
        """In every checkpoint: what has been counted, the epoch that is going on included."""
        seconds, steps = self._since_start()
        return {"seconds": self.seconds + seconds, "steps": self.steps + steps}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """A run that goes on counts all its attempts."""
        self.seconds, self.steps = float(state_dict["seconds"]), int(state_dict["steps"])

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock, also where a run is resumed in mid-epoch and no epoch begins."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts the clock."""
        _finish_queued_work(trainer)
        self._trainer, self._step = trainer, trainer.global_step
        self._since = time.perf_counter()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock; validation runs inside Lightning's training epoch."""
        self._stop()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stops the clock, where no validation has stopped it."""
        self._stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Stops the clock: the rest is no training."""
        self._stop()

    def _stop(self) -> None:
        if self._since is not None and self._trainer is not None:
            _finish_queued_work(self._trainer)
            seconds, steps = self._since_start()
            self.epoch_samples_per_second = steps * self.batch_size / seconds
            self.seconds += seconds
            self.steps += steps
            self._since = None

    def _since_start(self) -> tuple[float, int]:
        """Seconds and steps since the clock was started; zero while it is stopped."""
        if self._since is None or self._trainer is None:
            return 0.0, 0
        return time.perf_counter() - self._since, self._trainer.global_step - self._step


def _finish_queued_work(trainer: L.Trainer) -> None:
    """A GPU runs behind: what is queued belongs to the time that has queued it."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
