"""Trains the runs of a stack from one common step on; each leaves it when it is over."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from trainlab.build.networks import build_initialized_model
from trainlab.build.seeding import seed_for
from trainlab.errors import RequestError
from trainlab.nn.normalization import NormalizedNetwork
from trainlab.settings import TrainerSettings
from trainlab.signals.measured_steps import measured_steps
from trainlab.signals.stacked_recorder import StackedRecorder
from trainlab.stacked.assembly import Stack
from trainlab.training.classifier import READ_EVERY_STEPS
from trainlab.training.cuda_graph import CAPTURE, NotCapturable, why_not_captured
from trainlab.training.interruption import Interrupted, Interruption
from trainlab.training.lightning_internals import CheckpointDict, LoopPosition
from trainlab.training.out_of_memory import is_out_of_memory
from trainlab.training.stack_checkpoint import run_checkpoint, save_checkpoint
from trainlab.training.stacked_run import StackedRun
from trainlab.training.threads import is_on_cpu

SAVE_EVERY_SECONDS = 30
"""A stack writes a file a run: at the end of an epoch, but not more often than this."""
EAGER_STEPS = 3
"""Before a step is recorded as a CUDA graph: libraries load and choose their kernels in them."""


class StackTrainer:
    """Trains runs of one common position to their end; some may end before the others.

    Raises as `train_stack` does. A run that cannot be initialized is recorded as failed and left out.
    """

    def __init__(self, runs: Sequence[StackedRun], interruption: Interruption) -> None:
        self.interruption = interruption
        self.trainer_settings = runs[0].settings.trainer
        self.device = device_of(self.trainer_settings)
        self.steps, self.epoch = runs[0].position
        self.validated_step: int | None = None
        self.last_saved = time.monotonic()
        self.captured_steps = 0
        models = {run: _initialized(run) for run in runs}
        self.runs = [run for run, model in models.items() if model is not None]
        if self.runs:
            self._assemble([model for model in models.values() if model is not None])

    def _assemble(self, models: Sequence[NormalizedNetwork]) -> None:
        settings, images = [run.settings for run in self.runs], [run.images for run in self.runs]
        stack = Stack.build(settings, images, models, self.device)
        for index, (run, model) in enumerate(zip(self.runs, models, strict=True)):
            run.writer.device = self.device
            run.parameter_count = sum(p.numel() for p in model.parameters())
            if run.checkpoint is not None:
                stack.load(index, run.checkpoint)
        self.stack_size = stack.runs
        signals = settings[0].signals
        self.measured = frozenset(measured_steps(signals, stack.total_steps))
        self._use(stack)

    def _use(self, stack: Stack) -> None:
        """From here on the runs are those of this stack."""
        self.stack, self.step = stack, stack.step
        self.recorder = StackedRecorder(stack.model.network, stack.runs)
        if self.recorder.unsupported and self.measured:
            layers = ", ".join(self.recorder.unsupported)
            for run in self.runs:
                run.writer.warn(f"signals: not measured in a stack: {layers} (sweep.stack=off measures them)")
        self.pending: list[Tensor] = []
        self.eager_steps = 0
        why_not = why_not_captured(self.trainer_settings, self.device, 1) or stack.why_not_captured
        self.captures, self.why_not_captured = why_not is None, why_not

    # The main loop

    def fit(self) -> None:
        """Trains until no run is left, epoch by epoch."""
        if self.runs and self.steps >= self.stack.total_steps:  # it was stopped before its result was written
            self._finish(range(len(self.runs)), self.epoch)
            return
        while self.runs:
            self._train_epoch(first_batch=self.steps - self.epoch * self.batches_per_epoch)
            self._end_epoch()

    def _train_epoch(self, first_batch: int) -> None:
        if first_batch == 0:
            for run in self.runs:
                run.meter.reset()
        self.stack.model.train()
        self.stack.start_streams([seed_for(r.settings.seed, "dropout", self.epoch, 0) for r in self.runs])
        if first_batch:
            self.stack.resume_streams([run.checkpoint or {} for run in self.runs])
        self._start_clock()
        for x_BNCHW, y_BN in self.stack.batches(self.epoch, first_batch):
            self._take_step(x_BNCHW, y_BN)
            self.steps += 1
            if len(self.pending) >= READ_EVERY_STEPS:
                self._read_losses()
                self._end_diverged()
            if self.steps >= self.stack.total_steps or not self._going_on():
                break
            if self.interruption.requested and self.steps % self.batches_per_epoch:
                self._stop_clock()
                self._read_losses()
                self._save([index for index, _ in self._going_on()], at_epoch_end=False)
                raise Interrupted
        self._stop_clock()

    def _take_step(self, x_BNCHW: Tensor, y_BN: Tensor) -> None:
        x_BNCHW = self.stack.augment(x_BNCHW, self.steps)
        lr_B = self.stack.lr_TB[self.steps]
        if self.steps in self.measured:
            self._take_measured_step(x_BNCHW, y_BN, lr_B)
            return
        if self.captures and not self.step.is_captured and self.eager_steps >= EAGER_STEPS:
            try:
                self.step.capture(CAPTURE[self.device.type], x_BNCHW, y_BN, lr_B)
            except NotCapturable as reason:
                self.captures, self.why_not_captured = False, str(reason)
        self.captured_steps += self.step.is_captured
        self.pending.append(self.step(x_BNCHW, y_BN, lr_B))
        self.eager_steps += 1

    def _take_measured_step(self, x_BNCHW: Tensor, y_BN: Tensor, lr_B: Tensor) -> None:
        self.recorder.start()
        outcome_2B, loss_B = self.step.forward_backward(x_BNCHW, y_BN)
        self.recorder.before_update()
        self.step.update(lr_B)
        self.pending.append(outcome_2B)
        measured_B, rates = self.recorder.finish(loss_B), lr_B.tolist()
        for index, run in self._going_on():
            run.log_signals(self.steps, measured_B[index], rates[index])

    def _read_losses(self) -> None:
        """Hands the losses of the last steps to each run, and notes which of them are not finite."""
        if not self.pending:
            return
        outcomes_S2B = torch.stack(self.pending).cpu()
        self.pending.clear()
        first_step = self.steps - len(outcomes_S2B)
        for index, run in self._going_on():
            losses_S, right_S = outcomes_S2B[:, 0, index], outcomes_S2B[:, 1, index]
            run.log_losses(losses_S.tolist(), int(right_S.sum()), first_step, self.epoch)

    def _end_diverged(self) -> None:
        """Records the runs whose loss is not finite; they stay in the stack until the epoch ends."""
        diverged = [(index, run) for index, run in self._going_on() if run.diverged is not None]
        if not diverged:
            return
        self._stop_clock()
        if self._validates_in_this_epoch:
            self._validate([index for index, _ in diverged], self.steps - 1, self.epoch)
        for index, run in diverged:
            run.log_epoch(self.steps - 1, self.epoch)
            self._save([index], at_epoch_end=True)
            self._write_result(run)
        self._start_clock()

    # Between two epochs

    def _end_epoch(self) -> None:
        """Validation, the epoch's metrics, checkpoints; runs that are over leave."""
        going_on = [index for index, _ in self._going_on()]
        validates = self.steps % self.batches_per_epoch == 0 and self._validates_in_this_epoch
        self._read_losses()
        if validates and going_on:
            self._validate(going_on, self.steps - 1, self.epoch)
            self.validated_step = self.steps
        for index in going_on:
            self.runs[index].log_epoch(self.steps - 1, self.epoch)
        all_end = self.steps >= self.stack.total_steps
        over = [index for index in going_on if all_end or self.runs[index].is_over]
        if self.interruption.requested or time.monotonic() - self.last_saved > SAVE_EVERY_SECONDS:
            self._save(going_on, at_epoch_end=True)
            self.last_saved = time.monotonic()
        else:
            self._save(over, at_epoch_end=True)
        self._save_best(going_on)
        self._finish(over, self.epoch + 1)
        self._repack()
        self.epoch += 1
        if self.interruption.requested and self.runs:
            raise Interrupted

    @property
    def _validates_in_this_epoch(self) -> bool:
        return (self.epoch + 1) % self.trainer_settings.val_every_epochs == 0

    def _validate(self, indices: Sequence[int], step: int, epoch: int) -> None:
        """`val/loss`, `val/acc` of some runs; what follows from them for each."""
        for index, metrics, _ in self._evaluate(indices, "val"):
            run = self.runs[index]
            run.log_metrics({f"val/{name}": value for name, value in metrics.items()}, step, epoch)
            run.judge_validation(metrics["loss"], metrics["acc"], self.steps)

    def _finish(self, indices: Sequence[int], epoch: int) -> None:
        """Test metrics of the final weights, validation metrics where the last are older, the result."""
        whole = [index for index in indices if self.runs[index].diverged is None]
        if whole and self.validated_step != self.steps:
            self._validate(whole, self.steps, epoch)
            whole = [index for index in whole if self.runs[index].diverged is None]
        for index, metrics, counts_KK in self._evaluate(whole, "test"):
            run = self.runs[index]
            test_metrics = {f"test/{name}": value for name, value in metrics.items()}
            run.log_metrics(test_metrics, self.steps, epoch)
            run.confusion_KK = counts_KK
        for index in indices:
            self._write_result(self.runs[index])

    def _write_result(self, run: StackedRun) -> None:
        use = f"used in {self.captured_steps} steps" if self.captured_steps else None
        run.writer.facts = {
            "stack": self.stack_size,
            "cuda_graph": use or f"not used: {self.why_not_captured or 'too few steps'}",
            "convolutions": {name: choice.implementation for name, choice in self.stack.tuning.items()},
        }
        try:
            run.finish(self.steps, self.batches_per_epoch)
        except Exception as error:  # whatever its verdict or its tables raise, the others have no part in it
            if self.interruption.has_caused(error) or is_out_of_memory(error):
                raise
            run.fail(error)

    def _evaluate(self, indices: Sequence[int], split: str) -> list[tuple[int, dict[str, float], Tensor]]:
        """(index, {"loss", "acc"}, confusion_KK) of these runs on a split."""
        if not indices:
            return []
        evaluation = self.stack.evaluate(split, indices)
        return [
            (index, {"loss": loss, "acc": accuracy}, counts_KK)
            for index, loss, accuracy, counts_KK in zip(
                indices,
                evaluation.loss_B.tolist(),
                evaluation.accuracy_B.tolist(),
                evaluation.counts_BKK,
                strict=True,
            )
        ]

    def _repack(self) -> None:
        """The stack without the runs that are over."""
        kept = [index for index, _ in self._going_on()]
        if len(kept) == len(self.runs):
            return
        self.runs = [self.runs[index] for index in kept]
        if kept:
            self._use(self.stack.subset(kept))

    @property
    def batches_per_epoch(self) -> int:
        return len(self.stack.data.train)

    def _going_on(self) -> list[tuple[int, StackedRun]]:
        """Runs without an end, by their place in the stack."""
        return [(i, run) for i, run in enumerate(self.runs) if run.result is None and not run.has_failed]

    # Checkpoints

    def _save(self, indices: Sequence[int], at_epoch_end: bool) -> None:
        """`last.ckpt` of these runs, unless the user wants none."""
        for index in indices:
            if self.runs[index].settings.checkpoint != "none":
                path = self.runs[index].folder.checkpoints / "last.ckpt"
                save_checkpoint(path, self._checkpoint(index, at_epoch_end))

    def _save_best(self, indices: Sequence[int]) -> None:
        for index in indices:
            run = self.runs[index]
            if run.is_best and run.settings.checkpoint in ("best", "both"):
                save_checkpoint(run.folder.checkpoints / "best.ckpt", self._checkpoint(index, True))
            run.is_best = False

    def _checkpoint(self, index: int, at_epoch_end: bool) -> CheckpointDict:
        tensors = self.stack.tensors_of_run(index, self.steps)
        batches = self.batches_per_epoch
        position = LoopPosition(
            epoch=self.epoch,
            batches=self.steps - self.epoch * batches,
            batches_per_epoch=batches,
            steps=self.steps,
            at_epoch_end=at_epoch_end,
            val_batches=len(self.stack.data.val) if self.validated_step else 0,
            has_validated=self.validated_step == self.steps,
            has_schedule=tensors.schedule is not None,
        )
        return run_checkpoint(self.runs[index], position, tensors)

    # The clock

    def _start_clock(self) -> None:
        self._wait_for_device()
        self._since, self._clocked_step = time.perf_counter(), self.steps

    def _stop_clock(self) -> None:
        self._wait_for_device()
        seconds = time.perf_counter() - self._since
        for _, run in self._going_on():
            run.clock.add(seconds, self.steps - self._clocked_step)

    def _wait_for_device(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def device_of(trainer: TrainerSettings) -> torch.device:
    """Where a stack is trained: the first CUDA GPU, or the processor. Raises RequestError for another one."""
    if is_on_cpu(trainer):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RequestError(
            "a stack is trained on CUDA or a CPU (trainer=cpu), and not on mps (sweep.stack=off)"
        )
    return torch.device("cuda", 0)


def _initialized(run: StackedRun) -> NormalizedNetwork | None:
    """The run's model at its first step; None, and it is recorded as failed, where there is none."""
    try:
        return build_initialized_model(run.settings, run.images)
    except Exception as error:  # an initializer of the user's, a batch without variance
        if is_out_of_memory(error):
            raise
        run.fail(error)
        return None
