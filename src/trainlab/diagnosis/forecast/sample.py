"""The images that a forecast looks at: two parts to take gradients from, and one that no gradient has seen.

Legend: N images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.diagnosis.forecast.batches import Batches, read
from trainlab.diagnosis.forecast.subject import Subject
from trainlab.errors import RequestError
from trainlab.nn.layers import fans, weight_layers

MOST_IMAGES, FEWEST_IMAGES, FEWEST_WITH_BATCHNORM = 128, 16, 32
"""Images of a part. BatchNorm's statistics need 32 at least (its gradient depends on them)."""

AFFORDED_MULTIPLY_ADDS = 1e11
"""What a forecast may cost: about two seconds on two cores."""

OF_AN_OUTPUT = 100
"""Multiply-adds that take as long as norm layer, activation and pooling of one output."""

PASSES, PASSES_HELD = 46, 26
"""Times that each image of a part, and each that is held out, passes forward; back counts twice."""


@dataclass(frozen=True)
class Part:
    """Images as the network sees them, their classes, and the seed of dropout for them."""

    x_NCHW: Tensor
    y_N: Tensor
    seed: int = 1


@dataclass(frozen=True)
class Sample:
    """`first` and `second`, of one size, and `held`: two or four times that, as it can be afforded.

    `is_affordable` is False where even the fewest images cost more than a forecast may. batch_size: images of
    a batch as it was handed over.
    """

    first: Part
    second: Part
    held: Part
    is_affordable: bool = True
    batch_size: int | None = None

    @property
    def all_x_NCHW(self) -> Tensor:
        """Every image once, where there were enough."""
        return torch.cat([part.x_NCHW for part in (self.first, self.second, self.held)])

    @property
    def all_y_N(self) -> Tensor:
        """Their classes."""
        return torch.cat([part.y_N for part in (self.first, self.second, self.held)])

    @property
    def classes(self) -> Tensor:
        """The classes that occur."""
        return self.all_y_N.unique()


def take(batches: Batches, subject: Subject) -> Sample:
    """The first images of `batches`, as many as can be afforded for this network.

    Raises RequestError for fewer than four images, and for what is no batch of images and classes.
    """
    xs, ys, wanted, part, is_affordable = [], [], 4, 1, True
    for x_NCHW, y_N in read(batches, subject.model):
        if not xs and len(x_NCHW):
            part, held, is_affordable = _affordable(subject, x_NCHW[:2].to(subject.device), len(x_NCHW))
            wanted = 2 * part + held
        xs.append(x_NCHW.detach())
        ys.append(y_N)
        if sum(map(len, xs)) >= wanted:
            break
    count = min(sum(map(len, xs)), wanted)
    if count < 4:
        raise RequestError(f"preflight: got {count} images, expected at least 4, better 256")
    shapes = sorted({tuple(x.shape[1:]) for x in xs})
    if len(shapes) > 1:
        raise RequestError(
            f"preflight: got images of the shapes {shapes[0]} and {shapes[1]}, expected one shape"
        )
    x_NCHW, y_N = torch.cat(xs)[:count].to(subject.device), torch.cat(ys)[:count].to(subject.device)
    # of few images the held ones are fewer, or were seen: BatchNorm needs its 32
    size = part if count == wanted else max(count // 4, min(_fewest(subject), count // 2))
    held = max(count - 2 * size, size)
    return Sample(
        Part(x_NCHW[:size], y_N[:size], 1),
        Part(x_NCHW[size : 2 * size], y_N[size : 2 * size], 2),
        Part(x_NCHW[-held:], y_N[-held:], 3),
        is_affordable,
        len(xs[0]),
    )


def _fewest(subject: Subject) -> int:
    return FEWEST_WITH_BATCHNORM if subject.has_batch_statistics else FEWEST_IMAGES


def _affordable(subject: Subject, x_NCHW: Tensor, batch_size: int) -> tuple[int, int, bool]:
    """Images of a part, and of those held out; whether they can be afforded."""
    passes = AFFORDED_MULTIPLY_ADDS / max(cost(subject, x_NCHW), 1)
    if passes >= MOST_IMAGES * (PASSES + 4 * PASSES_HELD):
        part = _whole_batches(MOST_IMAGES, batch_size)
        return part, 4 * part, True
    affordable, fewest = int(passes / (PASSES + 2 * PASSES_HELD)), _fewest(subject)
    if affordable < fewest:
        return fewest, fewest, False
    part = _whole_batches(min(affordable, MOST_IMAGES), batch_size)
    return part, 2 * part, True


def _whole_batches(images: int, batch_size: int) -> int:
    """As many whole batches as there are in so many images; of larger batches a part."""
    return images // batch_size * batch_size or images


def cost(subject: Subject, x_NCHW: Tensor) -> float:
    """What one image costs, in multiply-adds: those of the weight layers, and what follows each output."""
    products, outputs = count_layers(subject, x_NCHW)
    return products + OF_AN_OUTPUT * outputs


def count_layers(subject: Subject, x_NCHW: Tensor) -> tuple[float, float]:
    """(multiply-adds, outputs) of the weight layers for one image, counted in a forward pass of these."""
    products: list[int] = []
    outputs: list[int] = []
    fan_in: Mapping[torch.nn.Module, int] = {
        layer: fans(layer)[0] for _, layer in weight_layers(subject.model)
    }

    def count(layer: torch.nn.Module, inputs: tuple, output: Tensor) -> None:
        products.append(output.numel() * fan_in[layer])
        outputs.append(output.numel())

    handles = [layer.register_forward_hook(count) for layer in fan_in]
    try:
        with torch.no_grad():
            subject.run(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    return sum(products) / len(x_NCHW), sum(outputs) / len(x_NCHW)


def label_direction(y_N: Tensor, classes: int) -> Tensor:
    """One-hot labels less the classes' shares, (N, K): what is left to learn once the shares are learned."""
    onehot_NK = F.one_hot(y_N, classes).float()
    return onehot_NK - onehot_NK.mean(0)
