"""What one training step's own forward and backward pass show of each layer, taken by hooks.

Hooks read and copy: they draw no random numbers, and what flows through the network is unchanged.

Legend: N images, P positions, F units, K classes; z pre-activations, a activations. In a stack of runs every
tensor has the run dimension B before these.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trainlab.nn.layers import is_activation, is_weight_layer
from trainlab.signals import label_probe, quantities, wiring
from trainlab.signals.rows import Conditional
from trainlab.signals.run_dimension import OneRun
from trainlab.signals.tensor_sampling import sample_NPF, to_wide

Inputs: TypeAlias = tuple[Tensor, ...]
"""The positional arguments of a module's forward."""

Sample: TypeAlias = Callable[[Tensor], Tensor]
"""Takes from a tensor what is looked at."""

SAMPLED_IMAGES, SAMPLED_VALUES = 32, 4096
"""Images of the batch, and about how many values of a tensor, that statistics are taken from."""

INPUT_OBSERVATIONS = 16384
"""About how many (image, position) pairs the input's statistics are taken from: whole images, if small."""

DEAD_IMAGES, DEAD_OBSERVATIONS = 128, 2048
"""Images and (image, position) pairs that a unit must be constant over to be called dead."""


@dataclass
class TensorTap:
    """A tensor of a layer, and its gradient once it was computed: a sample of each, and the true size."""

    sample: Sample
    x_NPF: Float[Tensor, "*B N P F"]
    values: int
    grad_NPF: Float[Tensor, "*B N P F"] | None = None

    @classmethod
    def attach(cls, x: Tensor, sample: Sample, values: int) -> "TensorTap":
        """Samples x now, and its gradient in the backward pass; `values`: how many a run has of it."""
        tap = cls(sample, sample(x.detach()), values)
        if x.requires_grad:
            x.register_hook(tap._take_gradient)
        return tap

    def _take_gradient(self, grad: Tensor) -> None:
        self.grad_NPF = self.sample(grad.detach())


