"""How many CPU threads a run takes: one, alone as in a sweep, and a word where more would be faster.

The last bits of a sum hang on the number of threads, and with them, in time, a verdict: so the default is the
same whichever way a run is started, and no timing decides it. For the networks of a course one thread is the
fastest too, and on a busy machine by far: threads wait for each other at every layer.
"""

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

from trainlab.build.data import build_datamodule
from trainlab.data import ImageData
from trainlab.process_limits import available_cores
from trainlab.settings import Settings, TrainerSettings
from trainlab.training.classifier import Classifier

DEFAULT_THREADS = 1
MAX_THREADS = 8
"""More seldom help with images of this size."""
MIN_TIMED_RUN_SECONDS = 60
"""A run that takes less is not timed."""
MIN_SPEEDUP = 1.3
"""So many times faster, and it is said."""
_TIMED_STEPS = 2


@contextmanager
def use_threads(trainer: TrainerSettings) -> Iterator[None]:
    """The run's own number of threads; afterwards the process has the one that it had before."""
    before = torch.get_num_threads()
    wanted = trainer.threads or (DEFAULT_THREADS if is_on_cpu(trainer) else before)
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def is_on_cpu(trainer: TrainerSettings) -> bool:
    """Whether the run is trained by the processor."""
    has_gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
    return trainer.accelerator == "cpu" or (trainer.accelerator == "auto" and not has_gpu)


def suggest_threads(settings: Settings, classifier: Classifier, images: ImageData) -> str | None:
    """That more threads would train this network faster, from a step or two with either; None where not.

    Only of a long run that says nothing of threads, on a machine with more than one core.
    """
    most = min(available_cores(), MAX_THREADS)
    if settings.trainer.threads or most == 1 or not is_on_cpu(settings.trainer):
        return None
    one = _time_step(settings, classifier, images, DEFAULT_THREADS)
    if one * classifier.total_steps < MIN_TIMED_RUN_SECONDS:
        return None
    many = _time_step(settings, classifier, images, most)
    if one < MIN_SPEEDUP * many:
        return None
    return (
        f"trainer.threads={most} would train this network {one / many:.1f} times faster (timed here, now); "
        "the default of 1 gives the same bits alone and in a sweep"
    )


def _time_step(settings: Settings, classifier: Classifier, images: ImageData, threads: int) -> float:
    """The faster of a step or two, forward and backward, of a copy; nothing of the run is touched."""
    before = torch.get_num_threads()
    model = copy.deepcopy(classifier.model).train()
    x_NCHW, y_N = next(iter(build_datamodule(settings, images).train_dataloader()))
    seconds = []
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            for _ in range(1 + _TIMED_STEPS):
                since = time.perf_counter()
                F.cross_entropy(model(x_NCHW).float(), y_N).backward()
                seconds.append(time.perf_counter() - since)
    finally:
        torch.set_num_threads(before)
    return min(seconds[1:])  # the first finds its kernels
