"""B models with their input normalizations as one: pixels of each run to its logits.

Legend: B runs, N images, C channels, H × W pixels, K classes.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.nn.normalization import (
    Center,
    NormalizedNetwork,
    PerImage,
    Raw,
    Shifted,
    Standardize,
    Symmetric,
    Unit,
)
from trainlab.stacked import run_states
from trainlab.stacked.leaf import RunStreams, StackedTensors
from trainlab.stacked.network import StackedNetwork, stack_networks
from trainlab.stacked.run_loop import LoopOverRuns

OF_EACH_IMAGE = (Standardize, Shifted, Center, Unit, Symmetric, Raw, PerImage)
"""Options that treat each image alone: runs with the same one are normalized together."""


class StackedNormalization(nn.Module):
    """The input normalization of each run, which may be of any kinds; the same ones are done together.

    The single modules do it, so that the numbers are theirs. Raises RequestError for one with parameters
    beside another kind.
    """

    runs_of: list[list[int]]

    def __init__(self, singles: Sequence[nn.Module], streams: RunStreams) -> None:
        super().__init__()
        self.runs = len(singles)
        self.kinds, self.runs_of = nn.ModuleList(), []
        if _is_looped(singles):
            self.kinds.append(LoopOverRuns(singles, StackedTensors(), streams))
            self.runs_of.append(list(range(self.runs)))
            return
        for run, single in enumerate(singles):
            if any(True for _ in single.parameters()):
                kind = type(single).__name__
                raise RequestError(
                    f"a stack of unlike networks: {kind}, which is trained, beside another normalization"
                )
            same = next((g for g, kind in enumerate(self.kinds) if _are_same(kind, single)), None)
            if same is None:
                self.kinds.append(single)
                self.runs_of.append([run])
            else:
                self.runs_of[same].append(run)
        for number, runs in enumerate(self.runs_of):
            self.register_buffer(f"runs_{number}", torch.tensor(runs), persistent=False)

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """Pixels 0..255 (uint8 or float) to float32."""
        if len(self.kinds) == 1:
            return self._normalized(self.kinds[0], x_BNCHW)
        runs_of = [self.get_buffer(f"runs_{number}") for number in range(len(self.kinds))]
        parts = [
            self._normalized(kind, x_BNCHW.index_select(0, runs))
            for kind, runs in zip(self.kinds, runs_of, strict=True)
        ]
        # float64 where statistics are, in a model of that precision
        dtype = reduce(torch.promote_types, (part.dtype for part in parts))
        y_BNCHW = torch.empty_like(x_BNCHW, dtype=dtype)
        for part, runs in zip(parts, runs_of, strict=True):
            y_BNCHW.index_copy_(0, runs, part.to(dtype))
        return y_BNCHW

    def _normalized(self, kind: nn.Module, x_BNCHW: Tensor) -> Tensor:
        if isinstance(kind, LoopOverRuns):
            return kind(x_BNCHW)
        if isinstance(kind, OF_EACH_IMAGE):
            return kind(x_BNCHW.flatten(0, 1)).unflatten(0, x_BNCHW.shape[:2])
        return torch.stack([kind(x_NCHW) for x_NCHW in x_BNCHW])

    def state_of_run(self, run: int) -> dict[str, Tensor]:
        """What the run's own module's `state_dict()` is; copies."""
        kind = self.kinds[self._kind_of(run)]
        if isinstance(kind, LoopOverRuns):
            return run_states.state_of_run(kind, run)
        return {name: tensor.detach().clone() for name, tensor in kind.state_dict().items()}

    def load_state_of_run(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Writes a state into the run's looped module. Raises RequestError where fixed statistics differ."""
        kind = self.kinds[self._kind_of(run)]
        if isinstance(kind, LoopOverRuns):
            run_states.load_state_of_run(kind, run, state)
            return
        own = kind.state_dict()
        same = own.keys() == state.keys() and all(torch.equal(own[n].cpu(), state[n].cpu()) for n in own)
        if not same:
            raise RequestError(f"state of run {run}: its input normalization has other statistics")

    def subset(self, runs: Sequence[int], streams: RunStreams) -> "StackedNormalization":
        """Of these runs alone, in this order."""
        if isinstance(self.kinds[0], LoopOverRuns):
            chosen = StackedNormalization([nn.Identity()], streams)
            chosen.runs, chosen.runs_of = len(runs), [list(range(len(runs)))]
            chosen.kinds[0] = run_states.subset_of_runs(self.kinds[0], runs, streams)
        else:
            chosen = StackedNormalization(
                [copy.deepcopy(self.kinds[self._kind_of(run)]) for run in runs], streams
            )
            chosen.to(self.get_buffer("runs_0").device)  # which runs are of a kind is counted anew
        return chosen.train(self.training)

    def _kind_of(self, run: int) -> int:
        return next(number for number, runs in enumerate(self.runs_of) if run in runs)


def _is_looped(singles: Sequence[nn.Module]) -> bool:
    """Whether all runs have the same kind, a user's own: it may be trained, mix images or keep a state."""
    kinds = {type(single) for single in singles}
    return len(kinds) == 1 and not kinds <= set(OF_EACH_IMAGE)


def _are_same(one: nn.Module, other: nn.Module) -> bool:
    if type(one) is not type(other) or type(one) not in OF_EACH_IMAGE:
        return False
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


class StackedModel(nn.Module):
    """The stack of B `NormalizedNetwork`s: x_BNCHW holds pixels 0..255 (uint8 or float), to logits_BNK."""

    def __init__(self, normalization: StackedNormalization, network: StackedNetwork) -> None:
        super().__init__()
        self.normalization, self.network = normalization, network

    @property
    def runs(self) -> int:
        """B."""
        return self.network.runs

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """Logits_BNK; the network's own precision decides (normalization computes in float32)."""
        dtype = next(self.network.parameters()).dtype
        return self.network(self.normalization(x_BNCHW).to(dtype))

    def state_of_run(self, run: int) -> dict[str, Tensor]:
        """What the run's `NormalizedNetwork.state_dict()` would be; copies."""
        parts = {"normalization": self.normalization, "network": self.network}
        return {f"{p}.{name}": t for p, part in parts.items() for name, t in part.state_of_run(run).items()}

    def load_state_of_run(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Writes a `NormalizedNetwork.state_dict()` into a run; the other runs are left as they are.

        Raises RequestError where it is not of this network or of this normalization.
        """
        for name, part in (("normalization", self.normalization), ("network", self.network)):
            prefix = f"{name}."
            part.load_state_of_run(
                run, {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
            )

    def subset(self, runs: Sequence[int]) -> "StackedModel":
        """A new stack of these runs alone, in this order. Raises RequestError for none, or an unknown one."""
        network = self.network.subset(runs)
        chosen = StackedModel(self.normalization.subset(runs, network.streams), network)
        chosen.training = self.training
        return chosen

    def seed_dropout(self, seeds_B: Sequence[int]) -> None:
        """See `StackedNetwork.seed_dropout`."""
        self.network.seed_dropout(seeds_B)


def stack_models(models: Sequence[NormalizedNetwork]) -> StackedModel:
    """One model of B: the same numbers for each run, whatever the others hold. The models are not changed.

    Raises RequestError where the networks are unlike: one line, with what differs.
    """
    network = stack_networks([model.network for model in models])
    model = StackedModel(
        StackedNormalization([copy.deepcopy(model.normalization) for model in models], network.streams),
        network,
    )
    model.training = models[0].training
    return model
