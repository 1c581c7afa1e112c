"""Sizes of a Triton program's tiles for a stacked convolution, and which is the fastest for a shape here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

MAX_FLAT_INPUTS = 192
"""Up to so many inputs, of fewer than 16 channels, are gathered over taps and channels at once."""
TRIALS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Blocks:
    """Sizes of one program's tile, its warps, and the depth of its pipeline of loads."""

    rows: int
    maps: int
    inputs: int
    warps: int = 4
    stages: int = 3


_fastest: dict[tuple[object, ...], Blocks] = {}


def convolution_blocks(maps: int, channels: int, inputs: int, last: bool, precision: str) -> list[Blocks]:
    """Tile sizes worth a trial: each costs a second or more of compilation, once on a machine.

    So chosen that tiles stay in registers (sm_90), of which more are needed where columns lie together.
    """
    maps = min(64, _power_of_two(maps))
    block = 32 if channels > 16 else 16
    if precision == "ieee":  # no tensor cores
        return [Blocks(64, maps, 16, stages=2)]
    if is_flat(channels, inputs):
        return [Blocks(128 if inputs <= 32 else 64, maps, 32), Blocks(128, maps, 32, warps=8)]
    if not last:
        return [Blocks(64, maps, block), Blocks(128, maps, block, warps=8)]
    if maps <= 16:
        return [Blocks(128, maps, block), Blocks(256, maps, block, warps=8)]
    return [Blocks(128, maps, block), Blocks(64, maps, block, stages=4)]


def gradient_blocks(maps: int, inputs: int, precision: str) -> list[Blocks]:
    maps = min(32, _power_of_two(maps))
    inputs = min(64, _power_of_two(inputs))
    if precision == "ieee":
        return [Blocks(32, maps, inputs, stages=2)]
    if inputs <= 32:
        return [Blocks(64, maps, inputs), Blocks(128, maps, inputs, warps=8)]
    return [Blocks(32, maps, inputs, stages=4), Blocks(64, maps, inputs, warps=8)]


def is_flat(channels: int, inputs: int) -> bool:
    return channels < 16 and inputs <= MAX_FLAT_INPUTS


def run_fastest(
    key: tuple[object, ...], options: list[Blocks], launch: Callable[[Blocks], T], x: Tensor
) -> T:
    """`launch` with the option that was the fastest for `key`; measured at the first call, on a GPU."""
    if x.device.type != "cuda":
        return launch(options[0])
    with torch.cuda.device(x.device):
        if key not in _fastest:
            if torch.cuda.is_current_stream_capturing():
                return launch(options[0])
            _fastest[key] = min(options, key=lambda blocks: _milliseconds(launch, blocks))
        return launch(_fastest[key])


def _milliseconds(launch: Callable[[Blocks], object], blocks: Blocks) -> float:
    """Time of one call; infinite where the tile does not fit this GPU."""
    from triton.runtime.errors import OutOfResources

    try:
        launch(blocks)
    except OutOfResources:
        return float("inf")
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(TRIALS):
        launch(blocks)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / TRIALS


def _power_of_two(number: int) -> int:
    """The next one, at least 16: what `tl.dot` takes."""
    return max(16, 1 << (number - 1).bit_length())
