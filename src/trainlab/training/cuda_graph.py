"""A fixed sequence of device work, recorded once and started as a whole: CUDA graphs, and where they can be.

A small network's step is some hundred kernels of a few microseconds; starting each from Python takes longer
than running it. A CUDA graph starts them all at once. Rules: https://docs.pytorch.org/docs/stable/notes/cuda.html
(CUDA graphs): fixed addresses and shapes, no waiting for the device, no decision in Python.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.settings import TrainerSettings

Work: TypeAlias = Callable[[], None]
"""Reads and writes tensors that stay where they are."""

_WARM_UP_CALLS = 2
_KNOWN_PACKAGES = ("torch", "torchvision", "trainlab")
"""Whose modules do the same at every step; a user's own may count, or roll Python's dice."""


class NotCapturable(Exception):
    """This work cannot be recorded; the text says why."""


def capture_cuda_graph(work: Work) -> Work:
    """Records the work, and returns what does it again. It is run before, and what it changes is changed.

    Raises:
        NotCapturable: it waits for the device, or does something else that a graph cannot hold.
    """
    # one stream for both: handles of cuBLAS and cuDNN are made for a stream, and not while it is recorded
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream), _refusing_to_wait():
            for _ in range(_WARM_UP_CALLS):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # only this thread's calls could spoil it: a tracker's threads have nothing to do with the device
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            work()
    except RuntimeError as error:
        raise NotCapturable(str(error).splitlines()[0]) from error
    return graph.replay


@contextmanager
def _refusing_to_wait() -> Iterator[None]:
    """What waits for the device raises here, where nothing is lost by it; in a capture it would spoil more.

    A capture that fails leaves the generator of random numbers unusable (torch 2.11, issue 171263).
    """
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


CAPTURE: dict[str, Callable[[Work], Work]] = {"cuda": capture_cuda_graph}
"""What records work, by the kind of device."""


def why_not_captured(trainer: TrainerSettings, device: torch.device, world_size: int) -> str | None:
    """Why a run with these settings takes its steps one by one; None where it need not."""
    if trainer.cuda_graph == "off":
        return "trainer.cuda_graph=off"
    if device.type not in CAPTURE:
        return f"the run is on {device.type}"
    return _why_not_with(trainer, world_size)


def _why_not_with(trainer: TrainerSettings, devices: int) -> str | None:
    if devices > 1:
        return f"{devices} devices share each batch"
    if trainer.precision == "16-mixed":
        return "precision 16-mixed looks at its loss scale after every step"
    if trainer.profiler is not None:
        return "a profiler looks into every step"
    return None


def why_not_capturable(model: nn.Module) -> str | None:
    """Which module may do something else at each step; None where all are torch's or this package's."""
    for module in model.modules():
        kind = type(module)
        if kind.__module__.partition(".")[0] not in _KNOWN_PACKAGES:
            return f"{kind.__name__} may do something else at each step (trainer.cuda_graph=on: it does not)"
    return None


def check_cuda_graph(trainer: TrainerSettings, has_cuda: bool) -> None:
    """Refuses `trainer.cuda_graph=on` where it cannot be. Raises RequestError."""
    if trainer.cuda_graph != "on":
        return
    why = None if has_cuda and trainer.accelerator in ("auto", "gpu") else "it needs a CUDA device"
    why = why or _why_not_with(trainer, trainer.devices)
    if why is not None:
        raise not_capturable_error(why)


def not_capturable_error(why: str) -> RequestError:
    return RequestError(f"trainer.cuda_graph=on: {why}; expected auto (where it can be) or off")
