"""Checkpoints that describe themselves: weights, and plain settings that rebuild the model.

They are read with `weights_only`, so that nothing in them is executed, and how large one is when unpacked is
looked up before it is unpacked.
"""

import zipfile
from functools import partial
from pathlib import Path

import lightning as L
import torch

from trainlab.data import ImageData
from trainlab.errors import RequestError, describe_value
from trainlab.runs import RunFolder
from trainlab.settings import RunSettings
from trainlab.training.lightning_internals import Checkpoint, CheckpointDict

SCHEMA = 1

LAST_CHECKPOINT_KEY, BEST_CHECKPOINT_KEY = (
    f"Checkpoint{{'monitor': {monitor!r}, 'mode': {mode!r}, 'every_n_train_steps': 0, 'every_n_epochs': 1, "
    "'train_time_interval': None}"
    for monitor, mode in ((None, "min"), ("val/acc", "max"))
)
"""Under which the states of the two callbacks of `checkpoint_callbacks` lie in a checkpoint."""

MAX_PICKLE_BYTES = 16 * 2**20
"""Bytes of a checkpoint besides its weights; those of a large network are a few hundred thousand."""


def describe_model(settings: RunSettings, images: ImageData) -> dict[str, object]:
    """The key `trainlab` of a checkpoint: what is needed to rebuild its model and to name its classes."""
    return {
        "schema": SCHEMA,
        "run_id": settings.run_id,
        "settings": settings.to_plain(),
        "in_shape_CHW": list(images.in_shape_CHW),
        "classes": list(images.classes),
        "depth": images.bit_depth.as_plain() if images.bit_depth else None,
    }


class DescribeModel(L.Callback):
    """Puts into each checkpoint what is needed to rebuild its model and to name its classes."""

    def __init__(self, settings: RunSettings, images: ImageData):
        self.description = describe_model(settings, images)

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: CheckpointDict
    ) -> None:
        """Adds the key `trainlab`."""
        checkpoint["trainlab"] = self.description


def checkpoint_callbacks(settings: RunSettings, folder: RunFolder) -> list[L.Callback]:
    """`last.ckpt` is kept while the run goes, to go on from; `best.ckpt` where it was asked for."""
    wanted = settings.checkpoint
    make_checkpoint_callback = partial(
        Checkpoint, dirpath=folder.checkpoints, enable_version_counter=False, save_on_train_epoch_end=True
    )
    callbacks: list[L.Callback] = []
    if wanted != "none":
        callbacks.append(make_checkpoint_callback(filename="last", save_top_k=1, monitor=None))
    if wanted in ("best", "both"):
        callbacks.append(make_checkpoint_callback(filename="best", monitor="val/acc", mode="max"))
    return callbacks


def read_checkpoint(path: Path) -> CheckpointDict:
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
        raise _unreadable_error(path, first_line(error)) from None
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get("trainlab"), dict):
        raise RequestError(f"{path}: not a checkpoint of trainlab")
    if checkpoint["trainlab"].get("schema") != SCHEMA:
        raise RequestError(
            f"{path}: checkpoint of schema {describe_value(checkpoint['trainlab'].get('schema'))}, "
            f"expected {SCHEMA}"
        )
    return checkpoint


def read_progress(path: Path) -> tuple[int, int]:
    """The epochs and the optimizer steps that a checkpoint has behind it. Raises RequestError."""
    checkpoint = read_checkpoint(path)
    epoch, step = checkpoint.get("epoch"), checkpoint.get("global_step")
    if not isinstance(epoch, int) or not isinstance(step, int):
        raise damaged_checkpoint_error(path, "epoch or global_step")
    return epoch + 1, step


def _check_sizes(path: Path) -> None:
    """Refuses a file that by its own index unpacks to more than it should. Raises RequestError."""
    try:
        with zipfile.ZipFile(path) as archive:  # what torch.save writes; anything else is torn or not ours
            sizes = {item.filename: item.file_size for item in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _unreadable_error(path, f"no zip archive: {first_line(error)}") from None
    besides = sum(size for name, size in sizes.items() if not Path(name).parent.match("*/data"))
    if besides > MAX_PICKLE_BYTES:
        raise _unreadable_error(
            path, f"{besides:,} bytes besides its weights, more than {MAX_PICKLE_BYTES:,}"
        )
    if sum(sizes.values()) > 2 * path.stat().st_size + 2**20:  # torch.save does not compress
        raise _unreadable_error(path, f"{sum(sizes.values()):,} bytes packed into {path.stat().st_size:,}")


def _unreadable_error(path: Path, why: str) -> RequestError:
    return RequestError(f"{path}: not a readable checkpoint ({why})")


def damaged_checkpoint_error(path: Path, what: str) -> RequestError:
    return RequestError(f"{path}: damaged, or not a checkpoint of trainlab ({what} missing or odd)")


def first_line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
