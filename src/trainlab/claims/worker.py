"""What needs torch, called in a process of the warm server: evaluations, layer tables, theory."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from trainlab.claims import shifts
from trainlab.data.loader import BatchLoader
from trainlab.errors import RequestError
from trainlab.runs.atomic import write_atomically
from trainlab.runs.reading import read_whole
from trainlab.training import assemble
from trainlab.training.inference import load_run

CACHE_FILE = "shifts.json"
"""Beside the run's record: what its checkpoint came to under each shift that was asked for."""

ACTIVATIONS = (
    "celu", "elu", "erf", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "logsigmoid", "mish",
    "relu", "relu6", "selu", "sigmoid", "silu", "sin", "softplus", "softsign", "tanh",
)  # fmt: skip
"""The functions of torch and torch.nn.functional that a claim may ask theory about."""

Answer = tuple[Any, str | None]
"""What was asked for, or the fault in one line."""


def evaluations(folders: Sequence[str], asked: Sequence[Mapping[str, Any]]) -> Answer:
    """For each run folder: {shift as JSON: {accuracy, loss, agreement}}, from its cache where that is new."""
    try:
        return {folder: _of_run(Path(folder), asked) for folder in folders}, None
    except RequestError as error:
        return None, str(error)


def _of_run(folder: Path, asked: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    keys = {json.dumps(shift, sort_keys=True): shift for shift in asked}
    known = _cached(folder)
    missing = {key: shift for key, shift in keys.items() if key not in known}
    if missing:
        known |= _measured(folder, missing)
        stamp = {"checkpoint": _stamp(folder), "shifts": known}
        write_atomically(folder / CACHE_FILE, json.dumps(stamp, indent=1) + "\n")
    return {key: known[key] for key in keys}


def _measured(folder: Path, missing: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    torch.set_num_threads(1)
    model, description = load_run(folder)
    images = assemble.images(description["settings"])
    if change := assemble.change_of_data(description["settings"], images):
        raise RequestError(f"{change}; a claim is of one data set: train its runs again")
    test = images.test
    x_NCHW, y_N = next(iter(BatchLoader(test, len(test))))
    clean_N = shifts.predictions(model, x_NCHW)
    return {
        key: shifts.measure(model, x_NCHW, y_N, *next(iter(shift.items())), clean_N)
        for key, shift in missing.items()
    }


def _cached(folder: Path) -> dict[str, dict[str, float]]:
    try:
        stored = json.loads(read_whole(folder / CACHE_FILE))
        known, stamp = stored["shifts"], stored["checkpoint"]
        is_whole = isinstance(known, dict) and all(_is_answer(value) for value in known.values())
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}
    return known if is_whole and stamp == _stamp(folder) else {}


def _is_answer(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(number, int | float) for number in value.values())


def _stamp(folder: Path) -> int:
    """What changes when the run is trained again."""
    path = folder / "checkpoints" / "last.ckpt"
    return path.stat().st_mtime_ns if path.exists() else 0


def layer_table(frozen: str) -> Answer:
    """The anatomy of the network of frozen settings, a row a layer, on the meta device: any size will do."""
    from trainlab.models import anatomy

    settings = json.loads(frozen)
    shape = assemble.in_shape_CHW(settings)
    try:
        with torch.device("meta"):
            network = assemble.network(settings, shape, settings["data"]["num_classes"])
        return {"in_shape": shape, "rows": [asdict(row) for row in anatomy(network, shape)]}, None
    except RequestError as error:
        return None, str(error)


def theory_layers(frozen: str) -> Answer:
    """What mean-field theory says of the network of identified settings, a row a layer."""
    from trainlab.training.preflight import theory_of_run

    try:
        theory = theory_of_run(json.loads(frozen))
    except RequestError as error:
        return None, str(error)
    return (theory["layers"], None) if theory else (None, "theory: the network is no chain of layers")


def mean_field(name: str, arguments: Mapping[str, Any]) -> Answer:
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
    from trainlab.training.phase import diagram

    try:
        return diagram(map(Path, folders), scale, processes=0), None
    except RequestError as error:
        return None, str(error)
