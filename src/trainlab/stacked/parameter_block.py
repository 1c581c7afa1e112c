"""Parameters of B runs whose optimizer states lie in one row a run.

Legend: B runs, P parameters of one run in this block, (B, …) one parameter of all runs.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

import torch
from torch import Tensor, nn

from trainlab.stacked.update_rules import exact_dtype


class ParameterBlock:
    """Some of a stack's parameters, which have taken the same steps, and their states of shape (B, P).

    parameters: all of the stack; positions: which of them are in the block.
    steps_B: how many steps each run has taken with them, on the device.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], positions: Sequence[int], state_names: Sequence[str]
    ) -> None:
        self.positions = list(positions)
        self._all = parameters
        self._parameters: list[Tensor] = [parameters[position] for position in positions]
        self._sizes = [parameter[0].numel() for parameter in self._parameters]
        first = self._parameters[0]
        self._runs = len(first)
        self._dtype, self._working_dtype = first.dtype, working_dtype(first.dtype)
        self.steps_B = torch.zeros(self._runs, dtype=exact_dtype(first.device), device=first.device)
        self.state = {
            name: torch.zeros((self._runs, sum(self._sizes)), dtype=first.dtype, device=first.device)
            for name in state_names
        }

    @property
    def has_gradients(self) -> bool:
        """Whether the block takes part in this step."""
        return self._parameters[0].grad is not None

    @property
    def is_uniform(self) -> bool:
        """Whether all its parameters have a gradient, or none."""
        first = self.has_gradients
        return all((parameter.grad is not None) == first for parameter in self._parameters)

    def gradients_BP(self) -> Tensor:
        """A copy of all gradients, in the type to compute in."""
        rows = [p.grad.reshape(self._runs, -1) for p in self._parameters if p.grad is not None]
        return torch.cat(rows, dim=1).to(self._working_dtype)

    def parameters_BP(self) -> Tensor:
        """A copy of all parameters, in the type to compute in."""
        rows = [parameter.detach().reshape(self._runs, -1) for parameter in self._parameters]
        return torch.cat(rows, dim=1).to(self._working_dtype)

    def move(self, direction_BP: Tensor, scale_B: Tensor) -> None:
        """parameters ← parameters + direction · scale."""
        if self._dtype != direction_BP.dtype:
            return self.add(direction_BP * scale_B.to(direction_BP.dtype)[:, None])
        scale_B = scale_B.to(self._dtype)
        scales = [scale_B.view(-1, *[1] * (parameter.dim() - 1)) for parameter in self._parameters]
        torch._foreach_addcmul_(self._parameters, self._views(direction_BP), scales)
        return None

    def add(self, step_BP: Tensor) -> None:
        """parameters ← parameters + step."""
        torch._foreach_add_(self._parameters, self._views(step_BP))

    @contextmanager
    def working_state(self) -> Iterator[dict[str, Tensor]]:
        """The states in the type to compute in; what is changed there is kept."""
        if self._working_dtype == self._dtype:
            yield self.state
            return
        working = {name: value.to(self._working_dtype) for name, value in self.state.items()}
        yield working
        for name, value in working.items():
            self.state[name].copy_(value)

    def split(self, key: Callable[[int], Hashable]) -> "list[ParameterBlock]":
        """Blocks of the parameters for whose positions the key is the same; this one if there is one."""
        by_key: dict[Hashable, list[int]] = defaultdict(list)
        for place, position in enumerate(self.positions):
            by_key[key(position)].append(place)
        return [self] if len(by_key) == 1 else [self._part(places) for places in by_key.values()]

    def _part(self, places: Sequence[int]) -> "ParameterBlock":
        part = type(self)(self._all, [self.positions[place] for place in places], ())
        part.steps_B = self.steps_B.clone()
        for name, value in self.state.items():
            pieces = value.split(self._sizes, dim=1)
            part.state[name] = torch.cat([pieces[place] for place in places], dim=1)
        return part

    def state_of_run(self, run: int, names: Sequence[str]) -> dict[int, dict[str, Tensor]]:
        """States of one run in the shape of its parameters, by position."""
        pieces = {name: self.state[name][run].split(self._sizes) for name in names}
        shapes = [self._all[position].shape[1:] for position in self.positions]
        return {
            position: {name: pieces[name][place].clone().view(shapes[place]) for name in names}
            for place, position in enumerate(self.positions)
        }

    def load_run(self, run: int, steps: int, entries: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Sets one run's steps and states by position; what is missing starts at zero."""
        self.steps_B[run] = steps
        for name, value in self.state.items():
            for position, piece in zip(self.positions, value[run].split(self._sizes), strict=True):
                entry = entries.get(position, {})
                if name in entry:
                    piece.copy_(entry[name].reshape(-1))
                else:
                    piece.zero_()

    def subset(
        self, indices: Sequence[int], parameters: Sequence[nn.Parameter], names: Sequence[str]
    ) -> Self:
        """The block of some of the runs, over the parameters of the repacked network."""
        chosen = type(self)(parameters, self.positions, ())
        rows = torch.tensor(indices, device=self.steps_B.device)
        chosen.steps_B = self.steps_B[rows]
        chosen.state = {name: self.state[name][rows] for name in names}
        return chosen

    def _views(self, values_BP: Tensor) -> list[Tensor]:
        pieces = values_BP.split(self._sizes, dim=1)
        return [piece.view(p.shape) for piece, p in zip(pieces, self._parameters, strict=True)]


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """In what an update is computed: torch's own kernels widen types of 16 bits to 32, too."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
