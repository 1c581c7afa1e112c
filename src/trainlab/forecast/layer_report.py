"""Each layer as it was measured at initialization, and notes on layers that no step can move."""

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from trainlab.forecast.answer import LayerReport
from trainlab.forecast.measurement import InitialMeasurement
from trainlab.nn.layers import weight_layers

SHOWN_NAMES = 3
"""Names of layers in a note."""


def report_layers(measured: InitialMeasurement) -> list[LayerReport]:
    """The layers in forward order."""
    table: dict[str, dict[str, float]] = {}
    for layer, quantity, value in measured.rows:
        table.setdefault(layer, {})[quantity] = value
    names = [name for name, quantities in table.items() if "preactivation_std" in quantities]
    hidden = [name for name in names if "activation_grad_norm" in table[name]]
    last = table[hidden[-1]]["activation_grad_norm"] if hidden else None
    return [_layer_report(name, table[name], measured, last) for name in names]


def _layer_report(
    name: str, quantities: Mapping[str, float], measured: InitialMeasurement, last_gradient: float | None
) -> LayerReport:
    movement = measured.layers.get(name)
    gradient = quantities.get("activation_grad_norm")
    return LayerReport(
        name=name,
        scale=math.hypot(quantities["preactivation_mean"], quantities["preactivation_std"]),
        correlation=quantities.get("correlation"),
        gradient=gradient / last_gradient if gradient is not None and last_gradient else None,
        moves=movement.label_step * measured.budget.full_steps if movement else None,
        saturated=quantities.get("saturated"),
        dead=quantities.get("dead"),
    )


def untrained_layer_notes(model: nn.Module, measured: InitialMeasurement) -> list[str]:
    """A line for each kind of weight layer that stays as it is."""
    layers = weight_layers(model)
    frozen = [name for name, layer in layers if not layer.get_parameter("weight").requires_grad]
    idle = [
        name
        for name, movement in measured.layers.items()
        if movement.gradient_norm == 0 and movement.label_step == 0
    ]
    lines = []
    if frozen:
        lines.append(f"{len(frozen)} of {len(layers)} weight layers are frozen: {_few(frozen)}")
    if idle:
        lines.append(f"{len(idle)} of {len(layers)} weight layers get no gradient: {_few(idle)}")
    hidden = list(_unregistered(model))
    if hidden:
        lines.append(
            f"{len(hidden)} layers are no part of the network, and are not trained: {_few(hidden)} "
            "(kept in a plain list or dict: nn.ModuleList, nn.ModuleDict)"
        )
    return lines


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (", …" if len(names) > SHOWN_NAMES else "")


def _unregistered(model: nn.Module) -> Iterable[str]:
    """Where modules with weights stand in plain lists and dicts of the network's modules."""
    known = {id(p) for p in model.parameters()}
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(part, nn.Module) and any(id(p) not in known for p in part.parameters()):
                    yield f"{place + '.' if place else ''}{name}[{key}]"
