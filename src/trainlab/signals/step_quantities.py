"""From what a step's hooks captured to the step's quantities: of layers, of their weights, of both ends.

Each function computes the quantities of a single run from its tensors, and is called over all runs of a stack
(`OneRun.each`). Legend: N images, P positions, F units, C channels, D features, K classes.
"""

from functools import partial
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from trainlab.nn.layers import weight_matrices_shape
from trainlab.signals import quantities, wiring
from trainlab.signals.capture import Capture, LayerCapture, OutputCapture, TensorTap
from trainlab.signals.catalogue import QUANTILE_LEVELS
from trainlab.signals.quantities import FlatTails, Scalar, TailsOfRuns
from trainlab.signals.rows import Value
from trainlab.signals.tensor_sampling import to_wide

Gradient: TypeAlias = tuple[Tensor] | tuple[()]
"""Of a layer, where it has one."""


def signal_quantities(
    captured: LayerCapture, tails: FlatTails | TailsOfRuns | None, scale: float
) -> dict[str, Value]:
    """Of what a layer passes on, forward and backward. `tails` are those of its activation."""
    values: dict[str, Value] = {}
    if captured.z is not None:
        of_tap = partial(_preactivation_quantities, size=captured.z.values, scale=scale)
        values |= captured.runs.each(of_tap)(captured.z.x_NPF, _gradient(captured.z), tails or ())
    if captured.a is not None and captured.dead is not None:
        of_tap = partial(_tap_quantities, name="activation", size=captured.a.values, scale=scale)
        values |= captured.runs.each(of_tap)(captured.a.x_NPF, _gradient(captured.a))
        values["dead"] = captured.dead
    return values


def _gradient(tap: TensorTap) -> Gradient:
    return () if tap.grad_NPF is None else (tap.grad_NPF,)


def _preactivation_quantities(
    z_NPF: Float[Tensor, "N P F"],
    grad: Gradient,
    tails: FlatTails | tuple[()],
    *,
    size: int,
    scale: float,
) -> dict[str, Scalar]:
    of_z = _tap_quantities(z_NPF, grad, name="preactivation", size=size, scale=scale)
    of_z["correlation"] = quantities.correlation(z_NPF)
    if tails:
        of_z["saturated"] = quantities.saturated_fraction(z_NPF, tails)
    return of_z


def _tap_quantities(
    x_NPF: Float[Tensor, "N P F"], grad: Gradient, *, name: str, size: int, scale: float
) -> dict[str, Scalar]:
    levels = quantities.quantiles(x_NPF, QUANTILE_LEVELS.values())
    found = {"mean": quantities.mean(x_NPF), "std": quantities.std(x_NPF)}
    found |= dict(zip(QUANTILE_LEVELS, levels, strict=True))
    for grad_NPF in grad:
        rms = quantities.root_mean_square(grad_NPF) / scale
        found |= {"grad_rms": rms, "grad_norm": rms * size**0.5}
    return {f"{name}_{quantity}": value for quantity, value in found.items()}


def weight_quantities(captured: LayerCapture) -> dict[str, Value]:
    """Of a layer's weights. A frozen layer has no gradient, and no row for it."""
    weight, grad = captured.weight.detach(), captured.weight.grad
    G, U, K = weight_matrices_shape(captured.template)
    if U == 1:  # each channel has a kernel of its own: the units are the groups
        G, U = 1, G
    of_weight = captured.runs.each(partial(_weight_quantities, shape_GUK=(G, U, K)))
    values: dict[str, Value] = {**of_weight(weight, () if grad is None else (grad,))}
    norm = values.pop("weight_norm")
    return {"weight_norm": norm, "trainable": float(captured.weight.requires_grad), **values}


def _weight_quantities(
    weight: Tensor, grad: Gradient, *, shape_GUK: tuple[int, int, int]
) -> dict[str, Scalar]:
    found = {"weight_norm": quantities.norm(weight)}
    if shape_GUK[1] > 1:
        found["unit_spread"] = quantities.unit_spread(weight.reshape(shape_GUK))
    for of_weight in grad:
        norm = quantities.norm(of_weight)
        found |= {"weight_grad_norm": norm, "weight_grad_rms": norm / of_weight.numel() ** 0.5}
    return found


def input_quantities(x_NPC: Float[Tensor, "N P C"]) -> dict[str, Scalar]:
    """Of a sample of the network's input."""
    return {
        "input_mean": quantities.mean(x_NPC),
        "input_std": quantities.std(x_NPC),
        "input_correlation": quantities.correlation(x_NPC),
    }


def gradient_quantities(capture: Capture, output: OutputCapture, scale: float) -> dict[str, Value]:
    """Of the predictions and, of a dense output layer, of its gradient image by image."""
    each = capture.runs.each
    values: dict[str, Value] = {"majority_share": each(quantities.majority_share)(output.logits_NK)}
    if output.layer is not None and output.a_NF is not None and output.grad_NK is not None:
        noise = partial(_noise_scale, scale=scale, has_bias=output.layer.bias is not None)
        values["noise_scale"] = each(noise)(output.a_NF, output.grad_NK)
    return values


def _noise_scale(
    a_NF: Float[Tensor, "N F"], grad_NK: Float[Tensor, "N K"], *, scale: float, has_bias: bool
) -> Scalar:
    # the loss is the batch's mean: an image's own gradient is N times its part
    delta_NK = to_wide(grad_NK) * (len(grad_NK) / scale)
    return quantities.noise_scale(to_wide(a_NF), delta_NK, has_bias)


def wiring_quantities(capture: Capture) -> dict[str, Value]:
    """How the network is put together and what comes out; the probe of the labels is `recorder`'s."""
    values: dict[str, Value] = {
        **capture.images,
        **wiring.batchnorm_quantities(capture.network, capture.runs),
    }
    if capture.output is not None:
        values |= capture.runs.each(wiring.output_quantities)(capture.output.logits_NK)
    return values
