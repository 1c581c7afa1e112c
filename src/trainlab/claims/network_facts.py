"""Facts of a network that need torch and no trained run: its layers, mean-field theory, the phase diagram.

Called in a process of its own; torch is imported inside the functions, so that the caller does without it.
All raise RequestError for what cannot be built or predicted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainlab.analysis.phase_diagram import PhaseDiagram
from trainlab.errors import RequestError
from trainlab.settings import settings_from_json

ACTIVATIONS = (
    "celu", "elu", "erf", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "sin", "softplus", "softsign", "tanh",
)  # fmt: skip
"""The functions of torch and torch.nn.functional that a claim may ask theory about."""

Size = tuple[int, ...]


@dataclass(frozen=True)
class LayerFacts:
    """What a claim may ask of one layer; kernel, stride and padding are None where a layer has none."""

    name: str
    kernel: Size | None
    stride: Size | None
    padding: Size | None
    out_shape: Size
    parameters: int
    multiply_adds: int
    receptive_field: Size | None = None


@dataclass(frozen=True)
class NetworkFacts:
    """The layers of a network, in the order in which an image of shape `in_shape` passes them."""

    in_shape: Size
    layers: tuple[LayerFacts, ...]


@dataclass(frozen=True)
class LayerTheory:
    """What mean-field theory predicts of one layer; None where it says nothing."""

    name: str
    scale: float | None
    correlation: float | None
    gradient: float | None


def size_formula_failures(network: NetworkFacts) -> int:
    """How many windowed layers have another output size than ⌊(n + 2p − k)/s⌋ + 1 in each direction."""
    failures, before = 0, network.in_shape
    for layer in network.layers:
        if layer.kernel is not None and layer.stride and layer.padding and len(before) == 3:
            sizes = zip(before[1:], layer.kernel, layer.stride, layer.padding, strict=True)
            failures += tuple((n + 2 * p - k) // s + 1 for n, k, s, p in sizes) != layer.out_shape[1:]
        before = layer.out_shape
    return failures


def network_facts(frozen: str) -> NetworkFacts:
    """The layers of the network of frozen settings, on the meta device: any size will do."""
    import torch

    from trainlab.build import networks
    from trainlab.models import anatomy

    settings = settings_from_json(frozen)
    num_classes = settings.data.num_classes
    if num_classes is None:
        raise RequestError(f"data {settings.data.name}: expected data.num_classes")
    shape = networks.input_shape_CHW(settings)
    with torch.device("meta"):
        network = networks.build_network(settings, shape, num_classes)
    layers = [
        LayerFacts(
            row.name,
            row.kernel,
            row.stride,
            row.padding,
            row.out_shape,
            row.parameters,
            row.multiply_adds,
            row.receptive_field,
        )
        for row in anatomy(network, shape)
    ]
    return NetworkFacts(tuple(shape), tuple(layers))


def theory_layers(frozen: str) -> list[LayerTheory]:
    """What mean-field theory says of the network of identified settings, layer by layer."""
    from trainlab.forecast.run_forecast import theory_for_run

    theory = theory_for_run(settings_from_json(frozen))
    if not theory:
        raise RequestError("theory: the network is no chain of layers")
    return [
        LayerTheory(row["name"], row["scale"], row["correlation"], row["gradient"])
        for row in theory["layers"]
    ]


def mean_field_value(name: str, arguments: Mapping[str, str | float | None]) -> float:
    """A function of `trainlab.theory.mean_field`; `phi` is the name of an activation of torch.nn or torch."""
    import torch

    from trainlab.theory import mean_field

    phi = str(arguments.get("phi", "relu"))
    if phi not in ACTIVATIONS:
        raise RequestError(f"theory {name}: unknown phi '{phi}': available: {', '.join(ACTIVATIONS)}")
    function = getattr(torch, phi, None) or getattr(torch.nn.functional, phi)
    others = {key: value for key, value in arguments.items() if key != "phi"}
    try:
        return getattr(mean_field, name)(function, **others)
    except (RequestError, TypeError) as error:
        raise RequestError(f"theory {name}: {error}") from None


def phase_diagram(folders: Sequence[Path], scale: str) -> PhaseDiagram:
    """The phase diagram of these runs with theory's curve; no run is forecast."""
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram

    return build_phase_diagram(folders, scale, processes=0)
