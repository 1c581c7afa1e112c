"""Listening to a network's modules by hooks of the process: the modules themselves carry none.

A hook on a module would be pickled, saved and copied with it. Hooks that torch calls for every module are
kept apart from all of them, and cost nothing once they are removed.
"""

import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from trainlab.doctor.label_sample import thinned_pixels
from trainlab.doctor.packed_tensors import main_output, tensors_in
from trainlab.doctor.parameter_facts import fingerprint
from trainlab.nn.layers import weight_layers
from trainlab.signals.capture import Capture, Inputs, LayerCapture, ModuleHooks
from trainlab.signals.run_dimension import OneRun
from trainlab.signals.weak_hooks import hook_weakly

Handlers: TypeAlias = dict[int, list[Callable[..., None]]]

OnFault: TypeAlias = Callable[[Exception], None]
"""Takes what went wrong in a hook, so that it does not reach the loop."""

Spending: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Counts the time of a block."""


class ProcessHooks(ModuleHooks):
    """Calls functions before and after modules of one network, by two hooks of the process.

    What is asked for the network itself is called for each outermost module of it that has parameters: a loop
    may call the network by its parts, as a LightningModule's `training_step` does.
    """

    def __init__(self, network: nn.Module, on_fault: OnFault, spending: Spending) -> None:
        super().__init__()
        self._network, self._on_fault, self._spending = network, on_fault, spending
        self._parts = parts_of(network)
        self._inside: list[int] = []
        self._before: Handlers = {}
        self._after: Handlers = {}
        self._handles = [
            hook_weakly(register_module_forward_pre_hook, self.enter),
            hook_weakly(register_module_forward_hook, self._leave),
        ]

    def before(self, module: nn.Module, function: Callable[..., None]) -> None:
        """Calls function(module, inputs) before each call of `module`."""
        self._before.setdefault(id(module), []).append(function)

    def after(self, module: nn.Module, function: Callable[..., None]) -> None:
        """Calls function(module, inputs, output) after each call of `module`."""
        self._after.setdefault(id(module), []).append(function)

    def remove(self) -> None:
        """Nothing is called any more."""
        super().remove()
        self._before, self._after = {}, {}

    def enter(self, module: nn.Module, inputs: Inputs) -> None:
        """A module of the process is called."""
        if torch.compiler.is_compiling():
            return
        with self._spending():
            try:
                self._before_call(module, inputs)
            except Exception as error:
                self._on_fault(error)

    def _leave(self, module: nn.Module, inputs: Inputs, output: object) -> None:
        if torch.compiler.is_compiling():
            return
        with self._spending():
            try:
                self._after_call(module, inputs, output)
            except Exception as error:
                self._on_fault(error)

    def _before_call(self, module: nn.Module, inputs: Inputs) -> None:
        key, network = id(module), id(self._network)
        if module is self._network:  # whatever an earlier call left, which may have raised
            self._inside.clear()
        if key in self._parts:
            if not self._inside:
                self._call(self._before, network, self._network, inputs)
            self._inside.append(key)
        if key != network:
            self._call(self._before, key, module, inputs)

    def _after_call(self, module: nn.Module, inputs: Inputs, output: object) -> None:
        key, network = id(module), id(self._network)
        if key != network:
            self._call(self._after, key, module, inputs, output)
        if key in self._inside:
            while self._inside.pop() != key:
                pass
            if not self._inside:
                self._call(self._after, network, self._network, inputs, output)

    @staticmethod
    def _call(handlers: Handlers, key: int, *arguments: object) -> None:
        for handler in handlers.get(key, ()):
            handler(*arguments)


def parts_of(network: nn.Module) -> set[int]:
    """The ids of the modules that have parameters."""
    return {id(module) for module in network.modules() if next(module.parameters(), None) is not None}


class FirstCall:
    """Waits for the first call of a network, or of a part of it, with gradients: then calls
    `on_call(module, inputs)`, once. The network is held weakly, and torch holds this object weakly: while it
    waits, nothing keeps the network or the watch alive.

    A network that turns out to be compiled (`on_compiled`) is not listened to: hooks would be compiled too.
    """

    def __init__(
        self,
        network: nn.Module,
        on_call: Callable[[nn.Module, Inputs], None],
        on_compiled: Callable[[], None],
    ) -> None:
        self._network, self._parts = weakref.ref(network), parts_of(network)
        self._on_call, self._on_compiled = on_call, on_compiled
        self._handle = hook_weakly(register_module_forward_pre_hook, self._enter)

    def remove(self) -> None:
        """Waits no more."""
        self._handle.remove()

    def _enter(self, module: nn.Module, inputs: Inputs) -> None:
        if torch.compiler.is_compiling() or not torch.is_grad_enabled():
            return
        if id(vars(module)["_modules"].get("_orig_mod")) in self._parts:
            self.remove()
            self._on_compiled()
        elif id(module) in self._parts and self._network() is not None:
            self.remove()
            self._on_call(module, inputs)


class LoopCapture(Capture):
    """A forward pass in a loop of somebody else's: what leaves the network last before the backward pass
    counts as its output, whatever it is packed into.

    `closed` by the beginning of the backward pass; then nothing is captured any more.
    """

    closed = False
    batch: Tensor | None = None
    """A print of what entered first."""
    batch_size: int | None = None
    _last: tuple[Inputs, object] | None = None

    @property
    def is_open(self) -> bool:
        """Until the backward pass begins."""
        return not self.closed

    @property
    def was_called(self) -> bool:
        """Whether the network, or a part of it, was called with gradients."""
        return self._last is not None

    def enter(self, module: nn.Module, inputs: Inputs) -> None:
        """The call in which listening began."""
        if isinstance(self.hooks, ProcessHooks):
            self.hooks.enter(module, inputs)

    def close(self) -> None:
        """The backward pass begins: the last output is the network's."""
        if self.closed:
            return
        self.closed = True
        if self._last is not None:
            inputs, output = self._last
            with torch.no_grad():
                super()._after_network(self.network, inputs, main_output(output))

    def _before_network(self, network: nn.Module, inputs: Inputs) -> None:
        if self._last is None:
            super()._before_network(network, inputs)
            if (first := next(tensors_in(inputs), None)) is not None and first.dim():
                self.batch, self.batch_size = fingerprint(first), len(first)
        self.unregistered.inside = True

    def _after_network(self, network: nn.Module, inputs: Inputs, output: object) -> None:
        self.unregistered.inside = False
        if any(tensor.requires_grad for tensor in tensors_in(output)):
            self._last = inputs, output

    def _take_features(self, x: Tensor) -> None:
        """Pixels alone: what they say of the labels is worked out once, of the batches of several steps."""
        self.features_ND = thinned_pixels(x)

    def _watch_left_over(self) -> None:
        """`parameter_facts` says exactly what an earlier step has left."""
        self.left_over = None


class NoHooks(ModuleHooks):
    """Calls nothing: of a compiled network, whose modules run as one."""

    def before(self, module: nn.Module, function: Callable[..., None]) -> None:
        """Never calls `function`."""

    def after(self, module: nn.Module, function: Callable[..., None]) -> None:
        """Never calls `function`."""


def listen_to(
    network: nn.Module, is_wanted: Callable[[str], bool], on_fault: OnFault, spending: Spending
) -> LoopCapture:
    """Listens to the network's modules from now on."""
    return LoopCapture(network, OneRun(), ProcessHooks(network, on_fault, spending), is_wanted)


def weights_only(network: nn.Module, is_wanted: Callable[[str], bool]) -> LoopCapture:
    """Of a network that is compiled: its weight layers, in the order in which they are registered."""
    capture = LoopCapture(network, OneRun(), NoHooks(), is_wanted)
    capture.unregistered.remove()
    capture.layers = [
        LayerCapture(name, layer, capture.runs)
        for name, layer in weight_layers(network)
        if is_wanted(name or "network")
    ]
    return capture
