"""A checkpoint predicts with no config beside it: weights, and plain settings that rebuild its model.

It is read with `weights_only`, so that nothing in it is executed; it is a stranger's, so that of what its
settings name only what is allowed is built (`trainlab.build.policy`: a user adds to that with
`allow=["mypackage.MyNet"]` or, for commands, the environment variable TRAINLAB_ALLOW); and how large it is
when unpacked is looked up before it is unpacked.
"""

import zipfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from trainlab.build import allowing, check, plain, policy
from trainlab.errors import RequestError
from trainlab.training import assemble

SCHEMA = 1
MODEL_PARTS = {
    "activation": policy.ACTIVATION,
    "normalization": policy.NORMALIZATION,
    "norm_layer": policy.NORM_LAYER,
    "pool": policy.POOL,
    "model": policy.MODEL,
}
"""What the model is made of; nothing else of the settings is built when a checkpoint is read."""

LARGEST_PICKLE = 16 * 2**20
"""Bytes of a checkpoint besides its weights; those of a large network are a few hundred thousand."""

LARGEST_SIDE, MOST_CLASSES = 4096, 100_000


class Checkpoint(ModelCheckpoint):
    """Lightning's own, which would write its name anew for each of the hooks of a step, and it is long."""

    @cached_property
    def state_key(self) -> str:  # type: ignore[override]
        """What names this callback's state in a checkpoint."""
        return super().state_key


class SelfDescribing(L.Callback):
    """Puts into each checkpoint what is needed to rebuild its model and to name its classes."""

    def __init__(self, settings: Mapping[str, Any], images: Any):
        self.description = {
            "schema": SCHEMA,
            "run_id": settings["run_id"],
            "settings": plain(settings),
            "in_shape_CHW": list(images.in_shape_CHW),
            "classes": list(images.classes),
            "depth": dict(images.depth) if images.depth else None,
        }

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the key `trainlab`."""
        checkpoint["trainlab"] = self.description


def read(path: Path) -> dict[str, Any]:
    """A checkpoint of ours, never unpickled.

    Raises:
        RequestError: it is missing, corrupt, not ours, or from another version.
    """
    if not path.is_file():
        raise RequestError(f"{path}: no such checkpoint")
    _check_sizes(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a reader of arbitrary bytes raises whatever those lead it to
        raise _unreadable(path, _first_line(error)) from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("trainlab"), dict):
        raise RequestError(f"{path}: not a checkpoint of trainlab")
    if checkpoint["trainlab"].get("schema") != SCHEMA:
        raise RequestError(
            f"{path}: checkpoint of schema {policy.shown(checkpoint['trainlab'].get('schema'))}, "
            f"expected {SCHEMA}"
        )
    return checkpoint


def load_model(path: Path, allow: Iterable[str] = ()) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a checkpoint in eval mode (pixels x_NCHW 0..255 → logits_NK), and its description.

    The description holds `settings`, `in_shape_CHW`, `classes`, `run_id`. The settings are nobody's own.

    Raises:
        RequestError: not a checkpoint of ours, or a damaged one, or it names what is not on the allow-list.
    """
    checkpoint = read(path)
    description, weights = _described(path, checkpoint), _weights(path, checkpoint)
    with allowing(allow):
        check_allowed(description["settings"])
        _check_depth(path, description["settings"]["model"].get("depth"), weights)
        with torch.device("meta"):  # so large as it says it is only once its weights are seen to be so large
            _check_shapes(path, _blank(path, description), weights)
        model = _blank(path, description)
    try:
        model.load_state_dict(weights)
    except Exception as error:  # tensors of whatever kind somebody has stored
        raise _misfit(path, str(error).splitlines()[-1].strip()) from None
    return model.eval(), description


def progress(path: Path) -> tuple[int, int]:
    """The epochs and the optimizer steps that a checkpoint has behind it. Raises RequestError."""
    checkpoint = read(path)
    epoch, step = checkpoint.get("epoch"), checkpoint.get("global_step")
    if not isinstance(epoch, int) or not isinstance(step, int):
        raise _damaged(path, "epoch or global_step")
    return epoch + 1, step


