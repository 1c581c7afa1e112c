"""All that belongs to the whole process stays as it was: random states, flags, modes of torch."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

Restore = Callable[[], object]

SEARCHED = ("sampler", "batch_sampler", "dataset", "transform", "transforms", "collate_fn")
"""Attributes in which a loader's own generators are looked for."""

DEEPEST = 4
"""How far down they are looked for: loader, batch sampler, sampler, generator."""


@contextmanager
def untouched(*owners: object) -> Iterator[None]:
    """Random states, flags and modes are put back at the end, by an error or Ctrl-C too; gradients are on.

    `owners` (a loader, a data set, a sampler) keep generators of their own, which are put back as well.
    """
    restore = [
        *_random_states(),
        *_flags(),
        *(put_back for owner in owners for put_back in _generators(owner, DEEPEST)),
    ]
    with ExitStack() as stack:
        for put_back in restore:
            stack.callback(put_back)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in _device_types():
            stack.enter_context(torch.autocast(device, enabled=False))
        yield


def _device_types() -> list[str]:
    """Of the devices on which a cast may be on."""
    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _random_states() -> list[Restore]:
    """Python's, NumPy's, and torch's on every device that has been used."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    found: list[Restore] = [
        lambda: random.setstate(python),
        lambda: np.random.set_state(numpy),
        lambda: torch.set_rng_state(cpu),
    ]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        cuda = torch.cuda.get_rng_state_all()
        found.append(lambda: torch.cuda.set_rng_state_all(cuda))
    if torch.backends.mps.is_available():
        mps = torch.mps.get_rng_state()
        found.append(lambda: torch.mps.set_rng_state(mps))
    return found


def _flags() -> list[Restore]:
    """What a network's own forward pass, or an optimizer, may have set for the whole process."""
    dtype, precision, threads = (
        torch.get_default_dtype(),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
    )
    exact, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    anomaly, cudnn = torch.is_anomaly_enabled(), torch.backends.cudnn
    kernels = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}

    def put_back() -> None:
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(exact, warn_only=warns)
        torch.autograd.set_detect_anomaly(anomaly)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        for name, value in kernels.items():
            setattr(cudnn, name, value)

    return [put_back]


def _generators(owner: object, depth: int) -> list[Restore]:
    """Generators in the attributes of `owner`, and of the samplers, data sets and transforms in it."""
    found: list[Restore] = []
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        state = _state_of(value)
        if state is not None:
            found.append(state)
        elif depth and (name in SEARCHED or isinstance(owner, DataLoader)):
            inner: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
            found += [one for part in inner for one in _generators(part, depth - 1)]
    return found


def _state_of(value: object) -> Restore | None:
    if isinstance(value, torch.Generator):
        state = value.get_state()
        return lambda: value.set_state(state)
    if isinstance(value, np.random.Generator):
        numbers = value.bit_generator.state
        return lambda: setattr(value.bit_generator, "state", numbers)
    if isinstance(value, np.random.RandomState):
        numbers = value.get_state()
        return lambda: value.set_state(numbers)
    if isinstance(value, random.Random):
        python = value.getstate()
        return lambda: value.setstate(python)
    return None
