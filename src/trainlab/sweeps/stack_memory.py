"""How large a stack may be: the memory of stacks of two sizes, measured on the device, and a straight line.

A stack of B runs takes fixed + B · bytes_per_run: the images and the libraries' own are there once, weights,
gradients, activations and the optimizer's state for each run.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainlab.errors import RequestError
from trainlab.settings import RunSettings

MAX_STACK = 128
"""A card is busy by then, and gains little by more; what a killed process loses, the files that it holds open
and the wait for its last run go on growing."""
USED_SHARE = 0.85
"""Of the free memory; the rest is for what a library takes later, and for the gaps between blocks."""
LARGER_PROBE, PROBE_RATIO = 8, 4
"""Runs of the larger stack that is measured, and how many times as many as those of the smaller one."""


class MeasureStack(Protocol):
    """`trainlab.training.stack.measure_stack_memory`: trains two steps, gives the most bytes that it held."""

    def __call__(self, settings: Sequence[RunSettings]) -> int: ...


@dataclass(frozen=True)
class StackMemory:
    """What a stack of these runs takes, and what was free before."""

    fixed_bytes: float
    bytes_per_run: float
    free_bytes: int

    def largest_stack(self, stacks_at_once: int = 1) -> int:
        """The most runs that fit into each of so many stacks that share the device; 0 where not one does."""
        room = USED_SHARE * self.free_bytes / stacks_at_once - self.fixed_bytes
        return max(0, min(MAX_STACK, int(room / self.bytes_per_run)))


def probe_sizes(runs: int) -> tuple[int, int]:
    """The two sizes to measure for so many runs, of which there are two at least: (2, 8), (1, 2) for two."""
    larger = min(LARGER_PROBE, runs)
    return max(1, larger // PROBE_RATIO), larger


def stack_memory(
    settings: Sequence[RunSettings], sizes: tuple[int, int], measure: MeasureStack, free_bytes: int
) -> StackMemory:
    """The memory of stacks of these runs, of which stacks of two sizes are measured.

    Where the larger one finds no room, half of it is tried, down to two runs.

    Raises:
        MemoryError, torch.OutOfMemoryError: two runs find no room together.
    """
    from trainlab.training.out_of_memory import is_out_of_memory

    smaller, larger = sizes
    while True:
        try:
            taken = measure(settings[:larger])
            break
        except Exception as error:
            if not is_out_of_memory(error) or larger == 2:
                raise
            larger = max(2, larger // 2)
    smaller = min(smaller, larger // 2)
    per_run = max(1.0, (taken - measure(settings[:smaller])) / (larger - smaller))
    return StackMemory(max(0.0, taken - larger * per_run), per_run, free_bytes)


def probe_stacks(
    partitions: Sequence[Sequence[RunSettings]], environment: Mapping[str, str]
) -> list[StackMemory | str]:
    """For each partition the memory of its stacks, or why that could not be measured; on the first GPU.

    Called in a process of its own, whose `environment` says which GPU it may use.
    """
    os.environ.update(environment)
    from trainlab.training.environment import configure_process
    from trainlab.training.stack import measure_stack_memory

    configure_process()
    return [_probe(settings, measure_stack_memory) for settings in partitions]


def _probe(settings: Sequence[RunSettings], measure: MeasureStack) -> StackMemory | str:
    import torch

    from trainlab.training.out_of_memory import is_out_of_memory

    torch.cuda.empty_cache()
    free_bytes, _ = torch.cuda.mem_get_info()
    try:
        return stack_memory(settings, probe_sizes(len(settings)), measure, free_bytes)
    except RequestError as error:
        return str(error)
    except Exception as error:  # whatever a class of the user's raises: a run says it in full
        if is_out_of_memory(error):
            return "two of these do not fit into the memory together"
        return f"its memory cannot be measured: {type(error).__name__}: {error}"
