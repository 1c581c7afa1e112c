"""One training step becomes rows (layer, quantity, value), from the step's own forward and backward pass."""

from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn

from trainlab.nn.layers import weight_matrices_shape
from trainlab.signals import label_probe, quantities, wiring
from trainlab.signals.capture import Capture, LayerCapture, OutputCapture, TensorTap
from trainlab.signals.catalogue import NETWORK, QUANTILE_LEVELS
from trainlab.signals.quantities import FlatTails, flat_tails
from trainlab.signals.tensor_sampling import to_wide, wide_dtype

LayerQuantities: TypeAlias = dict[tuple[str, str], Tensor]
"""Values by (layer, quantity)."""


@dataclass(frozen=True)
class Measurement:
    """The rows of one step, and the sampled pre-activations (N, P, F) of each layer, on their device."""

    rows: list[tuple[str, str, float]]
    preactivations: dict[str, Tensor]


@dataclass
class _BeforeUpdate:
    """Weights and weight gradients of each layer, between the backward pass and the update."""

    weights: dict[str, Tensor] = field(default_factory=dict)
    values: LayerQuantities = field(default_factory=dict)
    grad_scale: float = 1.0


class SignalRecorder:
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
        self.network = network
        self._capture: Capture | None = None
        self._before: _BeforeUpdate | None = None
        self._tails: dict[nn.Module, FlatTails | None] = {}

    def start(self) -> None:
        """The next forward pass with gradients is measured, with the backward pass that belongs to it."""
        self.cancel()
        self._capture = Capture(self.network)

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
            before.values |= _weight_quantities(captured)
        if self._capture.left_over is not None and (share := self._capture.left_over.share()) is not None:
            before.values[NETWORK, "gradient_left_over"] = share

    @torch.no_grad()
    def finish(self, loss: Tensor | None = None) -> Measurement:
        """The rows of the step; the hooks are gone. Empty where there was no forward pass."""
        capture, before = self._capture, self._before
        self.cancel()
        if capture is None:
            return Measurement([], {})
        scale = before.grad_scale if before else 1.0
        values: LayerQuantities = {}
        for captured in capture.layers:
            values |= self._signal_quantities(captured, scale)
            values |= _weight_quantities(captured) if before is None else _update_quantities(captured, before)
        if loss is not None:
            values[NETWORK, "loss"] = to_wide(loss.detach())
        if capture.input_NPC is not None:
            values |= _input_quantities(capture.input_NPC)
        if capture.output is not None:
            values |= _gradient_quantities(capture.output, scale)
        values |= self._wiring_quantities(capture)
        if before is not None:
            values |= {key: value for key, value in before.values.items() if key[0] == NETWORK}
        preactivations = {
            captured.name: captured.z.x_NPF for captured in capture.layers if captured.z is not None
        }
        return Measurement(_read_values(values), preactivations)

    def _wiring_quantities(self, capture: Capture) -> LayerQuantities:
        values = {**capture.images, **wiring.batchnorm_quantities(self.network)}
        if capture.output is not None:
            values |= {**wiring.output_quantities(capture.output.logits_NK), **_label_quantities(capture)}
        if len(capture.unregistered):
            values["unregistered_layers"] = torch.tensor(float(len(capture.unregistered)))
        return {(NETWORK, quantity): value for quantity, value in values.items()}

    def cancel(self) -> None:
        """Drops a measurement that was started, hooks and all."""
        if self._capture is not None:
            self._capture.remove()
        self._capture = self._before = None

    def _signal_quantities(self, captured: LayerCapture, scale: float) -> LayerQuantities:
        values: dict[str, Tensor] = {}
        if captured.z is not None:
            values |= _tap_quantities("preactivation", captured.z, scale)
            values["correlation"] = quantities.correlation(captured.z.x_NPF)
            tails = self._flat_tails(captured.activation)
            if tails is not None:
                values["saturated"] = quantities.saturated_fraction(captured.z.x_NPF, tails)
        if captured.a is not None and captured.dead is not None:
            values |= _tap_quantities("activation", captured.a, scale)
            values["dead"] = captured.dead
        return {(captured.name, quantity): value for quantity, value in values.items()}

    def _flat_tails(self, activation: nn.Module | None) -> FlatTails | None:
        if activation is None:
            return None
        if activation not in self._tails:
            self._tails[activation] = flat_tails(activation)
        return self._tails[activation]


