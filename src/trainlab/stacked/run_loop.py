"""A module without a stacked form: each run's own is called on its slice, one after the other.

Legend: B runs of a stack.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trainlab.errors import RequestError
from trainlab.stacked.leaf import RunStreams, StackedLeaf, StackedTensors, without_memory


class ParametersOfRuns(nn.Module):
    """Parameters and buffers (B, …) under a name inside a module that is looped; it is never called."""


class LoopOverRuns(StackedLeaf):
    """A user's own module of each run, whole, by `torch.func.functional_call` with the run's tensors.

    Buffers that the module writes, in place or anew, reach the stack. `singles` are the modules that are
    called, without memory of their own: a hook on a module inside `singles[i]` sees what run i does.
    """

    singles: list[nn.Module]

    def __init__(
        self, singles: Sequence[nn.Module], tensors: StackedTensors, streams: RunStreams | None = None
    ) -> None:
        super().__init__(singles)
        self.__dict__["singles"] = [self.single, *map(without_memory, singles[1:])]
        self.streams = RunStreams(len(singles)) if streams is None else streams
        self._adopt(self, singles, tensors)
        if list(self.state_dict()) != list(singles[0].state_dict()):
            kind = type(singles[0]).__name__
            raise RequestError(
                f"a stack of {kind}: it has a state of its own kind (state_dict), not of tensors"
            )

    def _adopt(self, holder: nn.Module, singles: Sequence[nn.Module], tensors: StackedTensors) -> None:
        tensors.fill(holder, singles)
        for name, child in singles[0]._modules.items():
            if child is not None:
                inner = ParametersOfRuns()
                holder.add_module(name, inner)
                self._adopt(inner, [single.get_submodule(name) for single in singles], tensors)

    def forward(self, x_BN: Tensor) -> Tensor:
        """Each run's module on its slice; the outputs as one tensor (B, …)."""
        for module in self.singles:
            if module.training != self.training:
                module.train(self.training)
        return call_each_run(self.singles, self, x_BN, self.streams)

    def train(self, mode: bool = True) -> "LoopOverRuns":
        """Each run's module is told, which may do more than to change its mode."""
        super().train(mode)
        for module in self.singles:
            module.train(mode)
        return self

    def keep_runs(self, indices: Sequence[int]) -> None:
        """See StackedLeaf."""
        super().keep_runs(indices)
        self.__dict__["singles"] = [self.singles[run] for run in indices]
        self.__dict__["single"] = self.singles[0]


def call_each_run(
    singles: Sequence[nn.Module], stacked: nn.Module, x_BN: Tensor, streams: RunStreams
) -> Tensor:
    """Each run's single module with its tensors of a stacked one, on its slice of x; the outputs stacked.

    Buffers that a module writes, in place or anew, reach the stack.
    """
    parameters = {name: p.unbind() for name, p in _by_module(stacked, "_parameters")}
    buffers = {name: b.unbind() for name, b in _by_module(stacked, "_buffers")}
    outputs = []
    for run, (single, x_N) in enumerate(zip(singles, x_BN.unbind(), strict=True)):
        own = {name: slices[run] for name, slices in buffers.items()}
        called_with = {name: slices[run] for name, slices in parameters.items()} | own
        with streams.as_global(run):
            outputs.append(functional_call(single, called_with, (x_N,), tie_weights=False))
        with torch.no_grad():
            for name, buffer in own.items():
                if called_with[name] is not buffer:  # the module has put another tensor in its place
                    buffer.copy_(called_with[name])
    return torch.stack(outputs)


def _by_module(stacked: nn.Module, kind: str) -> Iterator[tuple[str, Tensor]]:
    """Each module's tensors once, those that several modules share in each: so functional_call sets them."""
    for prefix, module in stacked.named_modules():
        for name, tensor in getattr(module, kind).items():
            if tensor is not None:
                yield f"{prefix}.{name}" if prefix else name, tensor
