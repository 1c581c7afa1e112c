"""One training step becomes rows (layer, quantity, value), from the step's own forward and backward pass."""

from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from trainlab.signals import label_probe, quantities, wiring
from trainlab.signals.capture import Capture, LayerCapture
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.quantities import FlatTails, TailsOfRuns, flat_tails
from trainlab.signals.rows import Conditional, LayerQuantities, Row, Value, read_rows
from trainlab.signals.run_dimension import OneRun
from trainlab.signals.step_quantities import (
    gradient_quantities,
    input_quantities,
    signal_quantities,
    weight_quantities,
    wiring_quantities,
)
from trainlab.signals.tensor_sampling import to_wide

ToldLabels: TypeAlias = tuple[Int[Tensor, "*B N_probed"], Bool[Tensor, "*B"] | None]
"""y_N that a gradient tells, and for which runs it does (None: for all)."""


@dataclass(frozen=True)
class Measurement:
    """The rows of one step, and the sampled pre-activations (N, P, F) of each layer, on their device."""

    rows: list[Row]
    preactivations: dict[str, Float[Tensor, "N P F"]]


@dataclass
class _BeforeUpdate:
    """Weights and weight gradients of each layer, between the backward pass and the update."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    layers: dict[str, dict[str, Value]] = field(default_factory=dict)
    network: dict[str, Value] = field(default_factory=dict)
    grad_scale: float = 1.0


class StepRecorder(ABC):
    """What the recorders of one run and of a stack of runs share: all but how rows are read at the end."""

    def __init__(self, network: nn.Module, runs: OneRun) -> None:
        self.network, self._runs = network, runs
        self._capture: Capture | None = None
        self._before: _BeforeUpdate | None = None

    def start(self) -> None:
        """The next forward pass with gradients is measured, with the backward pass that belongs to it."""
        self.cancel()
        self._capture = self._new_capture()

    def _new_capture(self) -> Capture:
        return Capture(self.network, self._runs)

    @torch.no_grad()
    def before_update(self, grad_scale: float = 1.0) -> None:
        """Reads weights and their gradients, before clipping and the optimizer change them.

        With a gradient scaler the weights' gradients are unscaled by now, and `grad_scale` is the factor that
        the activations' still have.
        """
        if self._capture is None:
            return
        self._capture.remove()
        self._before = before = _BeforeUpdate(grad_scale=grad_scale)
        for captured in self._capture.layers:
            before.weights[captured.name] = captured.weight.detach().clone()
            before.layers[captured.name] = weight_quantities(captured)
        left_over = self._capture.left_over
        if left_over is not None and (gradients := left_over.gradients()) is not None:
            share = self._runs.each(wiring.left_over_share)(*gradients)
            before.network["gradient_left_over"] = share

    def cancel(self) -> None:
        """Drops a measurement that was started, hooks and all."""
        if self._capture is not None:
            self._capture.remove()
        self._capture = self._before = None

    @torch.no_grad()
    def _finish(self, loss: Tensor | None) -> list[Measurement]:
        """The step of each run."""
        capture, before = self._capture, self._before
        self.cancel()
        if capture is None:
            return [Measurement([], {}) for _ in range(self._runs.count)]
        values: LayerQuantities = {}
        for captured in capture.layers:
            of_layer = self._layer_quantities(captured, before)
            values |= {(captured.name, quantity): value for quantity, value in of_layer.items()}
        of_network = self._network_quantities(capture, before, loss)
        values |= {(NETWORK, quantity): value for quantity, value in of_network.items()}
        rows = read_rows(values, self._runs)
        preactivations = self._preactivations(capture)
        return [Measurement(*of_run) for of_run in zip(rows, preactivations, strict=True)]

    def _layer_quantities(self, captured: LayerCapture, before: _BeforeUpdate | None) -> dict[str, Value]:
        tails = self._flat_tails(captured)
        values = signal_quantities(captured, tails, before.grad_scale if before else 1.0)
        if before is None:
            return values | weight_quantities(captured)
        ratio = self._runs.each(quantities.update_ratio)(
            before.weights[captured.name], captured.weight.detach()
        )
        return values | before.layers[captured.name] | {"update_ratio": ratio}

    def _network_quantities(
        self, capture: Capture, before: _BeforeUpdate | None, loss: Tensor | None
    ) -> dict[str, Value]:
        values: dict[str, Value] = {}
        scale = before.grad_scale if before else 1.0
        if loss is not None:
            values["loss"] = to_wide(loss.detach())
        if capture.input_NPC is not None:
            values |= self._runs.each(input_quantities)(capture.input_NPC)
        if capture.output is not None:
            values |= gradient_quantities(capture, capture.output, scale)
        values |= {**wiring_quantities(capture), **self._label_quantities(capture, scale)}
        if len(capture.unregistered):
            values["unregistered_layers"] = float(len(capture.unregistered))
        return values | (before.network if before else {})

    def _label_quantities(self, capture: Capture, scale: float) -> dict[str, Value]:
        """Whether the batch's labels follow from its images, where the loss is a cross-entropy."""
        output, x_ND, images = capture.output, capture.features_ND, self._runs.dims
        if output is None or output.grad_NK is None or x_ND is None:
            return {}
        if output.grad_NK.shape[images] < x_ND.shape[images]:
            return {}
        labels = self._labels(output.grad_NK / scale, output.logits_NK)
        if labels is None:
            return {}
        y_N, are_told = labels
        probe = partial(label_probe.probe_labels, classes=output.logits_NK.shape[-1])
        right, permuted = self._runs.each(probe)(x_ND, y_N)
        count = torch.full_like(right, x_ND.shape[images])
        values = {"probe_images": count, "probe_accuracy": right, "probe_permuted": permuted}
        return {
            name: value if are_told is None else Conditional(value, are_told)
            for name, value in values.items()
        }

    @abstractmethod
    def _labels(
        self, grad_NK: Float[Tensor, "*B N K"], logits_NK: Float[Tensor, "*B N K"]
    ) -> ToldLabels | None:
        """The labels that the gradient tells; None where for no run."""

    @abstractmethod
    def _flat_tails(self, captured: LayerCapture) -> FlatTails | TailsOfRuns | None:
        """Those of the activation that follows the layer."""

    @abstractmethod
    def _preactivations(self, capture: Capture) -> list[dict[str, Tensor]]:
        """Of each run, the sample of each layer's."""


