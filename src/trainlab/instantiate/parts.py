"""The parts of the settings that name a class or function: what each is called with, and what a stranger's
settings may name in it."""

from dataclasses import dataclass

CALL_SIGNATURES = {
    "model": "(in_shape_CHW, num_classes, activation, norm_layer, pool), all by name",
    "activation": "() for each of its places",
    "norm_layer": "(num_features) for each of its places",
    "pool": "() for each of its places",
    "normalization": "(mean_C, std_C), both by name",
    "init": "(layer, negative_slope=0.0)",
    "optimizer": "(parameters)",
    "scheduler": "(optimizer, total_steps)",
    "augment": "(x_NCHW, generator)",
    "data.source": "find(root)",
}
"""By part, what it is called with; the docstrings of `trainlab.nn`, `trainlab.models` and
`trainlab.data.dataset_sources` have an example of each."""
PARTIAL_PARTS = frozenset(CALL_SIGNATURES) - {"init", "data.source"}
"""Parts that are called when the network is built, and not where the settings are read: `_partial_: true`."""


def expected_call(part: str, is_partial: bool = True) -> str:
    """What is said behind a TypeError: how the part is called, and that it must wait for its call."""
    if part not in CALL_SIGNATURES:
        return ""
    said = f"; expected: {part} is called with {CALL_SIGNATURES[part]}"
    return said if is_partial or part not in PARTIAL_PARTS else f"{said}, so its YAML needs _partial_: true"


TARGET = "_target_"


@dataclass(frozen=True)
class Part:
    """A part of the settings, and which objects it may name where the settings are a stranger's.

    classes_in: packages or modules; a class defined in one of them will do if it is a subclass of `base`
        (`module.Class`; any class where that is None).
    named: single classes and functions that will do as well.
    """

    name: str
    classes_in: tuple[str, ...] = ()
    base: str | None = None
    named: tuple[str, ...] = ()


_LAYER = "torch.nn.Module"
_LAYERS_IN = ("torch.nn.modules", "trainlab.nn")
ACTIVATION = Part("activation", _LAYERS_IN, _LAYER)
INIT = Part("init", ("trainlab.nn.initializers", "trainlab.nn.lsuv"))
NORMALIZATION = Part("normalization", ("trainlab.nn.normalization",), _LAYER)
NORM_LAYER = Part("norm_layer", _LAYERS_IN, _LAYER, named=(
    "trainlab.nn.norm_layers.layer_norm", "trainlab.nn.norm_layers.group_norm",
))  # fmt: skip
POOL = Part("pool", _LAYERS_IN, _LAYER)
MODEL = Part("model", ("trainlab.models",), _LAYER)
SOURCE = Part("data.source", named=(
    "trainlab.data.digits.Digits",
    "trainlab.data.torchvision_datasets.mnist",
    "trainlab.data.torchvision_datasets.fashion_mnist",
    "trainlab.data.torchvision_datasets.cifar10",
    "trainlab.data.shapeset.Shapeset",
    "trainlab.data.image_folder.ImageFolder",
))  # fmt: skip
AUGMENT = Part("augment", named=("trainlab.data.augment.none", "trainlab.data.augment.flip_crop"))
OPTIMIZER = Part("optimizer", ("torch.optim",), "torch.optim.Optimizer")
SCHEDULER = Part("scheduler", named=tuple(
    f"trainlab.nn.schedules.{name}" for name in ("constant", "cosine", "onecycle", "step")
))  # fmt: skip
LOGGER = Part("logger", named=(
    "trainlab.training.tracking.csv_logger",
    "trainlab.training.tracking.tensorboard_logger",
    "trainlab.training.wandb_tracking.wandb_logger",
))  # fmt: skip
