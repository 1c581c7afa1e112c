"""Settings become parts: the one place, with `run.py`, that reads settings as a tree."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from trainlab.build import build, policy, reason
from trainlab.build.calls import expected
from trainlab.data import ImageData, augment, load_images
from trainlab.data.datamodule import ImageDataModule
from trainlab.data.loader import BatchLoader
from trainlab.data.located import with_places
from trainlab.errors import RequestError
from trainlab.models.normalized import NormalizedNetwork
from trainlab.nn.initializers import initialize
from trainlab.nn.norm_layers import NormLayer
from trainlab.nn.sync_batchnorm import synchronize_batchnorm
from trainlab.training.calls import check_calls
from trainlab.training.classifier import Classifier
from trainlab.training.seeding import seed_everything, seed_for

# Images on which LSUV measures a layer's variance (Mishkin & Matas 2016 use a training batch)
LSUV_BATCH_SIZE = 256
# One pass over each tensor instead of a dozen operations: 0.1 ms a step and not 0.3 for LeNet-5 (SGD: slower)
FUSED_ON_CPU = ("torch.optim.Adam", "torch.optim.AdamW")


def network(settings: Mapping[str, Any], in_shape_CHW: Sequence[int], num_classes: int) -> nn.Module:
    """The network of these settings, with torch's own initial weights.

    Raises:
        RequestError: a combination that cannot be built, by name.
    """
    norm_layer = settings["norm_layer"]
    built = build(settings["model"], policy.MODEL)
    try:
        return built(
            in_shape_CHW=tuple(in_shape_CHW),
            num_classes=num_classes,
            activation=build(settings["activation"], policy.ACTIVATION),
            norm_layer=NormLayer(norm_layer["position"], build(norm_layer["layer"], policy.NORM_LAYER)),
            pool=build(settings["pool"], policy.POOL),
        )
    except TypeError as error:
        named = f"model={settings['axes']['model']}"
        raise RequestError(f"{named}: {reason(error)}{expected(policy.MODEL.name)}") from error


def model(
    settings: Mapping[str, Any],
    in_shape_CHW: Sequence[int],
    num_classes: int,
    mean_C: Sequence[float],
    std_C: Sequence[float],
) -> NormalizedNetwork:
    """Input normalization with its statistics (unit scale 0..1), then the network."""
    normalization = build(settings["normalization"], policy.NORMALIZATION)
    normalization = normalization(mean_C=tuple(mean_C), std_C=tuple(std_C))
    built = NormalizedNetwork(normalization, network(settings, in_shape_CHW, num_classes))
    if any(isinstance(m, nn.Conv2d) for m in built.modules()):
        # images lie in memory as N, H, W, C already, and convolutions are faster so, on CPU and GPU
        built = built.to(memory_format=torch.channels_last)
    return built


def images(
    settings: Mapping[str, Any], data_folder: Path | None = None, cache: Path | None = None
) -> ImageData:
    """The data set, decoded (the first time) and cut as the settings say.

    data_folder, cache: where the user says, here and now, that the data lie and decoded images are kept. Else
    it is as `trainlab.data.located` has it: a stranger's settings say where to look, not where to write.

    Raises:
        RequestError: missing or corrupt data, by file; a size out of range.
    """
    data = settings["data"]
    cut = ("image_size", "channels", "num_classes", "val_size", "train_size", "test_size", "split_seed")
    load = partial(load_images, data["source"], **{name: data[name] for name in cut})
    return with_places(settings, load, data_folder, cache)


def change_of_data(settings: Mapping[str, Any], images: ImageData) -> str | None:
    """That these are not the data of the run, with both fingerprints; None where they are."""
    recorded = settings.get("fingerprint")
    if recorded is None or recorded == images.fingerprint:
        return None
    return (
        f"data={settings['data']['name']}: run {settings['run_id']} is of data with fingerprint {recorded} "
        f"({settings['copy']}), but those that are there have {images.fingerprint} ({images.copy})"
    )


def initialized_model(settings: Mapping[str, Any], images: ImageData) -> NormalizedNetwork:
    """The model at step 0: built and initialized from the run's seed; LSUV gets a batch of real images."""
    seed_everything(seed_for(settings["seed"], "init"))
    built = model(settings, images.in_shape_CHW, images.num_classes, images.mean_C, images.std_C)
    batch_size = min(LSUV_BATCH_SIZE, len(images.train))
    loader = BatchLoader(images.train, batch_size, shuffle=True, seed=seed_for(settings["seed"], "init"))
    x_NCHW, _ = next(iter(loader))
    initialize(built.network, build(settings["init"], policy.INIT), built.normalization(x_NCHW))
    return built


