"""Where we lean on how Lightning works inside; all of it in this file, and none of it elsewhere.

Lightning asks for the same things anew at every step, which costs a small network much of its speed: they
are answered once. And a few parts of its state have no public access. For each of these a test in
`tests/training/test_lightning_internals.py` says what broke when Lightning changes, or became needless.
"""

import inspect
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.fetchers import _DataFetcher
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_only

CheckpointDict: TypeAlias = dict[str, Any]
"""A checkpoint as Lightning hands it to hooks: states of the model, optimizers, loops, callbacks."""


class NullProfiler(PassThroughProfiler):
    """Measures nothing. Lightning's own does so through a generator, some sixty times a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """The same empty context for every action."""
        return self._nothing


class Checkpoint(ModelCheckpoint):
    """Lightning's own, which formats its long key anew for each of the hooks of a step.

    The class keeps its name: it is part of the key under which its state lies in checkpoints.
    """

    @cached_property
    def state_key(self) -> str:  # type: ignore[override]
        """What names this callback's state in a checkpoint."""
        return super().state_key


class FastModule(L.LightningModule):
    """A LightningModule whose bookkeeping at every step costs little.

    - Lightning sets some forty attributes a step to a string or None, and torch searches each among its
      parameters and modules; those of a plain attribute that is there already are set directly.
    - Lightning asks for the signature of `training_step` at every step, and Python works it out anew each
      time (0.04 ms); it is kept where `inspect` looks first.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if "training_step" in vars(cls):
            step = vars(cls)["training_step"]
            step.__signature__ = inspect.signature(step)

    def __setattr__(self, name: str, value: object) -> None:
        if (value is None or type(value) is str) and name in self.__dict__:
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)  # pyrefly: ignore[bad-argument-type]


def is_rank_zero() -> bool:
    """Whether this process is the one that writes; of several that share a run, there is one."""
    return getattr(rank_zero_only, "rank", 0) == 0


def is_in_mid_epoch(checkpoint: CheckpointDict) -> bool:
    """Whether a checkpoint was written between two batches of an epoch. Raises KeyError, TypeError."""
    return not checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["is_last_batch"]


def gradient_scale(trainer: L.Trainer) -> float:
    """What gradients are multiplied by before the optimizer's step: the loss scale of 16-bit precision."""
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return scaler.get_scale() if scaler else 1.0


def forward_precision(trainer: L.Trainer) -> AbstractContextManager[None]:
    """The context in which Lightning runs a training step's forward pass: autocast, or a default type."""
    return trainer.precision_plugin.train_step_context()


class StepsWithoutHooks(Protocol):
    """Takes training steps between two of Lightning's own."""

    def next_steps(self, at_most: int) -> int:
        """How many of the next steps to take; none where something waits for the next one."""
        ...

    def take(self, batch: Any) -> None:
        """Takes one step."""
        ...

    def goes_on(self) -> bool:
        """Once that step is counted: whether to take another."""
        ...


class TrainingLoop(_TrainingEpochLoop):
    """Lightning's loop over an epoch's batches; `steps` takes some of them without hooks.

    Those steps are counted as Lightning counts its own, batches come from the same iterator and schedules
    advance: its checkpoints, validations and ends are where they would be. The first step of a process, the
    last batch of an epoch and the last step of a run are always its own.
    """

    def __init__(self, trainer: L.Trainer, max_steps: int, steps: StepsWithoutHooks) -> None:
        super().__init__(trainer, max_steps=max_steps)
        self._steps = steps
        self._has_stepped = False

    def advance(self, data_fetcher: _DataFetcher) -> None:
        """A stretch of steps without hooks, where one can be had, then one of Lightning's."""
        if self._has_stepped and not self.restarting:
            self._take_stretch(data_fetcher)
            if self.trainer.should_stop:
                self._batches_that_stepped -= 1  # the end of this call counts one
                return
        super().advance(data_fetcher)
        self._has_stepped = True

    def _take_stretch(self, data_fetcher: _DataFetcher) -> None:
        left = self.trainer.num_training_batches - self.batch_progress.current.ready
        if self.max_steps >= 0:
            left = min(left, self.max_steps - self.global_step)
        if left == float("inf"):
            return
        for _ in range(self._steps.next_steps(int(left) - 1)):
            batch, _, _ = next(data_fetcher)
            self.batch_progress.increment_ready()
            self.batch_progress.increment_started()
            self._steps.take(batch)
            self._count_step()
            if not self._steps.goes_on():
                return

    def _count_step(self) -> None:
        progress = self.automatic_optimization.optim_progress.optimizer
        progress.zero_grad.increment_ready()
        progress.zero_grad.increment_started()
        progress.zero_grad.increment_completed()
        progress.step.increment_ready()
        progress.step.increment_completed()
        self.batch_progress.increment_processed()
        self.update_lr_schedulers("step", update_plateau_schedulers=False)
        self.batch_progress.increment_completed()
        self._batches_that_stepped += 1


