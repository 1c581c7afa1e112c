"""One run's tensors in a module whose parameters and buffers are (B, …): read, written, and runs chosen.

Legend: B runs of a stack.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.stacked.leaf import RunStreams, StackedLeaf

Stacked = TypeVar("Stacked", bound=nn.Module)


def state_of_run(stacked: nn.Module, run: int) -> dict[str, Tensor]:
    """What `state_dict()` of the run's own module would be; copies."""
    return {name: tensor[run].detach().clone() for name, tensor in stacked.state_dict().items()}


def load_state_of_run(stacked: nn.Module, run: int, state: Mapping[str, Tensor]) -> None:
    """Writes a single module's `state_dict()` into a run; the other runs are left as they are.

    Raises RequestError where it is not of this network.
    """
    tensors = stacked.state_dict()
    for name in [*tensors, *state]:
        if name not in state or name not in tensors:
            has = "is missing" if name not in state else "is in the state and not in the network"
            raise RequestError(f"state of run {run}: {name} {has}")
        got, expected = tuple(state[name].shape), tuple(tensors[name].shape[1:])
        if got != expected:
            raise RequestError(f"state of run {run}: {name} has shape {got}, expected {expected}")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor[run].copy_(state[name])


def subset_of_runs(stacked: Stacked, runs: Sequence[int], streams: RunStreams) -> Stacked:
    """A copy with these runs alone, in this order; gradients are not taken along.

    streams: the random streams of the runs that are kept, in the place of those of the stack."""
    chosen: dict[int, object] = {}
    for tensor in [*stacked.parameters(), *stacked.buffers()]:
        kept = torch.stack([tensor.detach()[run] for run in runs])
        is_parameter = isinstance(tensor, nn.Parameter)
        chosen[id(tensor)] = nn.Parameter(kept, tensor.requires_grad) if is_parameter else kept
    for module in stacked.modules():
        if isinstance(old := getattr(module, "streams", None), RunStreams):
            chosen[id(old)] = streams
    copied = copy.deepcopy(stacked, chosen)
    for module in copied.modules():
        if isinstance(module, StackedLeaf):
            module.keep_runs(runs)
    return copied
