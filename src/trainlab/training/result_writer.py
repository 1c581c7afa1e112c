"""The result of a run, written last: finished, diverged, interrupted or failed."""

import logging
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor

from trainlab.data import ImageData
from trainlab.data.datamodule import are_kept_on
from trainlab.diagnosis.run_diagnosis import diagnose_at_end
from trainlab.json_types import JsonObject
from trainlab.runs import Result, RunFolder, Verdict
from trainlab.runs.provenance import code_state, describe_error, describe_machine, versions
from trainlab.runs.result import DONE_STATUSES, run_facts
from trainlab.settings import RunSettings
from trainlab.training.classifier import Divergence
from trainlab.training.environment import describe_precision
from trainlab.training.interruption import Interruption
from trainlab.training.lightning_internals import is_rank_zero
from trainlab.training.pruning import Pruned, Pruning
from trainlab.training.reference_model import load_or_fit_reference
from trainlab.training.stretches import Stretches
from trainlab.training.timing import Elapsed
from trainlab.training.tracking import FaultTolerantLogger, RecordLogger

log = logging.getLogger(__name__)

RECORDED_METRICS = ("test/acc", "test/acc_tta", "test/loss", "val/acc", "val/loss", "train/acc", "train/loss")


class Trained(Protocol):
    """What the result says of the network: a Classifier, or one run of a stack."""

    diverged: Divergence | None
    confusion_KK: Tensor | None

    @property
    def parameter_count(self) -> int | None:
        """Trainable and other parameters."""
        ...


class Speed(Protocol):
    """How fast it was trained."""

    @property
    def samples_per_second(self) -> float | None: ...


