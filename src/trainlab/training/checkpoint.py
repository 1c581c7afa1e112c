"""A checkpoint predicts with no config beside it: weights, and plain settings that rebuild its model.

It is read with `weights_only`, so that nothing in it is executed; and of the classes that its settings name,
only those on an allow-list are built. A user adds one with `allow=["mypackage.MyNet"]` or, for commands, the
environment variable TRAINLAB_ALLOW (names or package prefixes ending in a dot, separated by commas).
"""

import os
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from trainlab.errors import RequestError
from trainlab.training import assemble

SCHEMA = 1
# What the model is made of; nothing else of the settings is built when a checkpoint is read.
MODEL_NODES = ("activation", "normalization", "norm_layer", "pool", "model")
_ALLOWED = re.compile(r"torch\.nn\.[A-Z]\w*|trainlab\.(nn|models)(\.\w+)+")


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
            "settings": dict(settings),
            "in_shape_CHW": list(images.in_shape_CHW),
            "classes": list(images.classes),
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
    if not zipfile.is_zipfile(path):  # what torch.save writes; anything else is torn or not ours
        raise RequestError(f"{path}: not a readable checkpoint (no zip archive)")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a reader of arbitrary bytes raises whatever those lead it to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RequestError(f"{path}: not a readable checkpoint ({reason})") from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("trainlab"), dict):
        raise RequestError(f"{path}: not a checkpoint of trainlab")
    if checkpoint["trainlab"].get("schema") != SCHEMA:
        raise RequestError(
            f"{path}: checkpoint of schema {checkpoint['trainlab'].get('schema')}, expected {SCHEMA}"
        )
    return checkpoint


def load_model(path: Path, allow: Iterable[str] = ()) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a checkpoint in eval mode (pixels x_NCHW 0..255 → logits_NK), and its description.

    The description holds `settings`, `in_shape_CHW`, `classes`, `run_id`.

    Raises:
        RequestError: not a checkpoint of ours, or it names a class that is not on the allow-list.
    """
    checkpoint = read(path)
    description = checkpoint["trainlab"]
    settings = description["settings"]
    check_allowed({node: settings.get(node) for node in MODEL_NODES}, allow)
    channels = description["in_shape_CHW"][0]
    # placeholders: the checkpoint carries the statistics as buffers
    blank = ((0.0,) * channels, (1.0,) * channels)
    model = assemble.model(settings, description["in_shape_CHW"], len(description["classes"]), *blank)
    weights = {
        k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k.startswith("model.")
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RequestError(
            f"{path}: weights do not fit their settings ({str(error).splitlines()[-1].strip()})"
        ) from None
    return model.eval(), description


def check_allowed(nodes: Any, allow: Iterable[str] = ()) -> None:
    """Refuses settings that name a class which is not on the allow-list.

    Raises:
        RequestError: naming the class and how to allow it.
    """
    mine = [*allow, *filter(None, os.environ.get("TRAINLAB_ALLOW", "").split(","))]
    for target in _targets(nodes):
        by_user = any(target == name or (name.endswith(".") and target.startswith(name)) for name in mine)
        if not by_user and not _ALLOWED.fullmatch(target):
            raise RequestError(
                f"the checkpoint names {target}, which is not on the allow-list; "
                f"if you trust it: TRAINLAB_ALLOW={target}"
            )


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "_target_" and value is not None:
                yield str(value)
            else:
                yield from _targets(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _targets(value)
