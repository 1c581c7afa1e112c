"""Where we lean on how Lightning works inside: what it does anew at every step, done once.

A contract test says what broke when Lightning changes."""

from contextlib import AbstractContextManager, nullcontext
from functools import cached_property

import lightning  # noqa: F401 - sets up the loggers that are quietened below
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_only


class NullProfiler(PassThroughProfiler):
    """Measures nothing. Lightning's own does so through a generator, some sixty times a step."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """The same empty context for every action."""
        return self._nothing


class Checkpoint(ModelCheckpoint):
    """Lightning's own, which would write its name anew for each of the hooks of a step, and it is long."""

    @cached_property
    def state_key(self) -> str:  # type: ignore[override]
        """What names this callback's state in a checkpoint."""
        return super().state_key


def is_rank_zero() -> bool:
    """Whether this process is the one that writes; of several that share a run, there is one."""
    return getattr(rank_zero_only, "rank", 0) == 0
