"""A signal that asks a run to stop ends it at a step's end, with a checkpoint to go on from."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import lightning as L

STOP_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGBREAK")
"""What asks a run to stop: Ctrl-C, `kill`, a terminal that closes, and what queues send before they kill
(Slurm and LSF USR1 or USR2, Grid Engine XCPU too). Names, as no system has them all."""

AGREE_EVERY_STEPS = 50
"""Steps between two moments at which several processes agree to stop; one process stops at its next step."""


class Interrupted(Exception):
    """The run was asked to stop, and did so at a place from which it can go on."""


class FirstSignal(Enum):
    """What the first signal does."""

    AT_ONCE = "ends what is going on: nothing is lost by it"
    AFTER_THE_STEP = "is noted, and the run ends between two steps; the second one ends it at once"
    NOT_NOW = "is noted: the record is being written"


class Interruption(L.Callback):
    """Stops between two steps once a signal has come; a second signal stops at once.

    In mid-epoch it writes `checkpoint`; at an epoch's end it leaves that to the epoch's own checkpoint. Of
    several processes all stop at the same step, whichever of them the signal came to.
    """

    def __init__(self, checkpoint: Path | None):
        self.checkpoint = checkpoint
        self.requested = False
        self._answer = FirstSignal.AT_ONCE
        self._handlers: dict[int, Any] = {}
        """What was there before, by signal."""

    # Between two steps

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Between two steps of an epoch: saves, then stops."""
        if trainer.world_size > 1 and trainer.global_step % AGREE_EVERY_STEPS:
            return
        if self._all_stop(trainer) and not trainer.is_last_batch:
            if self.checkpoint is not None:
                trainer.save_checkpoint(self.checkpoint)
            raise Interrupted

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Between two epochs: the last checkpoint is a moment old."""
        if self._all_stop(trainer):
            raise Interrupted

    def _all_stop(self, trainer: L.Trainer) -> bool:
        """Whether to stop: the same answer in every process, or they would wait for each other for ever."""
        if trainer.world_size == 1:
            return self.requested
        return trainer.strategy.reduce_boolean_decision(self.requested, all=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lightning has just put its own handlers before ours; see `_take_back`."""
        self._take_back()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same, where only validation runs."""
        self._take_back()

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same in the test."""
        self._take_back()

    def _take_back(self) -> None:
        """Takes the signals from Lightning, which would end the run at places that leave no checkpoint."""
        for number in self._handlers:
            signal.signal(number, self._take)

    # Signals

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals for as long as the run goes, and says in one way that one has ended it.

        Raises:
            Interrupted: a signal came, whatever became of it on its way through the libraries.
        """
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._take) for number in _signals_to_handle()}
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as error:  # Lightning makes the second of the first
            if isinstance(error, SystemExit) and not self.requested:
                raise
            raise Interrupted from error
        finally:
            handlers, self._handlers = self._handlers, {}
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def after_the_step(self) -> Iterator[None]:
        """While the run trains: the first signal waits for the end of a step."""
        with self._answering(FirstSignal.AFTER_THE_STEP):
            yield

    @contextmanager
    def not_now(self) -> Iterator[None]:
        """While the record is written: it takes a moment, and half of it is worth nothing."""
        with self._answering(FirstSignal.NOT_NOW):
            yield

    @contextmanager
    def _answering(self, answer: FirstSignal) -> Iterator[None]:
        before, self._answer = self._answer, answer
        try:
            yield
        finally:
            self._answer = before

    def ended(self, error: BaseException | None) -> bool:
        """Whether this exception is a signal's doing, also where a library has made another of it."""
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            if isinstance(error, Interrupted | KeyboardInterrupt):
                return True
            seen.add(id(error))
            error = error.__cause__ or error.__context__
        return False

    def _take(self, number: int, frame: Any) -> None:
        is_first, self.requested = not self.requested, True
        if self._answer is FirstSignal.NOT_NOW or (self._answer is FirstSignal.AFTER_THE_STEP and is_first):
            return
        raise KeyboardInterrupt


def _signals_to_handle() -> list[int]:
    """The signals to take: what is ignored (`nohup`) stays so, but Ctrl-C and `kill` always count."""
    numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
    always = (signal.SIGINT, signal.SIGTERM)
    return [n for n in numbers if n in always or signal.getsignal(n) is not signal.SIG_IGN]
