"""What needs torch and is said of a claim's networks and runs, each called in a process of its own.

torch is imported there: nothing at the top of this module brings it into the process that runs the claims.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainlab.analysis.phase_diagram import PhaseDiagram
from trainlab.errors import RequestError

ACTIVATIONS = (
    "celu", "elu", "erf", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "sin", "softplus", "softsign", "tanh",
)  # fmt: skip
"""The functions of torch and torch.nn.functional that a claim may ask theory about."""


def network_layers(frozen: str) -> dict[str, Any]:
    """The anatomy of the network of frozen settings, a row a layer, on the meta device: any size will do.

    Raises:
        RequestError: it cannot be built.
    """
    import torch

    from trainlab.build import networks
    from trainlab.models import anatomy

    settings = json.loads(frozen)
    shape = networks.input_shape_CHW(settings)
    with torch.device("meta"):
        network = networks.build_network(settings, shape, settings["data"]["num_classes"])
    return {"in_shape": shape, "rows": [asdict(row) for row in anatomy(network, shape)]}


def theory_layers(frozen: str) -> list[dict[str, Any]]:
    """What mean-field theory says of the network of identified settings, a row a layer.

    Raises:
        RequestError: the network cannot be built, or is no chain of layers.
    """
    from trainlab.forecast.run_forecast import theory_for_run

    theory = theory_for_run(json.loads(frozen))
    if not theory:
        raise RequestError("theory: the network is no chain of layers")
    return theory["layers"]


def mean_field_value(name: str, arguments: Mapping[str, Any]) -> float:
    """A function of `trainlab.theory.mean_field`; `phi` is the name of an activation of torch.nn or torch.

    Raises:
        RequestError: no such activation, or arguments that the function does not take.
    """
    import torch

    from trainlab.theory import mean_field as theory

    phi = str(arguments.get("phi", "relu"))
    if phi not in ACTIVATIONS:
        raise RequestError(f"theory {name}: unknown phi '{phi}': available: {', '.join(ACTIVATIONS)}")
    function = getattr(torch, phi, None) or getattr(torch.nn.functional, phi)
    rest = {key: value for key, value in arguments.items() if key != "phi"}
    try:
        return getattr(theory, name)(function, **rest)
    except (RequestError, TypeError) as error:
        raise RequestError(f"theory {name}: {error}") from None


def phase_diagram(folders: Sequence[str], scale: str) -> PhaseDiagram:
    """The phase diagram of these runs, theory's curve with it; no forecast is asked. Raises RequestError."""
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram

    return build_phase_diagram(map(Path, folders), scale, processes=0)


def shift_evaluations(
    folders: Sequence[str], shifts: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, dict[str, float]]]:
    """By run folder and by shift (as JSON): accuracy, loss, agreement. Raises RequestError."""
    from trainlab.claims.shift_evaluation import evaluate_shifts

    return evaluate_shifts(folders, shifts)
