"""What every stacked layer is: one module that holds a layer of each of B networks, and its random streams.

Legend: B runs of a stack, N images of a batch, C channels, H × W pixels, F features.
"""

import copy
from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError

NOT_SEEDED = "dropout of a stack draws from each run's own stream: call seed_dropout(seeds_B) first"


class RunStreams:
    """A random stream for each run, which all layers of a stack that draw share, as a single run's share one.

    A single run draws from torch's own generator, which it seeds at the start of each epoch. On the CPU a
    run's stream is a state of that generator, put in its place while the run's slice is computed: the bits
    are those of the run alone. On CUDA it is a generator of the run's own: a run draws the same in any stack,
    at any place; its bits are not those of the run alone, whose masks come from another kernel. A user's own
    module that draws does so from torch's generator there, for all runs in turn.
    """

    def __init__(self, runs: int) -> None:
        self.generators: list[torch.Generator | None] = [None] * runs

    def seed(self, seeds_B: Sequence[int], device: torch.device) -> None:
        """Starts every run's stream; what a single run does by `torch.manual_seed(seed)`."""
        for run, seed in enumerate(seeds_B):
            self._on(device, run).manual_seed(int(seed))

    def state_of_run(self, run: int) -> Tensor | None:
        """Where the run's stream is, as `torch.get_rng_state()` is of a single run; None: not started."""
        generator = self.generators[run]
        return None if generator is None else generator.get_state()

    def load_state_of_run(self, run: int, state: Tensor, device: torch.device) -> None:
        """The run's stream goes on from there. A state of a CPU's generator says nothing to one of CUDA."""
        self._on(device, run).set_state(state.cpu())

    def _on(self, device: torch.device, run: int) -> torch.Generator:
        """The run's generator, which stays the same object: a CUDA graph knows it."""
        device = device if device.type == "cuda" else torch.device("cpu")
        generator = self.generators[run]
        if generator is None or generator.device.type != device.type:
            generator = self.generators[run] = torch.Generator(device)
        return generator

    def generator(self, run: int) -> torch.Generator:
        """The run's generator. Raises RequestError where the streams were not started."""
        generator = self.generators[run]
        if generator is None:
            raise RequestError(NOT_SEEDED)
        return generator

    @contextmanager
    def as_global(self, run: int) -> Generator[None, None, None]:
        """In the block torch's own CPU generator is the run's; where it was not started, torch's own."""
        generator = self.generators[run]
        if generator is None or generator.device.type != "cpu":
            yield
            return
        before = torch.get_rng_state()
        torch.set_rng_state(generator.get_state())
        try:
            yield
        finally:
            generator.set_state(torch.get_rng_state())
            torch.set_rng_state(before)

    def subset(self, indices: Sequence[int]) -> "RunStreams":
        """The streams of these runs, which go on from where they are.

        Raises RequestError for no runs, or one that is not in the stack.
        """
        count = len(self.generators)
        if not indices or not all(0 <= run < count for run in indices):
            raise RequestError(
                f"a subset of a stack: got runs {list(indices)}, expected some of 0..{count - 1}"
            )
        chosen = RunStreams(len(indices))
        chosen.generators = [self._copy(run) for run in indices]
        return chosen

    def _copy(self, run: int) -> torch.Generator | None:
        generator = self.generators[run]
        return None if generator is None else generator.clone_state()


class StackedLeaf(nn.Module):
    """A layer of each of B networks as one module, with the single layer's names: each tensor is (B, …).

    `single`: a layer of the single kind with the first run's settings, without memory (meta device), and no
    submodule; `kind`: its class. `runs`: B.
    """

    single: nn.Module

    def __init__(self, singles: Sequence[nn.Module]) -> None:
        super().__init__()
        self.runs = len(singles)
        self.training = singles[0].training
        self.__dict__["single"] = without_memory(
            singles[0]
        )  # past nn.Module, which would make it a submodule

    @property
    def kind(self) -> type[nn.Module]:
        """The single layer's class."""
        return type(self.single)

    def keep_runs(self, indices: Sequence[int]) -> None:
        """What beside parameters and buffers is one for each run keeps these runs only."""
        self.runs = len(indices)

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"{self.runs} × {type(self.single).__name__}({self.single.extra_repr()})"


def without_memory(module: nn.Module) -> nn.Module:
    """A copy of a module whose parameters and buffers have shapes only (meta device)."""
    stand_ins: dict[int, object] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        empty = torch.empty_like(tensor, device="meta").requires_grad_(tensor.requires_grad)
        is_parameter = isinstance(tensor, nn.Parameter)
        stand_ins[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    return copy.deepcopy(module, stand_ins)


class StackedTensors:
    """Stacks tensors of B networks; what two layers of a network share, their stacked layers share."""

    def __init__(self) -> None:
        self._stacked: dict[tuple[int, ...], Tensor] = {}

    def parameter(self, singles: Sequence[Tensor]) -> nn.Parameter:
        """A parameter (B, …), trained where the first run's is."""
        stacked = self._once(singles, lambda: nn.Parameter(_stack(singles), singles[0].requires_grad))
        assert isinstance(stacked, nn.Parameter)
        return stacked

    def buffer(self, singles: Sequence[Tensor]) -> Tensor:
        """A buffer (B, …)."""
        return self._once(singles, lambda: _stack(singles))

    def _once(self, singles, make):
        key = tuple(map(id, singles))
        if key not in self._stacked:
            self._stacked[key] = make()
        return self._stacked[key]

    def fill(self, stacked: nn.Module, singles: Sequence[nn.Module]) -> None:
        """Registers the own parameters and buffers of B modules, each stacked, in a module."""
        first = singles[0]
        for name, parameter in first._parameters.items():
            each = [single._parameters[name] for single in singles]
            stacked.register_parameter(name, None if parameter is None else self.parameter(_present(each)))
        for name, buffer in first._buffers.items():
            each = [single._buffers[name] for single in singles]
            persistent = name not in first._non_persistent_buffers_set
            tensor = None if buffer is None else self.buffer(_present(each))
            stacked.register_buffer(name, tensor, persistent)


def _stack(singles: Sequence[Tensor]) -> Tensor:
    return torch.stack([single.detach().contiguous() for single in singles])


def _present(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    present = [tensor for tensor in tensors if tensor is not None]
    assert len(present) == len(tensors), "a stack of unlike networks"
    return present
