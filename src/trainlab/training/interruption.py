"""A signal that asks a run to stop ends it at a step's end, with a checkpoint to go on from."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TypeAlias

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

    STOPS_NOW = "ends what is going on: nothing is lost by it"
    STOPS_AFTER_STEP = "is noted, and the run ends between two steps; the second one ends it at once"
    IS_NOTED = "changes nothing: the record is being written"


Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | signal.Handlers | None
"""What `signal.signal` takes and gives back."""


class Interruption(L.Callback):
    """Stops between two steps once a signal has come; a second signal stops at once.

    In mid-epoch it writes `checkpoint`; at an epoch's end it leaves that to the epoch's own checkpoint. Of
    several processes all stop at the same step, whichever of them the signal came to.
    """

    def __init__(self, checkpoint: Path | None):
        self.checkpoint = checkpoint
        self.requested = False
        self._first_signal = FirstSignal.STOPS_NOW
        self._replaced_handlers: dict[int, Handler] = {}

    # Between two steps

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Between two steps of an epoch: saves, then stops."""
        if trainer.world_size > 1 and trainer.global_step % AGREE_EVERY_STEPS:
            return
        if self._all_agree_to_stop(trainer) and not trainer.is_last_batch:
            if self.checkpoint is not None:
                trainer.save_checkpoint(self.checkpoint)
            raise Interrupted

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Between two epochs: the last checkpoint is a moment old."""
        if self._all_agree_to_stop(trainer):
            raise Interrupted

    def _all_agree_to_stop(self, trainer: L.Trainer) -> bool:
        """Whether to stop: the same answer in every process, or they would wait for each other for ever."""
        if trainer.world_size == 1:
            return self.requested
        return trainer.strategy.reduce_boolean_decision(self.requested, all=False)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Lightning has just installed its own handlers over ours."""
        self._reinstall_handlers()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same, where only validation runs."""
        self._reinstall_handlers()

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same in the test."""
        self._reinstall_handlers()

    def _reinstall_handlers(self) -> None:
        """Lightning's would end the run at places that leave no checkpoint."""
        for number in self._replaced_handlers:
            signal.signal(number, self._on_signal)

    # Signals

    @contextmanager
    def handling_signals(self) -> Iterator[None]:
        """Handles the signals while the block runs, and reports in one way that one of them has ended it.

        Raises:
            Interrupted: a signal came, whatever became of it on its way through the libraries.
        """
        if threading.current_thread() is threading.main_thread():
            self._replaced_handlers = {n: signal.signal(n, self._on_signal) for n in _signals_to_handle()}
        try:
            yield
        except (KeyboardInterrupt, SystemExit) as error:  # Lightning makes the second of the first
            if isinstance(error, SystemExit) and not self.requested:
                raise
            raise Interrupted from error
        finally:
            handlers, self._replaced_handlers = self._replaced_handlers, {}
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    @contextmanager
    def deferred_to_step_end(self) -> Iterator[None]:
        """While the run trains: the first signal waits for the end of a step."""
        with self._on_first_signal(FirstSignal.STOPS_AFTER_STEP):
            yield

    @contextmanager
    def deferred_while_writing(self) -> Iterator[None]:
        """While the record is written: it takes a moment, and half of it is worth nothing."""
        with self._on_first_signal(FirstSignal.IS_NOTED):
            yield

    @contextmanager
    def _on_first_signal(self, effect: FirstSignal) -> Iterator[None]:
        before, self._first_signal = self._first_signal, effect
        try:
            yield
        finally:
            self._first_signal = before

    def has_caused(self, error: BaseException | None) -> bool:
        """Whether this exception came of a signal, also where a library has raised another from it."""
        seen: set[int] = set()
        while error is not None and id(error) not in seen:
            if isinstance(error, Interrupted | KeyboardInterrupt):
                return True
            seen.add(id(error))
            error = error.__cause__ or error.__context__
        return False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        is_first, self.requested = not self.requested, True
        waits = self._first_signal is FirstSignal.STOPS_AFTER_STEP and is_first
        if waits or self._first_signal is FirstSignal.IS_NOTED:
            return
        raise KeyboardInterrupt


def _signals_to_handle() -> list[int]:
    """The stop signals but for ignored ones (`nohup`); Ctrl-C and `kill` always count."""
    numbers = [getattr(signal, name) for name in STOP_SIGNALS if hasattr(signal, name)]
    always = (signal.SIGINT, signal.SIGTERM)
    return [n for n in numbers if n in always or signal.getsignal(n) is not signal.SIG_IGN]
