"""Where we lean on how Lightning works inside; all of it in this file, and none of it elsewhere.

Lightning asks for the same things anew at every step, which costs a small network much of its speed: they
are answered once. And a few parts of its state have no public access. For each of these a test in
`tests/training/test_lightning_internals.py` says what broke when Lightning changes, or became needless.
"""

import inspect
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, TypeAlias

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
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
