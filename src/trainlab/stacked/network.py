"""B networks as one: the single network's tree of modules, each layer in its stacked form.

Modules whose forward only chains and adds (nn.Sequential, the architectures of `trainlab.models`) keep their
own, on tensors (B, N, …). Layers become stacked layers by their exact class. Any other module, a user's own,
is called for each run in turn (`LoopOverRuns`).

Legend: B runs of a stack, N images of a batch, C channels, H × W pixels, K classes.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from trainlab.errors import RequestError
from trainlab.models.resnet import Gain, Shortcut
from trainlab.nn.layers import LocallyConnected2d
from trainlab.nn.norm_layers import FeatureNorm
from trainlab.nn.pooling import ConvStride
from trainlab.nn.whitening import PatchWhitening
from trainlab.stacked import layers, norm_layers, run_states
from trainlab.stacked.convolution import StackedConv2d
from trainlab.stacked.leaf import RunStreams, StackedLeaf, StackedTensors, without_memory
from trainlab.stacked.run_loop import LoopOverRuns, call_each_run

WITH_TENSORS: dict[type[nn.Module], Callable[..., StackedLeaf]] = {
    nn.Conv2d: StackedConv2d,
    PatchWhitening: StackedConv2d,
    nn.Linear: layers.StackedLinear,
    LocallyConnected2d: layers.StackedLocallyConnected2d,
    nn.PReLU: layers.StackedPReLU,
    Gain: layers.StackedGain,
    nn.BatchNorm2d: norm_layers.StackedBatchNorm2d,
    nn.GroupNorm: norm_layers.StackedGroupNorm,
    nn.InstanceNorm2d: norm_layers.StackedInstanceNorm2d,
}
"""The stacked form of each layer that has parameters or buffers."""

ELEMENTWISE = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.SELU, nn.CELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.LogSigmoid,
    nn.Softshrink, nn.Hardshrink, nn.Tanhshrink, nn.Threshold, ConvStride,
)  # fmt: skip
MAP_OPERATIONS = (
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d,
)  # fmt: skip

WITHOUT_TENSORS: dict[type[nn.Module], Callable[..., StackedLeaf]] = {
    **dict.fromkeys(ELEMENTWISE, layers.StackedElementwise),
    **dict.fromkeys(MAP_OPERATIONS, layers.StackedMapOperation),
    nn.MaxPool2d: layers.StackedPool,
    nn.AvgPool2d: layers.StackedPool,
    nn.Flatten: layers.StackedFlatten,
    Shortcut: layers.StackedShortcut,
}
"""The stacked form of each layer that has none."""


Order: TypeAlias = Literal["by_layer", "by_run"]
"""by_layer: each layer for all runs, what a GPU is filled with; by_run: each run through all layers, whose
maps stay in a processor's cache."""


