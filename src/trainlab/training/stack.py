"""Many runs at once, as one network with a leading run dimension: from their settings to their results."""

import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch

from trainlab.build.data import load_data
from trainlab.build.networks import build_initialized_model
from trainlab.data import ImageData
from trainlab.runs import Result
from trainlab.runs.provenance import code_state
from trainlab.settings import RunSettings
from trainlab.stacked.assembly import Stack
from trainlab.training import preconditions, resume
from trainlab.training.environment import use_tf32
from trainlab.training.interruption import Interruption
from trainlab.training.out_of_memory import is_out_of_memory
from trainlab.training.stack_trainer import StackTrainer, device_of
from trainlab.training.stacked_run import StackedRun, StackTooLargeError
from trainlab.training.threads import use_threads

log = logging.getLogger(__name__)

_PROBED_STEPS = 3


def train_stack(
    settings: Sequence[RunSettings],
    *,
    is_checked: bool = False,
    warn: Callable[[str], None] = log.warning,
) -> list[Result]:
    """Trains, validates and tests runs together; each is recorded as if it had been trained alone.

    The settings differ in values only (`sweeps/stacks.py` says in which). A run whose loss is not finite, one
    that stops early or that cannot be initialized leaves, and the others go on. Runs that go on from
    checkpoints of different steps are trained one group after the other.

    Raises:
        RequestError: the settings cannot be built, or the data are missing or others; nothing is recorded.
        StackTooLargeError: the stack does not fit into memory; nothing is recorded, and fewer runs may fit.
        Interrupted: a signal asked to stop; recorded as `interrupted`, with checkpoints to go on from.
        Exception: whatever was raised; recorded as `failed` in each run that had no result yet.
    """
    trainer = settings[0].trainer
    images = _load_checked_data(settings, is_checked=is_checked)
    interruption, code = Interruption(None), {**code_state()}
    with (
        use_threads(trainer),
        use_tf32(trainer),
        _deterministic(settings[0]),
        interruption.handling_signals(),
        ExitStack() as opened,
    ):
        runs = [
            opened.enter_context(StackedRun(own, own_images, interruption, warn, code))
            for own, own_images in zip(settings, images, strict=True)
        ]
        for run in runs:  # all are locked by now: where one cannot be, no folder has been touched
            run.begin()
        with interruption.deferred_to_step_end(), _out_of_memory_told(len(runs)):
            for together in _at_one_position(runs):
                StackTrainer(together, interruption).fit()
    return [run.result for run in runs if run.result is not None]


def measure_stack_memory(settings: Sequence[RunSettings]) -> int:
    """Bytes of the device's memory at the most while this stack takes a few steps; nothing is recorded.

    On the CPU 0: what a process needs there is not known before it has needed it.
    """
    images = _load_checked_data(settings, is_checked=True)
    device = device_of(settings[0].trainer)
    if device.type != "cuda":
        return 0
    gc.collect()  # what is left of another stack counts as this one's else
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    with use_tf32(settings[0].trainer), _deterministic(settings[0]):
        models = [
            build_initialized_model(own, own_images) for own, own_images in zip(settings, images, strict=True)
        ]
        stack = Stack.build(settings, images, models, device)
        for step, (x_BNCHW, y_BN) in zip(range(_PROBED_STEPS), stack.batches(0), strict=False):
            stack.step(x_BNCHW, y_BN, stack.lr_TB[step])
        stack.evaluate("val", range(stack.runs))
    return torch.cuda.max_memory_reserved(device)


def _load_checked_data(settings: Sequence[RunSettings], *, is_checked: bool) -> list[ImageData]:
    """The images of each run, loaded once for all runs of one cut."""
    preconditions.check_hardware(settings[0].trainer)
    loaded: dict[str, ImageData] = {}
    for own in settings:
        if not is_checked:
            preconditions.check_settings(own)
        key = own.data.to_json() + own.paths.to_json()
        if key not in loaded:
            loaded[key] = load_data(own)
            preconditions.check_data(own, loaded[key])
    images = [loaded[own.data.to_json() + own.paths.to_json()] for own in settings]
    for own, own_images in zip(settings, images, strict=True):
        resume.check_resume(own, own_images.in_shape_CHW)
    return images


def _at_one_position(runs: Sequence[StackedRun]) -> list[list[StackedRun]]:
    """Runs that have the same steps behind them, those with the most first."""
    groups: dict[tuple[int, int], list[StackedRun]] = {}
    for run in runs:
        groups.setdefault(run.position, []).append(run)
    return [groups[position] for position in sorted(groups, reverse=True)]


@contextmanager
def _deterministic(settings: RunSettings) -> Iterator[None]:
    """The deterministic kernel where there is one, as for a run alone."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    if device_of(settings.trainer).type == "cuda" or torch.get_num_threads() > 1:
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@contextmanager
def _out_of_memory_told(runs: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if runs == 1 or not is_out_of_memory(error):
            raise
        raise StackTooLargeError(f"a stack of {runs} does not fit into memory") from error
