"""Milliseconds of some work as it is done in training: on a GPU by a CUDA graph, without Python's time."""

import time
from collections.abc import Callable
from typing import TypeAlias

import torch

Work: TypeAlias = Callable[[], object]


def recorded(work: Work, device: torch.device) -> Work:
    """What does the work again: a CUDA graph's replay where it can be recorded, else the work itself.

    The work must have been done before: kernels are loaded then. It reads tensors that stay where they are.
    """
    if device.type != "cuda":
        return work
    try:
        return _graph(work, device)
    except RuntimeError:
        return work


def _graph(work: Work, device: torch.device) -> Work:
    """Raises RuntimeError where the work waits for the device, or cannot be recorded for another reason."""
    with torch.cuda.device(device):
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        before = torch.cuda.get_sync_debug_mode()
        with torch.cuda.stream(stream):
            torch.cuda.set_sync_debug_mode("error")  # here nothing is lost by it; in a capture more would be
            try:
                work()
            finally:
                torch.cuda.set_sync_debug_mode(before)
            graph = torch.cuda.CUDAGraph()
            torch.cuda.synchronize()
            graph.capture_begin(capture_error_mode="thread_local")
            try:
                work()
            finally:
                graph.capture_end()
        current.wait_stream(stream)
    return graph.replay


def milliseconds(work: Work, device: torch.device, repeats: int) -> float:
    """The mean of some in a row."""
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        return (time.perf_counter() - start) * 1000 / repeats
    with torch.cuda.device(device):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / repeats