def classifier(settings: Mapping[str, Any], images: ImageData) -> Classifier:
    """The LightningModule around an initialized model, with optimizer, schedule and augmentation."""
    model = initialized_model(settings, images)
    if settings["trainer"]["devices"] > 1:
        synchronize_batchnorm(model)  # on GPUs, Lightning puts torch's own in their place
    return Classifier(
        model,
        images.num_classes,
        optimizer=optimizer(settings),
        scheduler=build(settings["scheduler"], policy.SCHEDULER),
        total_steps=total_steps(settings, images),
        augment=augmentation(settings),
        seed=settings["seed"],
    )


def optimizer(settings: Mapping[str, Any]) -> Callable[[Iterable[nn.Parameter]], Optimizer]:
    """What makes the optimizer of given parameters; on a CPU by torch's fused kernel where that is faster."""
    node = settings["optimizer"]
    built = build(node, policy.OPTIMIZER)
    if node["_target_"] not in FUSED_ON_CPU or "fused" in node:
        return built

    def fused_on_cpu(parameters: Iterable[nn.Parameter]) -> Optimizer:
        parameters = list(parameters)
        on_cpu = all(p.device.type == "cpu" for p in parameters)
        return built(parameters, fused=True if on_cpu else None)  # None: as torch thinks best

    return fused_on_cpu


def augmentation(settings: Mapping[str, Any]) -> Callable[[Tensor, torch.Generator], Tensor] | None:
    """The function of (x_NCHW, generator) that augments each training batch; None where it would do nothing.

    Called at every step: the plain function, since Hydra's own partials, which the user's settings come to,
    look through their policy at each call, which takes half a millisecond.
    """
    built = build(settings["augment"], policy.AUGMENT)
    if isinstance(built, partial):
        built = partial(built.func, *built.args, **built.keywords)
        return None if built.func is augment.none else built
    return built


def loaders(settings: Mapping[str, Any], images: ImageData) -> ImageDataModule:
    """Batches of the three splits, the training order by the run's seed."""
    return ImageDataModule(images, settings["data"]["batch_size"], seed=seed_for(settings["seed"], "order"))


def total_steps(settings: Mapping[str, Any], images: ImageData) -> int:
    """Optimizer steps of the whole run, by its budget."""
    budget = settings["trainer"]
    by_epochs = (budget["max_epochs"] or math.inf) * len(loaders(settings, images).train_dataloader())
    return int(min(by_epochs, budget["max_steps"] or math.inf))


def in_shape_CHW(settings: Mapping[str, Any]) -> tuple[int, int, int]:
    """The network's input by the settings alone, with no data present."""
    data = settings["data"]
    return data["channels"], data["image_size"], data["image_size"]


def check(settings: Mapping[str, Any]) -> None:
    """Refuses what cannot be built or trained, before any data are read: builds it on the meta device.

    Raises:
        RequestError: by name, with what was expected.
    """
    check_calls(settings)
    data = settings["data"]
    if data["image_size"] is None or data["num_classes"] is None:
        return  # a folder of the user's: its shape is known once it has been read
    with torch.device("meta"):
        built = network(settings, in_shape_CHW(settings), data["num_classes"])
    check_batch(settings, built)
    parameter = nn.Parameter(torch.zeros(1))
    try:
        optimizer = build(settings["optimizer"], policy.OPTIMIZER)([parameter])
        build(settings["scheduler"], policy.SCHEDULER)(optimizer, 100)
    except (TypeError, ValueError) as error:
        raise RequestError(f"optimizer or scheduler: {reason(error)}") from error


def check_batch(settings: Mapping[str, Any], built: nn.Module) -> None:
    """A batch of one has no variance over the batch: BatchNorm cannot train on it."""
    per_device = settings["data"]["batch_size"] // settings["trainer"]["devices"]
    if per_device < 1:
        raise RequestError(
            f"data.batch_size={settings['data']['batch_size']}: expected at least one image for each of "
            f"trainer.devices={settings['trainer']['devices']}"
        )
    has_batchnorm = any(isinstance(m, _BatchNorm) for m in built.modules())
    smallest = min(per_device, settings["data"]["train_size"] or per_device)
    if has_batchnorm and smallest == 1:
        raise RequestError(
            f"norm_layer={settings['axes']['norm_layer']} on a batch of one: "
            "expected data.batch_size of at least 2 per device, or norm_layer=layernorm, groupnorm or none"
        )