class SignalRecorder(StepRecorder):
    """Measures single steps of a network's training: see `catalogue` for what.

        recorder.start()
        loss = loss_function(network(x_NCHW), y_N)
        loss.backward()
        recorder.before_update()        # leave out where there is no optimizer
        optimizer.step()
        rows = recorder.finish(loss).rows

    The step is the training's own: no further pass, no random number, no statistics touched; the loss curve
    is the same to the bit. Between steps the network carries no hooks. Statistics of z and a, their
    gradients, saturation and correlation come from up to 32 images of the batch and about 4,096 values of a
    layer; those of the input from whole images, where they are small; dead units from up to 128 images and
    2,048 observations of each unit; the other quantities from all there is. Numbers stay on the
    device until `finish`, which reads them at once. A measured step holds a second copy of the weights.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, OneRun())
        self._tails: MutableMapping[nn.Module, FlatTails | None] = {}

    def finish(self, loss: Tensor | None = None) -> Measurement:
        """The rows of the step; the hooks are gone. Empty where there was no forward pass."""
        (measured,) = self._finish(loss)
        return measured

    def _labels(
        self, grad_NK: Float[Tensor, "*B N K"], logits_NK: Float[Tensor, "*B N K"]
    ) -> ToldLabels | None:
        y_N = label_probe.labels_from_gradient(grad_NK, logits_NK)
        return None if y_N is None else (y_N, None)

    def _flat_tails(self, captured: LayerCapture) -> FlatTails | None:
        activation = captured.activation
        if activation is None:
            return None
        if activation not in self._tails:
            self._tails[activation] = flat_tails(activation)
        return self._tails[activation]

    def _preactivations(self, capture: Capture) -> list[dict[str, Tensor]]:
        return [{one.name: one.z.x_NPF for one in capture.layers if one.z is not None}]