class StackedNetwork(nn.Module):
    """B networks as one: the single's names, each tensor (B, …); x_BNCHW (normalized) to logits_BNK.

    `runs`: B. A subset and a run's state can be taken at any time.

    `order`: None is by_run on a CPU, else by_layer. It is by_layer wherever a hook watches a layer, or a
    user's own module is called for each run in turn.
    """

    runs: int
    streams: RunStreams

    def __init__(self, root: nn.Module, single: nn.Module, runs: int, streams: RunStreams) -> None:
        super().__init__()
        self.runs, self.streams = runs, streams
        self.order: Order | None = None
        # past nn.Module: root's children are this module's own, by the same names
        self.__dict__["root"], self.__dict__["single"] = root, single
        self._parameters, self._buffers, self._modules = root._parameters, root._buffers, root._modules
        self._non_persistent_buffers_set = root._non_persistent_buffers_set
        self.training = root.training

    def forward(self, x_BNCHW: Tensor) -> Tensor:
        """Normalized images of each run to its logits (B, N, K)."""
        root: nn.Module = self.__dict__["root"]
        root.training = self.training
        if self.order_on(x_BNCHW.device) == "by_layer":
            return root(x_BNCHW)
        single: nn.Module = self.__dict__["single"]
        for module, stacked in zip(single.modules(), (root, *list(self.modules())[1:]), strict=True):
            module.training = stacked.training
        return call_each_run([single] * self.runs, self, x_BNCHW, self.streams)

    def order_on(self, device: torch.device) -> Order:
        """The order in which layers and runs are computed there, as things are."""
        order = self.order or ("by_run" if device.type == "cpu" else "by_layer")
        inner = [*self.modules()][1:]
        if order == "by_run" and (self.has_looped_modules or any(map(has_hooks, inner))):
            return "by_layer"
        return order

    def state_of_run(self, run: int) -> dict[str, Tensor]:
        """What the single network's `state_dict()` would be; copies."""
        return run_states.state_of_run(self, run)

    def load_state_of_run(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Writes a single network's `state_dict()` into a run. Raises RequestError where it is of another."""
        run_states.load_state_of_run(self, run, state)

    def subset(self, runs: Sequence[int]) -> "StackedNetwork":
        """A new stack of these runs alone, in this order. Raises RequestError for none, or an unknown one."""
        streams = self.streams.subset(runs)
        chosen = run_states.subset_of_runs(self, runs, streams)
        chosen.runs = len(runs)
        root = chosen.__dict__["root"]
        if isinstance(root, StackedLeaf):
            root.keep_runs(runs)
        return chosen

    def seed_dropout(self, seeds_B: Sequence[int]) -> None:
        """Starts each run's random stream, as a single run does by `torch.manual_seed(seed)` at an epoch.

        Raises RequestError for another number of seeds than runs.
        """
        if len(seeds_B) != self.runs:
            raise RequestError(f"seeds of dropout: got {len(seeds_B)}, expected {self.runs}")
        self.streams.seed(seeds_B, next(self.parameters()).device)

    def random_state_of_run(self, run: int) -> Tensor | None:
        """Where the run's stream is: on a CPU a single run's `torch.get_rng_state()`; None: not started."""
        return self.streams.state_of_run(run)

    def load_random_state_of_run(self, run: int, state: Tensor) -> None:
        """The run's stream goes on from `random_state_of_run` of the same kind of device."""
        self.streams.load_state_of_run(run, state, next(self.parameters()).device)

    @property
    def has_dropout(self) -> bool:
        """Whether its runs draw random numbers in a training step."""
        return any(isinstance(module, layers.StackedDropout) for module in self.modules())

    @property
    def has_looped_modules(self) -> bool:
        """Whether a module is called for each run in turn: a user's own, which nothing is known of."""
        root = self.__dict__["root"]
        return any(isinstance(module, LoopOverRuns) for module in (root, *self.modules()))


def stack_networks(networks: Sequence[nn.Module]) -> StackedNetwork:
    """One network of B, each with its own numbers, whatever the others hold. The networks are not changed.

    Raises RequestError where they are unlike: one line, with what differs.
    """
    require_alike(networks)
    streams = RunStreams(len(networks))
    root = _Stacking(streams).stacked(networks)
    return StackedNetwork(root, without_memory(networks[0]), len(networks), streams)


class _Stacking:
    """One pass over the trees of B networks; what occurs twice in a network occurs twice in the stack."""

    def __init__(self, streams: RunStreams) -> None:
        self.streams, self.tensors = streams, StackedTensors()
        self.made: dict[tuple[int, ...], nn.Module] = {}

    def stacked(self, singles: Sequence[nn.Module]) -> nn.Module:
        key = tuple(map(id, singles))
        if key not in self.made:
            self.made[key] = self._made(singles)
        return self.made[key]

    def _made(self, singles: Sequence[nn.Module]) -> nn.Module:
        kind = type(singles[0])
        if not all(map(_is_plain, singles)):
            return LoopOverRuns(singles, self.tensors, self.streams)
        if kind in WITH_TENSORS:
            return WITH_TENSORS[kind](singles, self.tensors)
        if kind in WITHOUT_TENSORS:
            return WITHOUT_TENSORS[kind](singles)
        if kind is nn.Dropout:
            return layers.StackedDropout(singles, self.streams)
        if kind is FeatureNorm:
            inner = self.stacked([single.get_submodule("layer") for single in singles])
            return norm_layers.StackedFeatureNorm(singles, inner)
        if _keeps_its_forward(kind):
            return self._composite(singles)
        return LoopOverRuns(singles, self.tensors, self.streams)

    def _composite(self, singles: Sequence[nn.Module]) -> nn.Module:
        mirrored = copy.copy(singles[0])
        mirrored._modules = {
            name: None if child is None else self.stacked([single.get_submodule(name) for single in singles])
            for name, child in singles[0]._modules.items()
        }
        return mirrored


def _keeps_its_forward(kind: type[nn.Module]) -> bool:
    """Whether a module's own forward is right for tensors (B, N, …): it only chains and adds."""
    chains = kind.forward is nn.Sequential.forward and kind.__call__ is nn.Module.__call__
    return chains or kind.__module__.startswith("trainlab.models.")


def _is_plain(module: nn.Module) -> bool:
    """Whether a module is what its class says: no hooks, no forward or tensors of its own."""
    return not has_hooks(module) and "forward" not in module.__dict__


def has_hooks(module: nn.Module) -> bool:
    """Whether something is called when the module is."""
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )


def require_alike(networks: Sequence[nn.Module]) -> None:
    """Raise RequestError in one line where networks differ in more than the values of their tensors."""
    if not networks:
        raise RequestError("a stack of networks: got none, expected one at least")
    for features in (_shapes, _kinds, _settings):
        expected = features(networks[0])
        for run, network in enumerate(networks[1:], start=1):
            got = features(network)
            for feature in [*expected, *got]:
                ours, theirs = expected.get(feature, "missing"), got.get(feature, "missing")
                if ours != theirs:
                    raise RequestError(
                        f"a stack of unlike networks: {feature} is {ours} in run 0, {theirs} in run {run}"
                    )


def _shapes(network: nn.Module) -> dict[str, str]:
    return {name: "×".join(map(str, tensor.shape)) or "one number" for name, tensor in _tensors(network)}


def _kinds(network: nn.Module) -> dict[str, str]:
    return {
        name: f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}, "
        f"{'trained' if tensor.requires_grad else 'fixed'}"
        for name, tensor in _tensors(network)
    }


def _settings(network: nn.Module) -> dict[str, str]:
    settings = {}
    for name, module in network.named_modules(remove_duplicate=False):
        kind = type(module).__name__
        settings[name or "the network"] = kind if module._modules else f"{kind}({module.extra_repr()})"
        settings[f"the mode of {name or 'the network'}"] = "training" if module.training else "evaluation"
    return settings


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters(remove_duplicate=False)
    yield from network.named_buffers(remove_duplicate=False)