class ResultWriter:
    """Writes the run's result when the block ends, however it ends; a result that is written stays.

    The record comes first, then the tracker is closed: what that does, or a signal in it, is a warning.
    `interruption` knows what a signal has ended; `show_warning` tells the user of a warning.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: RunSettings,
        pruning: Pruning,
        interruption: Interruption,
        show_warning: Callable[[str], None] = log.warning,
    ):
        self.folder, self.settings, self.pruning = folder, settings, pruning
        self.data_notes: Sequence[str] = ()
        self.elapsed = Elapsed()
        self.stretches: Stretches | None = None
        self.code: JsonObject = {}
        """The state of the code as the run begins; found out then, unless it is given."""
        self.facts: JsonObject = {}
        """What else the record says of how numbers came about, under `machine`."""
        self.device = torch.device("cpu")
        self._interruption, self._show_warning = interruption, show_warning
        self._warnings: list[str] = []
        self._result: Result | None = None
        self._tracker: FaultTolerantLogger | None = None
        self._trained: Trained | None = None
        self._throughput: Speed | None = None
        self._record_logger: RecordLogger | None = None
        self._images: ImageData | None = None

    def attach(
        self, trained: Trained, throughput: Speed, record_logger: RecordLogger, images: ImageData
    ) -> None:
        """From here on the result can say how far the run has come and how fast it was."""
        self._trained, self._throughput = trained, throughput
        self._record_logger, self._images = record_logger, images

    def attach_tracker(self, tracker: FaultTolerantLogger) -> None:
        """Closes this tracker when the run is over and its record is written."""
        self._tracker = tracker

    def warn(self, line: str) -> None:
        """Says once what does not change the result, and keeps it in the record, also one that is written."""
        if line in self._warnings:
            return
        self._warnings.append(line)
        if not is_rank_zero():
            return
        self._show_warning(line)
        if self._result is not None:
            with self._interruption.deferred_while_writing():
                self.folder.add_warnings([line])

    def __enter__(self) -> "ResultWriter":
        self.elapsed.begin()
        if not self.code:
            self.code = code_state()  # as it is now: it may be committed, or changed, before the run ends
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is not None and self._result is None:
                self._record_end(error)
        finally:
            if self._tracker is not None:
                is_result = self._result is not None and self._result.status in (*DONE_STATUSES, "pruned")
                self._tracker.close(exit_code=0 if is_result else 1)

    def _record_end(self, error: BaseException) -> None:
        if isinstance(error, Pruned):
            self._write(
                status="pruned",
                stopped={"reason": self.pruning.reason},
                verdict=self.pruning.verdict,
                steps=self.pruning.steps,
            )
            return
        # of several processes, Lightning ends each at its own next look
        stopped = self._interruption.has_caused(error) or isinstance(error, SIGTERMException)
        self._write(
            status="interrupted" if stopped else "failed",
            error=None if stopped else describe_error(error),
        )

    def finish(self, steps: int, batches_per_epoch: int) -> Result:
        """The result of a run that came to its end; a signal that comes now is too late to change it."""
        with self._interruption.deferred_while_writing():
            return self._finished(steps, batches_per_epoch)

    def _finished(self, steps: int, batches_per_epoch: int) -> Result:
        trained, record_logger = self._trained, self._record_logger
        assert trained is not None and record_logger is not None
        latest = record_logger.latest
        metrics = {name: latest[name] for name in RECORDED_METRICS if name in latest}
        confusion_KK = None if trained.confusion_KK is None else trained.confusion_KK.tolist()
        if confusion_KK is not None and is_rank_zero():
            self.folder.write_confusion(confusion_KK)
        self._drop_unwanted_checkpoint()
        return self._write(
            status="diverged" if trained.diverged else "finished",
            metrics=metrics,
            verdict=self._verdict(confusion_KK, trained.diverged),
            stopped=_describe_divergence(trained.diverged),
            epochs=round(steps / max(1, batches_per_epoch), 4),
            steps=steps,
        )

    def _verdict(self, confusion_KK: list[list[int]] | None, diverged: Divergence | None) -> Verdict:
        """Learned or not, and why not; by the process that has the record."""
        if not is_rank_zero():
            return Verdict()
        step = diverged["step"] if diverged else None
        reference = load_or_fit_reference(self.settings, self._images) if self._images is not None else None
        diagnosis = diagnose_at_end(self.folder, self.settings, confusion_KK, step, reference)
        return diagnosis.to_verdict(reference)

    def _drop_unwanted_checkpoint(self) -> None:
        """`checkpoint=best` needed the last one only to go on from."""
        if self.settings.checkpoint == "best":
            (self.folder.checkpoints / "last.ckpt").unlink(missing_ok=True)

    def _write(
        self,
        status: str,
        *,
        metrics: Mapping[str, float] | None = None,
        verdict: Verdict | None = None,
        stopped: JsonObject | None = None,
        error: JsonObject | None = None,
        epochs: float | None = None,
        steps: int | None = None,
    ) -> Result:
        with self._interruption.deferred_while_writing():
            if self._record_logger is not None:
                self._record_logger.metrics.close()
            result = Result(
                **run_facts(self.settings, self.data_notes, self._guessing_accuracy()),
                status=status,
                pruning=self.pruning.to_json(),
                parameters=self._trained.parameter_count if self._trained else None,
                samples_per_second=self._throughput.samples_per_second if self._throughput else None,
                seconds=self.elapsed.seconds,
                machine={**self._describe_machine(), **self._describe_computing()},
                versions=versions(),
                git=self.code,
                started=self.elapsed.started,
                finished=self.elapsed.finished,
                warnings=tuple(self._warnings),
                metrics=metrics or {},
                verdict=verdict or Verdict(),
                stopped=stopped,
                error=error,
                epochs=epochs,
                steps=steps,
            )
            if is_rank_zero():
                self.folder.finish(result)
            self._result = result
        return result

    def _guessing_accuracy(self) -> float | None:
        """The share of the most common class in the test split; None before the images are loaded."""
        if self._images is None or not len(self._images.test):
            return None
        return float(np.bincount(self._images.test.labels_N).max() / len(self._images.test))

    def _describe_machine(self) -> JsonObject:
        return describe_machine(self.device.type, self.settings.trainer.devices, self.device.index)

    def _describe_computing(self) -> JsonObject:
        """How numbers came about, beside where."""
        facts = {**describe_precision(self.device, self.settings.trainer)}
        if self.stretches is not None:
            facts["cuda_graph"] = self.stretches.describe()
        if self._images is not None:
            facts["images_on_device"] = are_kept_on(self.device, self._images.train)
        return {**facts, **self.facts}


def _describe_divergence(diverged: Divergence | None) -> JsonObject | None:
    return None if diverged is None else {"step": diverged["step"], "quantity": diverged["quantity"]}
