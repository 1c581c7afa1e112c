"""Sizes of a Triton program's tiles for a stacked convolution, and which is the fastest for a shape here."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
from torch import Tensor

from trainlab.json_types import Json
from trainlab.stacked.recorded_work import milliseconds, recorded

MAX_FLAT_INPUTS = 192
"""Up to so many inputs, of fewer than 16 channels, are gathered over taps and channels at once."""
TRIALS = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Blocks:
    """Sizes of one program's tile, its warps, the depth of its pipeline of loads; whether it is direct.

    A direct program multiplies and adds without matrix units.
    """

    rows: int
    maps: int
    inputs: int
    warps: int = 4
    stages: int = 3
    is_direct: bool = False


NAMES = {"rows", "maps", "inputs", "warps", "stages", "is_direct"}
MAX_DIRECT_INPUTS, MAX_DIRECT_MAPS = 32, 16
"""Up to so many of both, tiles of matrix units are mostly padding: a first layer's."""

_fastest: dict[tuple[object, ...], Blocks] = {}
_recalled: dict[str, Blocks] = {}


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


def direct_convolution_blocks(maps: int, inputs: int) -> list[Blocks]:
    """A program without matrix units, where a layer is small enough for one."""
    if inputs > MAX_DIRECT_INPUTS or maps > MAX_DIRECT_MAPS:
        return []
    return [Blocks(256, _direct_size(maps), MAX_DIRECT_INPUTS, 8, 1, is_direct=True)]


def direct_gradient_blocks(maps: int, inputs: int) -> list[Blocks]:
    """The same; rows · maps · inputs of a block are what a program's registers hold (64 a thread)."""
    if inputs > MAX_DIRECT_INPUTS or maps > MAX_DIRECT_MAPS:
        return []
    return [Blocks(512 // _direct_size(maps), _direct_size(maps), MAX_DIRECT_INPUTS, 8, 1, is_direct=True)]


def _direct_size(maps: int) -> int:
    return 1 << (maps - 1).bit_length()


def is_flat(channels: int, inputs: int) -> bool:
    return channels < 16 and inputs <= MAX_FLAT_INPUTS


def run_fastest(
    key: tuple[object, ...], options: list[Blocks], launch: Callable[[Blocks], T], x: Tensor
) -> T:
    """`launch` with the option that was the fastest for `key`; measured at the first call, on a GPU.

    On the device "meta" with all of them: `launch` only compiles there.
    """
    if x.is_meta:
        outcome, *_ = [launch(blocks) for blocks in options]
        return outcome
    if x.device.type != "cuda":
        return launch(options[0])
    with torch.cuda.device(x.device):
        if key not in _fastest:
            if torch.cuda.is_current_stream_capturing():
                return launch(options[0])
            known = _recalled.get(str(key))
            if known not in options:
                known = min(options, key=lambda blocks: _milliseconds(launch, blocks, x.device))
            _fastest[key] = known
        return launch(_fastest[key])


def chosen_blocks() -> dict[str, Json]:
    """What was measured in this process, as data."""
    return {str(key): asdict(blocks) for key, blocks in _fastest.items()}


def recall_blocks(choices: Mapping[str, Json]) -> None:
    """What another process measured is not measured again; what is no such choice is passed over."""
    for key, numbers in choices.items():
        if isinstance(numbers, Mapping) and numbers.keys() == NAMES:
            sizes = {name: size for name, size in numbers.items() if isinstance(size, int)}
            if len(sizes) == len(NAMES):
                _recalled[key] = Blocks(**sizes)  # pyrefly: ignore[bad-argument-type]


def _milliseconds(launch: Callable[[Blocks], object], blocks: Blocks, device: torch.device) -> float:
    """Time of one call; infinite where the tile does not fit this GPU, or does not compile for it."""
    try:
        launch(blocks)
        work = recorded(lambda: launch(blocks), device)
        milliseconds(work, device, 1)
        return milliseconds(work, device, TRIALS)
    except Exception:  # an option is no more than a trial; the first one's fault is raised when it is used
        return float("inf")


def _power_of_two(number: int) -> int:
    """The next one, at least 16: what `tl.dot` takes."""
    return max(16, 1 << (number - 1).bit_length())
