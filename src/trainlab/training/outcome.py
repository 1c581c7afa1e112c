"""What a run came to, written last: finished, diverged, interrupted or failed, each with what is known."""

import platform
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from trainlab.diagnosis.of_run import diagnose_end
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder, Verdict
from trainlab.runs.provenance import git_state, versions
from trainlab.training.classifier import Classifier
from trainlab.training.console import Throughput
from trainlab.training.interruption import Interrupted
from trainlab.training.process import is_rank_zero
from trainlab.training.pruning import Pruned, Pruning
from trainlab.training.tracking import RecordLogger

METRICS = ("test/acc", "test/loss", "val/acc", "val/loss", "train/acc", "train/loss")


class Recorder:
    """Writes the run's result when the block ends, however it ends."""

    def __init__(self, folder: RunFolder, settings: Mapping[str, Any], pruning: Pruning):
        self.folder, self.settings, self.pruning = folder, settings, pruning
        self._classifier: Classifier | None = None
        self._throughput: Throughput | None = None
        self._record: RecordLogger | None = None

    @property
    def last_checkpoint(self) -> Path | None:
        """Where an interrupted run leaves its state; None when the user wants no checkpoint."""
        return None if self.settings["checkpoint"] == "none" else self.folder.checkpoints / "last.ckpt"

    def watch(self, classifier: Classifier, throughput: Throughput, record: RecordLogger) -> None:
        """From here on the result says how far the run has come."""
        self._classifier, self._throughput, self._record = classifier, throughput, record

    def __enter__(self) -> "Recorder":
        self._clock, self._started = time.perf_counter(), _now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, RequestError):
            return
        if isinstance(error, Pruned):
            self._write(
                status="pruned",
                stopped={"reason": self.pruning.reason},
                verdict=self.pruning.verdict,
                steps=self.pruning.steps,
            )
            return
        # of several processes, Lightning ends each at its own next look
        stopped = isinstance(error, Interrupted | KeyboardInterrupt | SIGTERMException)
        self._write(
            status="interrupted" if stopped else "failed",
            error=None if stopped else _described(error),
        )

    def finish(self, trainer: L.Trainer) -> Result:
        """The result of a run that came to its end."""
        classifier, record = self._classifier, self._record
        assert classifier is not None and record is not None
        metrics = {name: record.latest[name] for name in METRICS if name in record.latest}
        confusion_KK = None if classifier.confusion_KK is None else classifier.confusion_KK.tolist()
        if confusion_KK is not None and is_rank_zero():
            self.folder.write_confusion(confusion_KK)
        self._drop_unwanted_checkpoint()
        return self._write(
            status="diverged" if classifier.diverged else "finished",
            metrics=metrics,
            verdict=self._verdict(confusion_KK, classifier.diverged),
            stopped=classifier.diverged,
            epochs=round(trainer.global_step / max(1, trainer.num_training_batches), 4),
            steps=trainer.global_step,
        )

    def _verdict(self, confusion_KK: list[list[int]] | None, diverged: Mapping[str, Any] | None) -> Verdict:
        """Learned or not, and why not; by the process that has the record."""
        if not is_rank_zero():
            return Verdict()
        step = diverged["step"] if diverged else None
        return Verdict(**diagnose_end(self.folder, self.settings, confusion_KK, step).record())

    def _drop_unwanted_checkpoint(self) -> None:
        """`checkpoint=best` needed the last one only to go on from."""
        if self.settings["checkpoint"] == "best":
            (self.folder.checkpoints / "last.ckpt").unlink(missing_ok=True)

    def _write(self, status: str, **known: Any) -> Result:
        settings = self.settings
        if self._record is not None:
            self._record.metrics.close()
        result = Result.of(
            settings,
            status=status,
            pruning=self.pruning.record(),
            parameters=_parameters(self._classifier),
            samples_per_second=self._throughput.samples_per_second if self._throughput else None,
            seconds=time.perf_counter() - self._clock,
            machine=_machine(settings, self._classifier),
            versions=versions(),
            git=git_state(Path(__file__).parent),
            started=self._started,
            finished=_now(),
            **known,
        )
        if is_rank_zero():
            self.folder.finish(result)
        return result


def _parameters(classifier: Classifier | None) -> int | None:
    return sum(p.numel() for p in classifier.model.parameters()) if classifier else None


def _machine(settings: Mapping[str, Any], classifier: Classifier | None) -> dict[str, Any]:
    device = classifier.device if classifier else torch.device("cpu")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "devices": settings["trainer"]["devices"],
    }


def _described(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    return {
        "type": type(error).__name__,
        "message": str(error),
        "frames": [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames],
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
