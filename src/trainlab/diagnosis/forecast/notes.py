"""What is worth saying of a network whatever becomes of it: layers that no step can move."""

from collections.abc import Iterable, Sequence

from torch import nn

from trainlab.diagnosis.forecast.measure import Measurement
from trainlab.nn.layers import weight_layers

SHOWN = 3
"""Names that stand in a note."""


def of_layers(model: nn.Module, measured: Measurement) -> list[str]:
    """A line for each kind of weight layer that stays as it is."""
    layers = weight_layers(model)
    frozen = [name for name, layer in layers if not layer.get_parameter("weight").requires_grad]
    idle = [name for name, of in measured.layers.items() if of.gradient_norm == 0 and of.signal_step == 0]
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
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")


def _unregistered(model: nn.Module) -> Iterable[str]:
    """Modules with weights in plain lists and dicts of the network's modules, by where they are."""
    known = {id(p) for p in model.parameters()}
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") or not isinstance(value, list | tuple | dict):
                continue
            for key, part in value.items() if isinstance(value, dict) else enumerate(value):
                if isinstance(part, nn.Module) and any(id(p) not in known for p in part.parameters()):
                    yield f"{place + '.' if place else ''}{name}[{key}]"
