"""The images of a run's settings: decoded, split, in batches, augmented."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path

from torch import Tensor

from trainlab.build.seeding import seed_for
from trainlab.data import ImageData, augment, load_images
from trainlab.data.datamodule import ImageDataModule
from trainlab.data.dataset_sources import with_data_paths
from trainlab.instantiate import instantiate
from trainlab.instantiate.parts import AUGMENT
from trainlab.settings import RunSettings, Settings


def load_data(settings: Settings, data_folder: Path | None = None, cache: Path | None = None) -> ImageData:
    """The data set, decoded (the first time) and cut as the settings say.

    data_folder, cache: where the user says, here and now, that the data lie and decoded images are kept. Else
    it is as `with_data_paths` has it: a stranger's settings say where to look, not where to write.

    Raises:
        RequestError: missing or corrupt data, by file; a size out of range.
    """
    data = settings.data
    load = partial(
        load_images,
        data.source,
        image_size=data.image_size,
        channels=data.channels,
        num_classes=data.num_classes,
        val_size=data.val_size,
        train_size=data.train_size,
        test_size=data.test_size,
        split_seed=data.split_seed,
        pixel_order=data.permute_pixels,
        label_noise=data.label_noise,
    )
    return with_data_paths(settings, load, data_folder, cache)


def describe_data_change(settings: RunSettings, images: ImageData) -> str | None:
    """That these are not the data of the run, with both fingerprints; None where they are."""
    if settings.fingerprint == images.fingerprint:
        return None
    return (
        f"data={settings.data.name}: run {settings.run_id} is of data with fingerprint "
        f"{settings.fingerprint} ({settings.data_copy}), but those that are there have "
        f"{images.fingerprint} ({images.copy})"
    )


def build_augmentation(settings: Settings) -> Callable[..., Tensor] | None:
    """The function of (x_NCHW, generator) that augments each training batch; None where it would do nothing.

    One that `needs_place` is given it by name.

    Called at every step: the plain function, since Hydra's own partials, which the user's settings come to,
    look through their policy at each call, which takes half a millisecond.
    """
    built = instantiate(settings.augment, AUGMENT)
    if isinstance(built, partial):
        built = partial(built.func, *built.args, **built.keywords)
        return None if built.func is augment.none else built
    return built


def needs_place(augmentation: Callable[..., Tensor]) -> bool:
    """Whether an augmentation asks which images of which epoch the batch holds: by an argument `place`."""
    try:
        return "place" in inspect.signature(augmentation).parameters
    except (TypeError, ValueError):  # one that has no signature
        return False


def build_datamodule(settings: Settings, images: ImageData) -> ImageDataModule:
    """Batches of the three splits, the training order by the run's seed."""
    return ImageDataModule(images, settings.data.batch_size, seed=seed_for(settings.seed, "order"))
