"""One run of a stack: what is its own beside the weights. Its folder, record, result, tracker, early stop."""

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from trainlab.data import ImageData
from trainlab.errors import RequestError
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import LOGGER
from trainlab.json_types import JsonObject
from trainlab.runs import Result, RunFolder
from trainlab.runs.tables_on_disk import RowLog
from trainlab.settings import RunSettings
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.recorder import Measurement
from trainlab.training import resume
from trainlab.training.checkpoint import read_checkpoint
from trainlab.training.classifier import RECENT_LOSS, Divergence
from trainlab.training.interruption import Interruption
from trainlab.training.lightning_internals import CheckpointDict
from trainlab.training.pruning import Pruning
from trainlab.training.result_writer import ResultWriter
from trainlab.training.signal_callback import wandb_payload
from trainlab.training.step_meter import StepMeter, first_not_finite
from trainlab.training.tracking import FaultTolerantLogger, RecordLogger, open_tracker, run_context


@dataclass
class EarlyStop:
    """Ends a run once `patience` validations in a row were no better than the best; None: never.

    The same rule, and the same state in a checkpoint, as Lightning's EarlyStopping on val/loss.
    """

    patience: int | None
    best: float = math.inf
    waited: int = 0

    def is_over(self, val_loss: float) -> bool:
        """Whether the run ends after a validation with this loss (nats)."""
        if self.patience is None:
            return False
        if val_loss < self.best:
            self.best, self.waited = val_loss, 0
        else:
            self.waited += 1
        return self.waited >= self.patience


@dataclass
class StackClock:
    """Seconds in training steps, and the steps; those of earlier attempts included."""

    batch_size: int
    seconds: float = 0.0
    steps: int = 0

    @property
    def samples_per_second(self) -> float | None:
        """Images of this run a second, while the other runs of its stack were trained beside it."""
        return self.steps * self.batch_size / self.seconds if self.steps and self.seconds else None

    def add(self, seconds: float, steps: int) -> None:
        self.seconds += seconds
        self.steps += steps


class StackTooLargeError(Exception):
    """The stack does not fit into memory: fewer runs at once may. Nothing is recorded."""


