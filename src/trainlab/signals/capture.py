"""What one training step's own forward and backward pass show of each layer, taken by hooks.

Hooks read and copy: they draw no random numbers, and what flows through the network is unchanged.

Legend: N images, P positions, F units, K classes; z pre-activations, a activations.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from trainlab.nn.layers import is_activation, weight_layers
from trainlab.signals import label_probe, quantities, wiring
from trainlab.signals.tensor_sampling import sample_NPF, to_wide

Inputs: TypeAlias = tuple[Tensor, ...]
"""The positional arguments of a module's forward."""

SAMPLED_IMAGES, SAMPLED_VALUES = 32, 4096
"""Images of the batch, and about how many values of a tensor, that statistics are taken from."""

INPUT_OBSERVATIONS = 16384
"""About how many (image, position) pairs the input's statistics are taken from: whole images, if small."""

DEAD_IMAGES, DEAD_OBSERVATIONS = 128, 2048
"""Images and (image, position) pairs that a unit must be constant over to be called dead."""


@dataclass
class TensorTap:
    """A tensor of a layer, and its gradient once it was computed: a sample of each, and the true size."""

    features_last: bool
    x_NPF: Tensor
    values: int
    grad_NPF: Tensor | None = None

    @classmethod
    def attach(cls, x: Tensor, features_last: bool) -> "TensorTap":
        """Samples x now, and its gradient in the backward pass."""
        tap = cls(features_last, _wide_sample(x.detach(), features_last), x.numel())
        if x.requires_grad:
            x.register_hook(tap._take_gradient)
        return tap

    def _take_gradient(self, grad: Tensor) -> None:
        self.grad_NPF = _wide_sample(grad.detach(), self.features_last)


def _wide_sample(x: Tensor, features_last: bool) -> Tensor:
    units = x.shape[-1 if features_last or x.dim() < 3 else 1]
    return to_wide(sample_NPF(x, features_last, SAMPLED_IMAGES, SAMPLED_VALUES // max(1, units)))


@dataclass
class LayerCapture:
    """What was captured of one weight layer; `activation` is the module that follows, if one does."""

    name: str
    layer: nn.Module
    activation: nn.Module | None = None
    z: TensorTap | None = None
    a: TensorTap | None = None
    dead: Tensor | None = None

    @property
    def weight(self) -> Tensor:
        """The layer's weight, as it is now."""
        return self.layer.get_parameter("weight")

    @property
    def features_last(self) -> bool:
        """Whether units are a tensor's last axis (a dense layer's), not its second (a convolution's)."""
        return self.weight.dim() == 2

    def capture_preactivation(self, z: Tensor) -> None:
        """What enters the activation; of a layer without one, its output."""
        self.z = TensorTap.attach(z, self.features_last)

    def capture_activation(self, a: Tensor) -> None:
        """What leaves the activation."""
        self.a = TensorTap.attach(a, self.features_last)
        many_NPF = sample_NPF(a.detach(), self.features_last, DEAD_IMAGES, DEAD_OBSERVATIONS)
        self.dead = quantities.dead_fraction(many_NPF)


@dataclass
class OutputCapture:
    """The network's logits and the gradient by them; of a dense output layer also the layer and its input."""

    logits_NK: Tensor
    layer: nn.Linear | None = None
    a_NF: Tensor | None = None
    grad_NK: Tensor | None = None

    def take_gradient(self, grad_NK: Tensor) -> None:
        """The gradient of the loss by the logits."""
        self.grad_NK = grad_NK.detach()


@dataclass
class Capture:
    """Hooks on `network` for one forward pass, and what they captured: `layers` in forward order, both ends.

    An activation belongs to the weight layer that ran last before it. Of a layer that runs several times the
    first time counts, and of several forward passes the first.
    """

    network: nn.Module
    layers: list[LayerCapture] = field(default_factory=list)
    output: OutputCapture | None = None
    input_NPC: Tensor | None = None
    features_ND: Tensor | None = None
    images: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unregistered = wiring.UnregisteredLayers(self.network)
        self.left_over: wiring.LeftOverGradient | None = None
        self._waiting: tuple[LayerCapture, Tensor, Tensor] | None = None  # for an activation: input, output
        self._inside: dict[nn.Module, LayerCapture] = {}
        self._handles: list[RemovableHandle] = []
        for name, layer in weight_layers(self.network):
            self._hook(layer.register_forward_hook, partial(self._after_layer, name or "network"))
        for name, module in self.network.named_modules():
            if is_activation(name, module):
                self._hook(module.register_forward_pre_hook, self._before_activation)
                self._hook(module.register_forward_hook, self._after_activation)
        self._hook(self.network.register_forward_pre_hook, self._before_network)
        self._hook(self.network.register_forward_hook, self._after_network)

    def remove(self) -> None:
        """Takes the hooks off the modules; what was captured stays."""
        self.unregistered.remove()
        if self.left_over is not None:
            self.left_over.remove()
        while self._handles:
            self._handles.pop().remove()

    def _hook(
        self, register: Callable[[Callable[..., None]], RemovableHandle], capture: Callable[..., None]
    ) -> None:
        """Calls `capture` in the first forward pass with gradients."""

        def hook(*arguments: object) -> None:
            if self.output is None and torch.is_grad_enabled():
                with torch.no_grad():
                    capture(*arguments)

        self._handles.append(register(hook))

    def _after_layer(self, name: str, layer: nn.Module, inputs: Inputs, output: object) -> None:
        self._settle()
        if isinstance(output, Tensor) and all(name != captured.name for captured in self.layers):
            self.layers.append(LayerCapture(name, layer))
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
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point():
            self.input_NPC = to_wide(
                sample_NPF(inputs[0].detach(), False, SAMPLED_IMAGES, INPUT_OBSERVATIONS)
            )
            self.images = wiring.neighbour_correlations(inputs[0], SAMPLED_IMAGES)
            if len(inputs[0]) >= label_probe.FEWEST_IMAGES:
                self.features_ND = label_probe.pixel_features(inputs[0])

    def _after_network(self, network: nn.Module, inputs: Inputs, output: object) -> None:
        waiting = self._waiting
        self._settle()
        self.unregistered.inside = False
        self._watch_left_over()
        if not isinstance(output, Tensor) or output.dim() != 2:
            return
        self.output = OutputCapture(output.detach())
        if output.requires_grad:
            output.register_hook(self.output.take_gradient)
        if waiting is not None and waiting[2] is output and isinstance(waiting[0].layer, nn.Linear):
            self.output.layer, self.output.a_NF = waiting[0].layer, waiting[1].detach()

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