def _tap_quantities(name: str, tap: TensorTap, scale: float) -> dict[str, Tensor]:
    values = {f"{name}_mean": quantities.mean(tap.x_NPF), f"{name}_std": quantities.std(tap.x_NPF)}
    levels = quantities.quantiles(tap.x_NPF, QUANTILE_LEVELS.values())
    values |= {f"{name}_{level}": value for level, value in zip(QUANTILE_LEVELS, levels, strict=True)}
    if tap.grad_NPF is not None:
        rms = quantities.root_mean_square(tap.grad_NPF) / scale
        values |= {f"{name}_grad_rms": rms, f"{name}_grad_norm": rms * tap.values**0.5}
    return values


def _weight_quantities(captured: LayerCapture) -> LayerQuantities:
    """A frozen layer has no gradient, and no row for it."""
    trainable = torch.full((), float(captured.weight.requires_grad), device=captured.weight.device)
    values = {
        (captured.name, "weight_norm"): quantities.norm(captured.weight),
        (captured.name, "trainable"): trainable,
    }
    G, U, K = weight_matrices_shape(captured.layer)
    if U == 1:  # each channel has a kernel of its own: the units are the groups
        G, U = 1, G
    if U > 1:
        values[captured.name, "unit_spread"] = quantities.unit_spread(captured.weight.reshape(G, U, K))
    grad = captured.weight.grad
    if grad is not None:
        size = quantities.norm(grad)
        values[captured.name, "weight_grad_norm"] = size
        values[captured.name, "weight_grad_rms"] = size / grad.numel() ** 0.5
    return values


def _update_quantities(captured: LayerCapture, before: _BeforeUpdate) -> LayerQuantities:
    ratio = quantities.update_ratio(before.weights[captured.name], captured.weight)
    of_layer = {key: value for key, value in before.values.items() if key[0] == captured.name}
    return {**of_layer, (captured.name, "update_ratio"): ratio}


def _input_quantities(x_NPC: Tensor) -> LayerQuantities:
    return {
        (NETWORK, "input_mean"): quantities.mean(x_NPC),
        (NETWORK, "input_std"): quantities.std(x_NPC),
        (NETWORK, "input_correlation"): quantities.correlation(x_NPC),
    }


def _gradient_quantities(output: OutputCapture, scale: float) -> LayerQuantities:
    values = {(NETWORK, "majority_share"): quantities.majority_share(output.logits_NK)}
    if output.layer is not None and output.a_NF is not None and output.grad_NK is not None:
        # the loss is the batch's mean: an image's own gradient is N times its part
        delta_NK = to_wide(output.grad_NK) * (len(output.grad_NK) / scale)
        has_bias = output.layer.bias is not None
        values[NETWORK, "noise_scale"] = quantities.noise_scale(to_wide(output.a_NF), delta_NK, has_bias)
    return values


def _label_quantities(capture: Capture) -> dict[str, Tensor]:
    """Whether the batch's labels follow from its images, where the loss is a cross-entropy."""
    output, x_ND = capture.output, capture.features_ND
    if output is None or output.grad_NK is None or x_ND is None or len(output.grad_NK) < len(x_ND):
        return {}
    y_N = label_probe.labels_from_gradient(output.grad_NK)
    if y_N is None:
        return {}
    right, permuted = label_probe.probe_labels(x_ND, y_N, output.logits_NK.shape[1])
    images = torch.full((), float(len(x_ND)), device=x_ND.device)
    return {"probe_images": images, "probe_accuracy": right, "probe_permuted": permuted}


def _read_values(values: LayerQuantities) -> list[tuple[str, str, float]]:
    """All numbers in one transfer from the device."""
    if not values:
        return []
    device = next(iter(values.values())).device
    dtype = wide_dtype(device)
    numbers = torch.stack([value.to(device, dtype) for value in values.values()]).tolist()
    return [(layer, quantity, number) for (layer, quantity), number in zip(values, numbers, strict=True)]