class StackedRun:
    """A run that is trained in a stack: `with` it is locked; after `begin` it is recorded, its tracker open.

    What ends the block by an exception is recorded as `failed` or `interrupted`, as for a run alone; what the
    stack as a whole was refused for (StackTooLargeError, RequestError) is not.
    """

    def __init__(
        self,
        settings: RunSettings,
        images: ImageData,
        interruption: Interruption,
        warn: Callable[[str], None],
        code: JsonObject,
    ):
        self.settings, self.images = settings, images
        self.folder = RunFolder(Path(settings.paths.runs) / settings.run_id)
        self.meter = StepMeter()
        self.clock = StackClock(settings.data.batch_size)
        self._images_a_step = min(settings.data.batch_size, len(images.train))
        stop, every = settings.early_stop, settings.trainer.val_every_epochs
        self.early_stop = EarlyStop(None if stop is None else math.ceil(stop / every))
        self.best_accuracy = -math.inf
        self.is_best = False
        """Whether the last validation was better than all before."""
        self._stops_early = False
        self.result: Result | None = None
        self.has_failed = False
        self.diverged: Divergence | None = None
        self.confusion_KK: Tensor | None = None
        self.parameter_count: int | None = None
        self.writer = ResultWriter(self.folder, settings, Pruning.requested_by(settings), interruption, warn)
        self.writer.data_notes, self.writer.code = images.notes, code
        self._open = ExitStack()
        self._trackers: list[FaultTolerantLogger] = []
        self._signals: RowLog | None = None

    def __enter__(self) -> Self:
        self._open.enter_context(self.folder.lock())
        return self

    def begin(self) -> None:
        """Prepares the folder; from here on the record says what becomes of the run."""
        with ExitStack() as opening:
            self.start = resume.find_starting_point(self.settings, self.folder)
            self.folder.write_settings(self.settings)
            self.folder.begin(resumed_step=self.start.last_step)
            opening.enter_context(self.writer)
            self.checkpoint = self._read_start()
            self.record = RecordLogger(self.folder)
            self.writer.attach(self, self.clock, self.record, self.images)
            context = run_context(
                self.settings, self.folder.path, self.start.last_step is not None, self.writer.warn
            )
            tracker = open_tracker(instantiate(self.settings.logger, LOGGER), context)
            if tracker is not None:
                self.writer.attach_tracker(tracker)
                self._trackers = [tracker]
            self._open.push(opening.pop_all())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_signals()
        # the run is tried again, with fewer beside it or alone
        if isinstance(error, StackTooLargeError | RequestError):
            self._open.close()
        else:
            self._open.__exit__(kind, error, trace)

    @property
    def position(self) -> tuple[int, int]:
        """(optimizer steps, epochs) behind it: runs of one position train together."""
        if self.checkpoint is None:
            return 0, 0
        [loader] = self.checkpoint["loops"]["fit_loop"]["state_dict"]["combined_loader"]
        return int(self.checkpoint["global_step"]), int(loader["epoch"])

    def _read_start(self) -> CheckpointDict | None:
        """The checkpoint that this run goes on from; what it counts besides weights is taken over here."""
        if self.start.checkpoint is None:
            return None
        checkpoint = read_checkpoint(self.start.checkpoint)
        self.meter.load_state_dict(checkpoint["meter"])
        callbacks = checkpoint["callbacks"]
        self.writer.elapsed.load_state_dict(callbacks["Elapsed"])
        self.clock.seconds = float(callbacks["Throughput"]["seconds"])
        self.clock.steps = int(callbacks["Throughput"]["steps"])
        for key, state in callbacks.items():
            if key.startswith("EarlyStopping"):
                self.early_stop.best, self.early_stop.waited = float(state["best_score"]), state["wait_count"]
            if "'val/acc'" in key and state["best_model_score"] is not None:
                self.best_accuracy = float(state["best_model_score"])
        return checkpoint

    # What is measured

    def log_losses(self, losses: list[float], correct: int, first_step: int, epoch: int) -> None:
        """The losses (nats) of the last steps; notes the step at which one was not finite."""
        self.meter.count(losses, [self._images_a_step] * len(losses), correct)
        bad = first_not_finite(losses)
        if bad is not None and self.diverged is None:
            self.diverged = {"step": first_step + bad, "quantity": "train/loss"}
        self.record.log_losses(losses, first_step, epoch)
        for tracker in self._trackers:
            last = first_step + len(losses) - 1
            tracker.log_metrics({RECENT_LOSS: sum(losses) / len(losses)}, step=last)

    def log_metrics(self, metrics: Mapping[str, float], step: int, epoch: int) -> None:
        """Metrics of an epoch, to the record and the tracker."""
        for logger in (self.record, *self._trackers):
            logger.log_metrics({**metrics, "epoch": epoch}, step=step)

    def log_epoch(self, step: int, epoch: int) -> None:
        """The epoch's running loss and accuracy."""
        self.log_metrics(self.meter.epoch(), step, epoch)

    def judge_validation(self, loss: float, accuracy: float, steps: int) -> None:
        """Whether the run goes on after a validation, and whether it was its best so far."""
        if not math.isfinite(loss) and self.diverged is None:
            self.diverged = {"step": steps, "quantity": "val/loss"}
        self._stops_early = self.early_stop.is_over(loss)
        if accuracy > self.best_accuracy:
            self.best_accuracy, self.is_best = accuracy, True

    @property
    def is_over(self) -> bool:
        """Whether it ends before its budget does."""
        return self._stops_early or self.diverged is not None

    def log_signals(self, step: int, measured: Measurement, learning_rate: float) -> None:
        """The rows of a measured step."""
        measured.rows.append((NETWORK, "learning_rate", learning_rate))
        if self._signals is None:
            self._signals = self.folder.signals_log()
        self._signals.append((step, *row) for row in measured.rows)
        for tracker in self._trackers:
            if tracker.takes_histograms:
                tracker.log_metrics(wandb_payload(measured), step=step)

    # How it ends

    def finish(self, steps: int, batches_per_epoch: int) -> None:
        """Writes the result: from here on the run is done, whatever becomes of the others."""
        self._close_signals()
        self.result = self.writer.finish(steps, batches_per_epoch)
        self._open.close()

    def fail(self, error: Exception) -> None:
        """Records what this run alone could not do; the others of its stack go on."""
        self.has_failed = True
        self._close_signals()
        self._open.__exit__(type(error), error, error.__traceback__)
        self._open = ExitStack()

    def _close_signals(self) -> None:
        if self._signals is not None:
            self._signals.close()
            self._signals = None

    def early_stop_state(self) -> dict[str, object]:
        """As Lightning's callback keeps it in a checkpoint."""
        return {
            "wait_count": self.early_stop.waited,
            "stopped_epoch": 0,
            "best_score": torch.tensor(self.early_stop.best),
            "patience": self.early_stop.patience,
            "stopping_reason": 0,
            "stopping_reason_message": None,
        }

    def clock_state(self) -> dict[str, float]:
        """Seconds and steps, as `Throughput` keeps them in a checkpoint."""
        return {"seconds": self.clock.seconds, "steps": self.clock.steps}
