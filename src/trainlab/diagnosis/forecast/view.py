"""Theory and measurement, layer by layer, as plain values side by side."""

import math
from typing import Any

from trainlab.diagnosis.forecast.measure import Measurement
from trainlab.diagnosis.forecast.outcome import LayerView
from trainlab.diagnosis.forecast.theory import Theory
from trainlab.theory.network import Layer, LayerPrediction


def measured_layers(measured: Measurement) -> list[LayerView]:
    """The layers in forward order."""
    table: dict[str, dict[str, float]] = {}
    for layer, quantity, value in measured.rows:
        table.setdefault(layer, {})[quantity] = value
    names = [name for name in table if "preactivation_std" in table[name]]
    hidden = [name for name in names if "activation_grad_norm" in table[name]]
    last = table[hidden[-1]]["activation_grad_norm"] if hidden else None
    return [_measured(name, table[name], measured, last) for name in names]


def _measured(name: str, of: dict[str, float], measured: Measurement, last: float | None) -> LayerView:
    moves = measured.layers.get(name)
    gradient = of.get("activation_grad_norm")
    return LayerView(
        name=name,
        scale=math.hypot(of["preactivation_mean"], of["preactivation_std"]),
        correlation=of.get("correlation"),
        gradient=gradient / last if gradient is not None and last else None,
        moves=moves.signal_step * measured.budget.full_steps if moves else None,
        saturated=of.get("saturated"),
        dead=of.get("dead"),
    )


def plain_theory(theory: Theory | None) -> dict[str, Any] | None:
    """As JSON takes it; None stays None. The layers' keys are those of `LayerView`."""
    if theory is None:
        return None
    pairs = list(zip(theory.layers, theory.prediction.layers, strict=True))
    rows, gradient = [], 1.0
    for index in reversed(range(len(pairs))):
        layer, predicted = pairs[index]
        rows.insert(0, _expected(layer, predicted, gradient if layer.activation is not None else None))
        if layer.activation is not None:
            # of the norm over all units and positions, which pooling keeps: not of the mean square
            gradient *= math.sqrt(predicted.gradient_factor * layer.fan_in / layer.fan_out)
    return {
        "chi1": theory.chi1,
        "reach_layers": theory.reach_layers,
        "depth": theory.depth,
        "notes": list(theory.prediction.notes),
        "layers": rows,
    }


def _expected(layer: Layer, predicted: LayerPrediction, gradient: float | None) -> dict[str, Any]:
    normalized = layer.norm is not None and layer.norm_position == "before_activation"
    over_batch = normalized and layer.norm in ("batchnorm", "instancenorm")
    return {
        "name": layer.name,
        "scale": 1.0 if normalized else math.sqrt(predicted.variance),
        "correlation": None if over_batch else predicted.correlation,
        "gradient": gradient,
    }
