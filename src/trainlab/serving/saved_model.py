"""The model of a checkpoint, rebuilt from its weights and the plain settings beside them.

A checkpoint is a stranger's: of what its settings name only what is allowed is built
(`trainlab.instantiate.allowlist`: a user adds to that with `allow=["mypackage.MyNet"]` or, for commands, the
environment variable TRAINLAB_ALLOW), and nothing larger than its weights.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import torch
from torch import Tensor

from trainlab.axes import AXES
from trainlab.build import networks
from trainlab.errors import RequestError, describe_value
from trainlab.instantiate import allowing, check_node
from trainlab.instantiate.parts import PARTS
from trainlab.json_types import Json
from trainlab.nn.normalization import NormalizedNetwork
from trainlab.runs.run_folder import checkpoint_path
from trainlab.settings import RunSettings, Settings
from trainlab.training.checkpoint import damaged_checkpoint_error, first_line, read_checkpoint
from trainlab.training.lightning_internals import CheckpointDict

MODEL_PARTS = {axis.name: PARTS[axis.name] for axis in AXES if axis.in_checkpoint}
"""What the model is made of; nothing else of the settings is built when a checkpoint is read."""

MAX_SIDE, MAX_CLASSES = 4096, 100_000


class ModelDescription(TypedDict):
    """What a checkpoint says of its model. The settings are nobody's own."""

    schema: int
    run_id: str
    settings: RunSettings
    in_shape_CHW: Sequence[int]
    classes: list[str]
    depth: Json
    """`BitDepth.as_plain` of the images, null for 8 bits."""


def load_model(path: Path, allow: Iterable[str] = ()) -> tuple[NormalizedNetwork, ModelDescription]:
    """The model of a checkpoint in eval mode (pixels x_NCHW 0..255 → logits_NK), and its description.

    Raises:
        RequestError: not a checkpoint of ours, or a damaged one, or it names what is not on the allow-list.
    """
    checkpoint = read_checkpoint(path)
    description, weights = _read_description(path, checkpoint), _read_weights(path, checkpoint)
    with allowing(allow):
        check_model_allowed(description["settings"])
        _check_depth(path, description["settings"].model.arguments.get("depth"), weights)
        with torch.device("meta"):  # real memory only once its weights are seen to be of that size
            _check_shapes(path, _build_blank_model(path, description), weights)
        model = _build_blank_model(path, description)
    try:
        model.load_state_dict(weights)
    except Exception as error:  # tensors of whatever kind a stranger has stored
        raise _weights_mismatch_error(path, str(error).splitlines()[-1].strip()) from None
    return model.eval(), description


def check_model_allowed(settings: Settings) -> None:
    """Refuses settings whose model names a class or function that is not on the allow-list.

    Raises:
        RequestError: naming it and how to allow it.
    """
    for name, part in MODEL_PARTS.items():
        check_node(getattr(settings, name), part)


def _build_blank_model(path: Path, description: ModelDescription) -> NormalizedNetwork:
    """The model before its weights and statistics are loaded, which the checkpoint carries."""
    shape = description["in_shape_CHW"]
    blank = ((0.0,) * shape[0], (1.0,) * shape[0])
    try:
        return networks.build_model(description["settings"], shape, len(description["classes"]), *blank)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
    except Exception as error:  # a stranger's settings raise whatever they lead to
        raise RequestError(f"{path}: its settings make no model ({first_line(error)})") from None


def _read_description(path: Path, checkpoint: CheckpointDict) -> ModelDescription:
    """What a checkpoint says of itself, validated. Raises RequestError naming what is missing."""
    description = checkpoint["trainlab"]
    settings, shape, classes = (description.get(key) for key in ("settings", "in_shape_CHW", "classes"))
    faults = {
        "settings": not isinstance(settings, dict)
        or not all(isinstance(settings.get(key), dict) for key in ("model", "data", "axes", "paths")),
        "in_shape_CHW": not isinstance(shape, list | tuple)
        or len(shape) != 3
        or not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in shape),
        "classes": not isinstance(classes, list | tuple)
        or not 1 <= len(classes) <= MAX_CLASSES
        or not all(isinstance(name, str | int) for name in classes),
        "run_id": not isinstance(description.get("run_id"), str),
    }
    if wrong := [key for key, is_wrong in faults.items() if is_wrong]:
        raise RequestError(
            f"{path}: damaged, or not a checkpoint of trainlab ({', '.join(wrong)} missing or odd)"
        )
    frozen = RunSettings.from_record(settings, f"{path}: damaged, or not a checkpoint of trainlab")
    return {
        "schema": description["schema"],
        "run_id": description["run_id"],
        "settings": frozen,
        "in_shape_CHW": shape,
        "classes": [str(name) for name in classes],
        "depth": description.get("depth"),
    }


def _read_weights(path: Path, checkpoint: CheckpointDict) -> dict[str, Tensor]:
    """The model's own weights by name. Raises RequestError."""
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise damaged_checkpoint_error(path, "state_dict")
    # a view of a few bytes can say that it is of any size
    if sum(value.numel() * value.element_size() for value in weights.values()) > path.stat().st_size:
        raise damaged_checkpoint_error(path, "sizes of the weights")
    return {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}


def _check_shapes(path: Path, blank: NormalizedNetwork, weights: Mapping[str, Tensor]) -> None:
    """Refuses weights of other names or shapes than the model's, before the model takes any memory."""
    expected = blank.state_dict()
    for name, value in expected.items():
        if name not in weights:
            raise _weights_mismatch_error(path, f"no {name}")
        if value.shape != weights[name].shape:
            raise _weights_mismatch_error(
                path, f"{name}: {tuple(weights[name].shape)}, expected {tuple(value.shape)}"
            )


def _check_depth(path: Path, depth: object, weights: Mapping[str, Tensor]) -> None:
    """Refuses more layers than there are weights: building them would take for ever."""
    if isinstance(depth, int | float) and depth > len(weights):
        raise _weights_mismatch_error(path, f"{len(weights)} tensors for depth={describe_value(depth)}")


def _weights_mismatch_error(path: Path, says: str) -> RequestError:
    return RequestError(f"{path}: weights do not fit their settings ({says})")


def load_run_model(folder: Path, which: str = "last") -> tuple[NormalizedNetwork, ModelDescription]:
    """The model of a run in eval mode, pixels x_NCHW → logits_NK, and its description."""
    return load_model(checkpoint_path(folder, which))