def take_steps_without_hooks(trainer: L.Trainer, steps: StepsWithoutHooks) -> None:
    """Lets `steps` take what it can of the training steps of a trainer that has not begun."""
    before = trainer.fit_loop.epoch_loop
    trainer.fit_loop.epoch_loop = TrainingLoop(trainer, before.max_steps, steps)


@dataclass(frozen=True)
class LoopPosition:
    """How far a run is: `batches` of `batches_per_epoch` of this epoch (0, …) done, `steps` in all.

    at_epoch_end: as the checkpoint at an epoch's end has it (which a run that ends within an epoch has too);
        else as one that is written after a batch, when a run is interrupted.
    val_batches: of the last validation; has_validated: whether that was in this epoch.
    """

    epoch: int
    batches: int
    batches_per_epoch: int
    steps: int
    at_epoch_end: bool
    val_batches: int = 0
    has_validated: bool = False
    has_schedule: bool = False


def loops_state(at: LoopPosition) -> dict[str, Any]:
    """The state of Lightning's loops in a checkpoint of a run that they have not trained."""
    is_last = at.batches == at.batches_per_epoch
    loader = {"epoch": at.epoch + 1, "batch": 0} if is_last else {"epoch": at.epoch, "batch": at.batches}
    behind = 0 if at.at_epoch_end else 1  # a batch counts as completed after the hook in which it is saved
    val_total = at.val_batches if at.has_validated else 0
    stepped = at.steps if at.has_schedule else 0
    scheduled_now = at.batches if at.has_schedule else 0
    epochs = _counts(
        ready=at.epoch + 1, completed=at.epoch, started=at.epoch + 1, processed=at.epoch + at.at_epoch_end
    )
    fit = {
        "state_dict": {"combined_loader": [loader]},
        "epoch_loop.state_dict": {"_batches_that_stepped": at.steps - behind},
        "epoch_loop.batch_progress": {
            "total": _done(at.steps, behind),
            "current": _done(at.batches, behind),
            "is_last_batch": is_last,
        },
        "epoch_loop.scheduler_progress": {
            "total": _counts(ready=stepped, completed=stepped),
            "current": _counts(ready=scheduled_now, completed=scheduled_now),
        },
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {
                    "total": _counts(ready=at.steps, completed=at.steps),
                    "current": _counts(ready=at.batches, completed=at.batches),
                },
                "zero_grad": {
                    "total": _counts(ready=at.steps, completed=at.steps, started=at.steps),
                    "current": _counts(ready=at.batches, completed=at.batches, started=at.batches),
                },
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {
            "total": _counts(ready=0, completed=0),
            "current": _counts(ready=0, completed=0),
        },
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": {
            "total": _done(val_total),
            "current": _done(at.val_batches),
            "is_last_batch": at.val_batches > 0,
        },
        "epoch_progress": {"total": epochs, "current": dict(epochs)},
    }
    unused = {
        "state_dict": {},
        "batch_progress": {"total": _done(0), "current": _done(0), "is_last_batch": False},
    }
    predict = {"state_dict": {}, "batch_progress": {"total": _done(0), "current": _done(0)}}
    return {"fit_loop": fit, "validate_loop": unused, "test_loop": unused, "predict_loop": predict}


def _counts(**numbers: int) -> dict[str, int]:
    return numbers


def _done(count: int, behind: int = 0) -> dict[str, int]:
    return _counts(ready=count, completed=count - behind, started=count, processed=count)
