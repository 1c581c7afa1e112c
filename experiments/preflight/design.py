"""Which runs the zoo is made of: points drawn at random, by a seed, from a space of settings.

Not a full product, which would hold billions: every axis is drawn by itself, with the weights below, and the
axes that belong to an option (its depth, its width, its learning rates) are drawn with it. Some points are
trained with three seeds: near the border of trainability one seed learns and the next does not.

There are two parts. `WIDE` holds whatever the platform offers, with rates from hopelessly small to absurd.
`ORDINARY` is what a course sweeps: plain convolutional networks, Adam and SGD without momentum, rates within
a decade or so of the usual. It was written down before any of its runs was trained, and the features of the
forecast were made without them; and so was its score: by the fits that leave a family of the whole zoo out,
over all axes and over activation, depth, data and optimizer alone, and by a fit of the wide part alone.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

SEEDS_OF_EVERY = 8
"""One point in so many is trained with two seeds more."""

REPEAT_EVERY = 6
"""One run in so many is trained again on other images."""

T = TypeVar("T")
Weighted = Mapping[str, float]
WeightedCounts = Mapping[int, float]

ACTIVATIONS: Weighted = {
    "relu": 4, "sigmoid": 4, "tanh": 4, "gelu": 2, "selu": 2, "softplus": 2, "softsign": 2, "elu": 2,
    "silu": 2, "leaky_relu": 2, "hardtanh": 2, "prelu": 1, "identity": 1,
}  # fmt: skip
INITIALIZERS: Weighted = {
    "kaiming": 3, "kaiming_uniform": 1, "glorot": 3, "glorot_normal": 1, "lecun": 3, "normal": 3,
    "orthogonal": 2, "delta_orthogonal": 2, "lsuv": 2, "torch_default": 3, "zeros": 0.6, "mean_field": 4,
}  # fmt: skip
NORMALIZATIONS: Weighted = {
    "standardize": 5, "center": 1, "unit": 1.2, "symmetric": 1, "raw": 1, "per_image": 1,
}  # fmt: skip
NORM_LAYERS: Weighted = {
    "none": 6.5, "batchnorm": 1.2, "batchnorm_no_affine": 0.5, "batchnorm_after_activation": 0.6,
    "layernorm": 0.6, "groupnorm": 0.4, "instancenorm": 0.4,
}  # fmt: skip
DATA: Weighted = {"digits": 1, "mnist": 1.2, "cifar10": 1}
MODELS: Weighted = {
    "plain_cnn": 6,
    "mlp": 2.6,
    "resnet": 0.8,
    "lenet5": 0.3,
    "vgg": 0.25,
    "locally_connected": 0.25,
}
OPTIMIZERS: Weighted = {
    "adam": 3.6, "sgd": 2.6, "sgd_momentum": 2, "sgd_nesterov": 0.5, "rmsprop": 0.8, "adamw": 0.6,
}  # fmt: skip
STEPS: WeightedCounts = {60: 1, 100: 1, 200: 1, 300: 1}
BATCH_SIZES: WeightedCounts = {64: 6, 32: 1, 16: 1, 128: 1}
SCHEDULERS: Weighted = {"constant": 8, "cosine": 1, "onecycle": 0.5}
DEPTHS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24)

SIZES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "plain_cnn": {"depth": DEPTHS, "width": (6, 8, 12)},
    "mlp": {"depth": DEPTHS, "width": (32, 64, 100)},
    "resnet": {"depth": (3, 6, 9), "width": (4, 6)},
    "locally_connected": {"depth": (1, 2), "width": (4, 6)},
    "vgg": {"depth": (11, 13), "width": (4,)},
    "lenet5": {},
}
IMAGE_SIZES = {"lenet5": 32, "vgg": 32}
"""These take no images of 16 × 16."""

ADAPTIVE_RATES = (1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-3, 3e-3, 1e-2, 1e-1)
RATES = {
    "adam": ADAPTIVE_RATES, "adamw": ADAPTIVE_RATES, "rmsprop": ADAPTIVE_RATES,
    "sgd": (1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0),
    "sgd_momentum": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0),
    "sgd_nesterov": (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0),
}  # fmt: skip
SUBSETS = {"digits": (1152, 200, 360), "mnist": (2048, 200, 1000), "cifar10": (2048, 200, 1000)}
"""Images to train on, to validate and to test on."""

ALL_ALIKE = (
    "trainer=cpu", "trainer.val_every_epochs=1000", "logger=none", "checkpoint=none", "signals=off",
)  # fmt: skip


@dataclass(frozen=True)
class ZooPart:
    """A part of the zoo: its name, the seed of its random numbers, and the axes in which the parts differ."""

    name: str
    seed: int
    points: int
    models: Weighted
    optimizers: Weighted
    rates: Mapping[str, tuple[float, ...]]
    batch_sizes: WeightedCounts
    schedulers: Weighted

    @property
    def group(self) -> str:
        """The sweep that its runs belong to."""
        return f"preflight-{self.name}"


WIDE = ZooPart("wide", 20_251, 620, MODELS, OPTIMIZERS, RATES, BATCH_SIZES, SCHEDULERS)
ORDINARY = ZooPart(
    name="ordinary",
    seed=20_261,
    points=400,
    models={"plain_cnn": 1},
    optimizers={"adam": 1, "sgd": 1},
    rates={"adam": (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), "sgd": (1e-3, 1e-2, 3e-2, 0.1, 0.3)},
    batch_sizes={64: 1},
    schedulers={"constant": 1},
)
PARTS = {part.name: part for part in (WIDE, ORDINARY)}


def points(part: ZooPart, count: int | None = None) -> Iterator[list[str]]:
    """The overrides of each run of a part, in an order that does not change as `count` grows.

    What the platform would refuse (InstanceNorm in a dense network) is drawn again.
    """
    rng = random.Random(part.seed)
    for number in range(part.points if count is None else count):
        point = _point(rng, part)
        seeds = range(3) if number % SEEDS_OF_EVERY == 0 else [number % 5]
        for run_seed in seeds:
            yield [*point, f"seed={run_seed}", *ALL_ALIKE]


def repeats() -> Iterator[list[str]]:
    """Every sixth wide run again: the same initial weights, other images of the same data set, another order.

    How often these end otherwise than the first time is what no forecast from the initial weights can know.
    """
    for number, lines in enumerate(points(WIDE)):
        if number % REPEAT_EVERY == 0:
            yield [*lines, "data.split_seed=1"]


def _point(rng: random.Random, part: ZooPart) -> list[str]:
    while True:
        model, norm_layer = _draw(rng, part.models), _draw(rng, NORM_LAYERS)
        if norm_layer != "instancenorm" or model in ("plain_cnn", "resnet"):
            break
    data, optimizer, init = _draw(rng, DATA), _draw(rng, part.optimizers), _draw(rng, INITIALIZERS)
    train_size, val_size, test_size = SUBSETS[data]
    lines = [
        f"model={model}",
        f"norm_layer={norm_layer}",
        f"data={data}",
        f"optimizer={optimizer}",
        f"init={init}",
    ]
    lines += [f"{key}={rng.choice(values)}" for key, values in SIZES[model].items()]
    lines += [f"activation={_draw(rng, ACTIVATIONS)}", f"normalization={_draw(rng, NORMALIZATIONS)}"]
    lines += [
        f"optimizer.lr={rng.choice(part.rates[optimizer])}",
        f"scheduler={_draw(rng, part.schedulers)}",
    ]
    if init == "mean_field":
        lines += [f"init.sigma_w2={rng.choice((0.5, 1.0, 1.5, 2.0, 3.0, 5.0))}"]
        lines += [f"init.sigma_b2={rng.choice((0.0, 0.05, 0.2))}"]
    if optimizer.startswith("sgd") and rng.random() < 0.1:
        lines += [f"optimizer.weight_decay={rng.choice((1e-3, 1e-2, 0.1))}"]
    lines += [
        f"data.image_size={IMAGE_SIZES.get(model, 16)}",
        f"data.batch_size={_draw(rng, part.batch_sizes)}",
    ]
    lines += [f"data.train_size={train_size}", f"data.val_size={val_size}", f"data.test_size={test_size}"]
    lines += [f"trainer.max_steps={_draw(rng, STEPS)}"]
    return lines


def _draw(rng: random.Random, weighted: Mapping[T, float]) -> T:
    return rng.choices(list(weighted), list(weighted.values()))[0]
