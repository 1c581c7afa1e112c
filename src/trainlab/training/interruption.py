"""Ctrl-C and SIGTERM end a run at a step's end, with a checkpoint to go on from."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L


class Interrupted(Exception):
    """The run was asked to stop, and did so at a place from which it can go on."""


class Interruption(L.Callback):
    """Stops between two steps once a signal has come; a second signal stops at once.

    In mid-epoch it writes `checkpoint`; at an epoch's end it leaves that to the epoch's own checkpoint.
    """

    def __init__(self, checkpoint: Path | None):
        self.checkpoint = checkpoint
        self.requested = False
        self._is_listening = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps of an epoch: saves, then stops."""
        if self.requested and not trainer.is_last_batch:
            if self.checkpoint is not None:
                trainer.save_checkpoint(self.checkpoint)
            raise Interrupted

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Between two epochs: the last checkpoint is a moment old."""
        if self.requested:
            raise Interrupted

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lightning has just put its own handler before ours; see `_take_back`."""
        self._take_back(trainer)

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same, where only validation runs."""
        self._take_back(trainer)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same in the test."""
        self._take_back(trainer)

    def _take_back(self, trainer: L.Trainer) -> None:
        """Takes SIGTERM from Lightning, which would end the run at places that leave no checkpoint behind.

        Of several processes Lightning's own hands the signal on to the others; there it stays.
        """
        if self._is_listening and trainer.world_size == 1:
            signal.signal(signal.SIGTERM, self._take)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes SIGINT and SIGTERM for as long as the run goes."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may take signals; whoever owns it decides there
            return
        before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        self._is_listening = True
        try:
            yield
        finally:
            self._is_listening = False
            for number, handler in before.items():
                signal.signal(number, handler)

    def _take(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
