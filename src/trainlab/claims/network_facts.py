"""What needs torch and no trained run: layer tables, mean-field theory, the phase diagram. Called in a
process
of its own."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainlab.build import networks
from trainlab.errors import RequestError

ACTIVATIONS = (
    "celu", "elu", "erf", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "sin", "softplus", "softsign", "tanh",
)  # fmt: skip
"""The functions of torch and torch.nn.functional that a claim may ask theory about."""

Answer = tuple[Any, str | None]
"""What was asked for, or the fault in one line."""


def network_layers(frozen: str) -> Answer:
    """The anatomy of the network of frozen settings, a row a layer, on the meta device: any size will do."""
    from trainlab.models import anatomy

    settings = json.loads(frozen)
    shape = networks.input_shape_CHW(settings)
    try:
        with torch.device("meta"):
            network = networks.build_network(settings, shape, settings["data"]["num_classes"])
        return {"in_shape": shape, "rows": [asdict(row) for row in anatomy(network, shape)]}, None
    except RequestError as error:
        return None, str(error)


def theory_layers(frozen: str) -> Answer:
    """What mean-field theory says of the network of identified settings, a row a layer."""
    from trainlab.forecast.run_forecast import theory_for_run

    try:
        theory = theory_for_run(json.loads(frozen))
    except RequestError as error:
        return None, str(error)
    return (theory["layers"], None) if theory else (None, "theory: the network is no chain of layers")


def mean_field_value(name: str, arguments: Mapping[str, Any]) -> Answer:
    """A function of `trainlab.theory.mean_field`; `phi` is the name of an activation of torch.nn or torch."""
    from trainlab.theory import mean_field as theory

    phi = str(arguments.get("phi", "relu"))
    if phi not in ACTIVATIONS:
        return None, f"theory {name}: unknown phi '{phi}': available: {', '.join(ACTIVATIONS)}"
    function = getattr(torch, phi, None) or getattr(torch.nn.functional, phi)
    rest = {key: value for key, value in arguments.items() if key != "phi"}
    try:
        return getattr(theory, name)(function, **rest), None
    except (RequestError, TypeError) as error:
        return None, f"theory {name}: {error}"


def phase_diagram(folders: Sequence[str], scale: str) -> Answer:
    """The phase diagram of these runs, theory's curve with it; no forecast is asked."""
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram

    try:
        return build_phase_diagram(map(Path, folders), scale, processes=0), None
    except RequestError as error:
        return None, str(error)