def _wide_sample(x: Shaped[Tensor, "..."], *, features_last: bool) -> Float[Tensor, "N P F"]:
    units = x.shape[-1 if features_last or x.dim() < 3 else 1]
    return to_wide(sample_NPF(x, features_last, SAMPLED_IMAGES, SAMPLED_VALUES // max(1, units)))


def _dead_fraction(a: Shaped[Tensor, "..."], *, features_last: bool) -> quantities.Scalar:
    return quantities.dead_fraction(sample_NPF(a, features_last, DEAD_IMAGES, DEAD_OBSERVATIONS))


def _wide_input(x: Shaped[Tensor, "..."]) -> Float[Tensor, "N P C"]:
    return to_wide(sample_NPF(x, False, SAMPLED_IMAGES, INPUT_OBSERVATIONS))


def _is_batch(inputs: Inputs, runs: OneRun) -> bool:
    """Whether a module was given images, or vectors, of numbers."""
    if not inputs or not isinstance(inputs[0], Tensor):
        return False
    return inputs[0].is_floating_point() and inputs[0].dim() > runs.dims + 1


@dataclass
class LayerCapture:
    """What was captured of one weight layer; `activation` is the module that follows, if one does."""

    name: str
    layer: nn.Module
    runs: OneRun
    activation: nn.Module | None = None
    z: TensorTap | None = None
    a: TensorTap | None = None
    dead: Float[Tensor, "*B"] | None = None

    @property
    def weight(self) -> Tensor:
        """The layer's weight, as it is now."""
        return self.layer.get_parameter("weight")

    @property
    def template(self) -> nn.Module:
        """The layer as it is in a single run."""
        return self.runs.template(self.layer)

    @property
    def features_last(self) -> bool:
        """Whether units are a tensor's last axis (a dense layer's), not its second (a convolution's)."""
        return self.weight.dim() - self.runs.dims == 2

    def capture_preactivation(self, z: Tensor) -> None:
        """What enters the activation; of a layer without one, its output."""
        self.z = self._tap(z)

    def capture_activation(self, a: Tensor) -> None:
        """What leaves the activation."""
        self.a = self._tap(a)
        dead_fraction = partial(_dead_fraction, features_last=self.features_last)
        self.dead = self.runs.each(dead_fraction)(a.detach())

    def _tap(self, x: Tensor) -> TensorTap:
        sample = self.runs.each(partial(_wide_sample, features_last=self.features_last))
        return TensorTap.attach(x, sample, x.numel() // self.runs.count)


@dataclass
class OutputCapture:
    """The network's logits and the gradient by them; of a dense output layer also the layer and its input."""

    logits_NK: Shaped[Tensor, "*B N K"]
    layer: nn.Linear | None = None
    a_NF: Float[Tensor, "*B N F"] | None = None
    grad_NK: Float[Tensor, "*B N K"] | None = None

    def take_gradient(self, grad_NK: Float[Tensor, "*B N K"]) -> None:
        """The gradient of the loss by the logits."""
        self.grad_NK = grad_NK.detach()


def every_layer(name: str) -> bool:
    """All layers are wanted, whatever they are called."""
    return True


class ModuleHooks:
    """Calls functions before and after modules, by hooks on the modules themselves."""

    def __init__(self) -> None:
        self._handles: list[RemovableHandle] = []

    def before(self, module: nn.Module, function: Callable[..., None]) -> None:
        """Calls function(module, inputs) before each call of `module`."""
        self._handles.append(module.register_forward_pre_hook(function))

    def after(self, module: nn.Module, function: Callable[..., None]) -> None:
        """Calls function(module, inputs, output) after each call of `module`."""
        self._handles.append(module.register_forward_hook(function))

    def remove(self) -> None:
        """Nothing is called any more."""
        while self._handles:
            self._handles.pop().remove()


@dataclass
class Capture:
    """Hooks on `network` for one forward pass, and what they captured: `layers` in forward order, both ends.

    `runs` says whether the network is that of one run or a stack; `hooks` how it is listened to. Of the
    layers those are captured that `is_wanted` by their names.

    An activation belongs to the weight layer that ran last before it. Of a layer that runs several times the
    first time counts, and of several forward passes the first.
    """

    network: nn.Module
    runs: OneRun
    hooks: ModuleHooks = field(default_factory=ModuleHooks)
    is_wanted: Callable[[str], bool] = every_layer
    layers: list[LayerCapture] = field(default_factory=list)
    output: OutputCapture | None = None
    input_NPC: Float[Tensor, "*B N P C"] | None = None
    features_ND: Float[Tensor, "*B N D"] | None = None
    images: Mapping[str, Conditional] = field(default_factory=dict)

    def __post_init__(self) -> None:
        template_of, own = self.runs.template, list(self.network.modules())
        modules = [(name, module, template_of(module)) for name, module in self.network.named_modules()]
        inside = [part for module in own for part in self.runs.called_inside(module)]
        self.unregistered = wiring.UnregisteredLayers([*own, *inside])
        self.left_over: wiring.LeftOverGradient | None = None
        self._waiting: tuple[LayerCapture, Tensor, Tensor] | None = None  # for an activation: input, output
        self._inside: dict[nn.Module, LayerCapture] = {}
        for name, layer, template in modules:
            if is_weight_layer(template):
                self.hooks.after(layer, self._while_open(partial(self._after_layer, name or "network")))
        for name, module, template in modules:
            if is_activation(name, template):
                self.hooks.before(module, self._while_open(self._before_activation))
                self.hooks.after(module, self._while_open(self._after_activation))
        self.hooks.before(self.network, self._while_open(self._before_network))
        self.hooks.after(self.network, self._while_open(self._after_network))

    @property
    def is_open(self) -> bool:
        """Whether what is called now belongs to the forward pass that is captured."""
        return self.output is None

    def remove(self) -> None:
        """Takes the hooks off the modules; what was captured stays."""
        self.unregistered.remove()
        if self.left_over is not None:
            self.left_over.remove()
        self.hooks.remove()

    def _while_open(self, capture: Callable[..., None]) -> Callable[..., None]:
        """`capture` in the first forward pass with gradients, nothing in others."""

        def hook(*arguments: object) -> None:
            if self.is_open and torch.is_grad_enabled():
                with torch.no_grad():
                    capture(*arguments)

        return hook

    def _after_layer(self, name: str, layer: nn.Module, inputs: Inputs, output: object) -> None:
        self._settle()
        if not isinstance(output, Tensor) or not inputs or not self.is_wanted(name):
            return
        if all(name != captured.name for captured in self.layers):
            self.layers.append(LayerCapture(name, layer, self.runs))
            self._waiting = self.layers[-1], inputs[0], output

    def _before_activation(self, module: nn.Module, inputs: Inputs) -> None:
        if self._waiting is not None:
            captured, _, _ = self._waiting
            self._waiting = None
            captured.activation = module
            captured.capture_preactivation(inputs[0])
            self._inside[module] = captured

    def _after_activation(self, module: nn.Module, inputs: Inputs, output: object) -> None:
        captured = self._inside.pop(module, None)
        if captured is not None and isinstance(output, Tensor):
            captured.capture_activation(output)

    def _before_network(self, network: nn.Module, inputs: Inputs) -> None:
        self.unregistered.inside = True
        if _is_batch(inputs, self.runs):
            x, each = inputs[0].detach(), self.runs.each
            self.input_NPC = each(_wide_input)(x)
            self.images = each(partial(wiring.neighbour_correlations, images=SAMPLED_IMAGES))(x)
            if x.shape[self.runs.dims] >= label_probe.FEWEST_IMAGES:
                self._take_features(x)

    def _take_features(self, x: Tensor) -> None:
        self.features_ND = self.runs.each(label_probe.pixel_features)(x)

    def _after_network(self, network: nn.Module, inputs: Inputs, output: object) -> None:
        waiting = self._waiting
        self._settle()
        self.unregistered.inside = False
        self._watch_left_over()
        if not isinstance(output, Tensor) or output.dim() - self.runs.dims != 2:
            return
        self.output = OutputCapture(output.detach())
        if output.requires_grad:
            output.register_hook(self.output.take_gradient)
        if waiting is not None and waiting[2] is output:
            captured, a_NF, _ = waiting
            if isinstance(template := captured.template, nn.Linear):
                self.output.layer, self.output.a_NF = template, a_NF.detach()

    def _watch_left_over(self) -> None:
        """Of the last layer that trains; processes that share their gradients change them on the way."""
        shared = torch.distributed.is_available() and torch.distributed.is_initialized()
        trained = [
            captured.weight
            for captured in self.layers
            if captured.weight.requires_grad and captured.weight.is_leaf
        ]
        if trained and not shared:
            self.left_over = wiring.LeftOverGradient(trained[-1])

    def _settle(self) -> None:
        """The layer that waited has no activation: its pre-activation is its output."""
        if self._waiting is not None:
            captured, _, output = self._waiting
            self._waiting = None
            captured.capture_preactivation(output)