def check_allowed(settings: Mapping[str, Any]) -> None:
    """Refuses settings whose model names a class or function that is not on the allow-list.

    Raises:
        RequestError: naming it and how to allow it.
    """
    for name, part in MODEL_PARTS.items():
        check(plain(settings.get(name)), part)


def _blank(path: Path, description: Mapping[str, Any]) -> nn.Module:
    """The model with weights of no account and no statistics: the checkpoint carries them as buffers."""
    shape = description["in_shape_CHW"]
    blank = ((0.0,) * shape[0], (1.0,) * shape[0])
    try:
        return assemble.model(description["settings"], shape, len(description["classes"]), *blank)
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from None
    except Exception as error:  # settings that somebody has written lead to whatever they lead to
        raise RequestError(f"{path}: its settings make no model ({_first_line(error)})") from None


def _check_sizes(path: Path) -> None:
    """Refuses what says of itself that it is larger when unpacked than it should be. Raises RequestError."""
    try:
        with zipfile.ZipFile(path) as archive:  # what torch.save writes; anything else is torn or not ours
            sizes = {item.filename: item.file_size for item in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _unreadable(path, f"no zip archive: {_first_line(error)}") from None
    besides = sum(size for name, size in sizes.items() if not Path(name).parent.match("*/data"))
    if besides > LARGEST_PICKLE:
        raise _unreadable(path, f"{besides:,} bytes besides its weights, more than {LARGEST_PICKLE:,}")
    if sum(sizes.values()) > 2 * path.stat().st_size + 2**20:  # torch.save does not compress
        raise _unreadable(path, f"{sum(sizes.values()):,} bytes packed into {path.stat().st_size:,}")


def _described(path: Path, checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint says of itself, with all that is relied on. Raises RequestError naming what lacks."""
    description = checkpoint["trainlab"]
    settings, shape, classes = (description.get(key) for key in ("settings", "in_shape_CHW", "classes"))
    faults = {
        "settings": not isinstance(settings, dict)
        or not all(isinstance(settings.get(key), dict) for key in (*MODEL_PARTS, "data", "axes", "paths")),
        "in_shape_CHW": not isinstance(shape, list | tuple)
        or len(shape) != 3
        or not all(isinstance(side, int) and 1 <= side <= LARGEST_SIDE for side in shape),
        "classes": not isinstance(classes, list | tuple)
        or not 1 <= len(classes) <= MOST_CLASSES
        or not all(isinstance(name, str | int) for name in classes),
        "run_id": not isinstance(description.get("run_id"), str),
    }
    if wrong := [key for key, is_wrong in faults.items() if is_wrong]:
        raise RequestError(
            f"{path}: damaged, or not a checkpoint of trainlab ({', '.join(wrong)} missing or odd)"
        )
    return {**description, "settings": plain(settings), "classes": [str(name) for name in classes]}


def _weights(path: Path, checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's own weights by name. Raises RequestError."""
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise _damaged(path, "state_dict")
    # a view of a few bytes can say that it is of any size
    if sum(value.numel() * value.element_size() for value in weights.values()) > path.stat().st_size:
        raise _damaged(path, "sizes of the weights")
    return {k.removeprefix("model."): v for k, v in weights.items() if k.startswith("model.")}


def _check_shapes(path: Path, blank: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Refuses weights of other names or shapes than the model's, before the model takes any memory."""
    expected = blank.state_dict()
    for name, value in expected.items():
        if name not in weights:
            raise _misfit(path, f"no {name}")
        if value.shape != weights[name].shape:
            raise _misfit(path, f"{name}: {tuple(weights[name].shape)}, expected {tuple(value.shape)}")


def _check_depth(path: Path, depth: Any, weights: Mapping[str, Tensor]) -> None:
    """Refuses more layers than there are weights: to build them would take for ever."""
    if isinstance(depth, int | float) and depth > len(weights):
        raise _misfit(path, f"{len(weights)} tensors for depth={policy.shown(depth)}")


def _unreadable(path: Path, why: str) -> RequestError:
    return RequestError(f"{path}: not a readable checkpoint ({why})")


def _damaged(path: Path, what: str) -> RequestError:
    return RequestError(f"{path}: damaged, or not a checkpoint of trainlab ({what} missing or odd)")


def _misfit(path: Path, says: str) -> RequestError:
    return RequestError(f"{path}: weights do not fit their settings ({says})")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
