"""The axes: what can be chosen by name, each declared once.

An option of an axis is a file in `conf/<axis>/`. From a declaration follow the listing of options, the help,
the section of the settings and its check, the run's identity, the columns of tables, what a stranger's
settings may name, what is rebuilt from a checkpoint, the remedies of `trainlab explain`, and the controls of
the app. A new axis is a line in `AXES`, its folder of YAML, and its code: as a rule a class or function that
is called with the finished network and gives the network that is trained (`wraps_network`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_LAYER = "torch.nn.Module"
_LAYERS_IN = ("torch.nn.modules", "trainlab.nn")


@dataclass(frozen=True)
class Axis:
    """One axis of choice.

    name: the word before `=` on the command line, the folder in `conf/`, the section of the settings.
    description: a few words, for the listing and the help.
    default: the option of who chooses none, where `conf/train.yaml` does not say it.
    is_component: its section names what is built (`_target_`); else it is hardware, a preset or Hydra's own.
    is_hashed: its content decides the result of a run, and is part of the run's identity.
    is_named: the option's name is recorded, and is a column of tables and a tag.
    in_checkpoint: it is part of the model, and is rebuilt from a checkpoint.
    is_model_argument: what is built is given to the model, by the axis's name.
    wraps_network: what is built is called with the network, and gives the network that is trained.
    remedies: the option that mends a cause, by the cause's name, where its own remedies do not apply.
    control: the place of its control on the app's page "Will it learn?"; None where it has none.
    called_with: the arguments of what is built, in words; empty where nothing is called.
    is_partial: it is called when the network is built, not where the settings are read: `_partial_: true`.
    classes_in, base, objects: what untrusted settings may name: classes defined in these packages or
        modules that are subclasses of `base` (`module.Class`; any where None), and single objects.
    """

    name: str
    description: str
    default: str = "none"
    is_component: bool = True
    is_hashed: bool = True
    is_named: bool = True
    in_checkpoint: bool = False
    is_model_argument: bool = False
    wraps_network: bool = False
    remedies: Mapping[str, str] = field(default_factory=dict)
    control: int | None = None
    called_with: str = ""
    is_partial: bool = True
    classes_in: tuple[str, ...] = ()
    base: str | None = None
    objects: tuple[str, ...] = ()


AXES = (
    Axis(
        "activation", "activation function", default="relu", in_checkpoint=True, is_model_argument=True,
        control=2, called_with="() for each of its places", classes_in=_LAYERS_IN, base=_LAYER,
    ),
    Axis(
        "init", "initializer of weights and biases", default="kaiming", control=3,
        called_with="(layer, negative_slope=0.0)", is_partial=False,
        classes_in=("trainlab.nn.initializers", "trainlab.nn.lsuv"),
    ),
    Axis(
        "normalization", "input normalization", default="standardize", in_checkpoint=True, control=5,
        called_with="(mean_C, std_C), both by name", classes_in=("trainlab.nn.normalization",), base=_LAYER,
    ),
    Axis(
        "norm_layer", "normalization layer", in_checkpoint=True, is_model_argument=True, control=4,
        called_with="(num_features) for each of its places", classes_in=_LAYERS_IN, base=_LAYER,
        objects=tuple(
            f"trainlab.nn.norm_layers.{name}"
            for name in ("layer_norm", "group_norm", "fixed_scale_batch_norm")
        ),
    ),
    Axis(
        "pool", "pooling", default="max", in_checkpoint=True, is_model_argument=True,
        called_with="() for each of its places", classes_in=_LAYERS_IN, base=_LAYER,
    ),
    Axis(
        "model", "architecture", default="plain_cnn", in_checkpoint=True, control=1,
        called_with="(in_shape_CHW, num_classes, activation, norm_layer, pool), all by name",
        classes_in=("trainlab.models",), base=_LAYER,
    ),
    Axis(
        "data", "data set", default="digits", called_with="find(root)", is_partial=False,
        objects=(
            "trainlab.data.digits.Digits",
            "trainlab.data.torchvision_datasets.mnist",
            "trainlab.data.torchvision_datasets.fashion_mnist",
            "trainlab.data.torchvision_datasets.cifar10",
            "trainlab.data.shapeset.Shapeset",
            "trainlab.data.image_folder.ImageFolder",
        ),
    ),
    Axis(
        "augment", "augmentation", called_with="(x_NCHW, generator), and place by name where it has one",
        objects=(
            "trainlab.data.augment.none",
            "trainlab.data.augment.flip_crop",
            "trainlab.data.alternating_flip.alternating_flip",
        ),
    ),
    Axis(
        "optimizer", "optimizer", default="adam", called_with="(parameters)",
        classes_in=("torch.optim", "trainlab.nn.muon", "trainlab.nn.scaled_bias_sgd"),
        base="torch.optim.Optimizer",
    ),
    Axis(
        "scheduler", "learning-rate schedule", default="constant", called_with="(optimizer, total_steps)",
        objects=tuple(
            f"trainlab.nn.schedules.{name}"
            for name in ("constant", "cosine", "linear", "onecycle", "step", "triangular")
        ),
    ),
    Axis("trainer", "hardware", default="auto", is_component=False, is_hashed=False, is_named=False),
    Axis(
        "logger", "tracking", default="wandb", is_hashed=False, is_named=False,
        objects=(
            "trainlab.training.tracking.csv_logger",
            "trainlab.training.tracking.tensorboard_logger",
            "trainlab.training.wandb_tracking.wandb_logger",
        ),
    ),
    Axis("debug", "debugging", is_component=False, is_hashed=False, is_named=False),
    Axis("experiment", "preset", is_component=False, is_hashed=False, is_named=False),
    Axis(
        "hydra/launcher", "where the runs of a sweep run", default="local", is_component=False,
        is_hashed=False, is_named=False,
    ),
)  # fmt: skip
"""All axes, in the order in which people think of them."""

AXIS = {axis.name: axis for axis in AXES}
"""The axes by their names."""
NETWORK_WRAPPERS = tuple(axis for axis in AXES if axis.wraps_network)
"""The axes whose options are called with the finished network, one after the other."""
