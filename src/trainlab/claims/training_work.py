"""What the training of a network comes to: steps, images a step, multiply-adds an image, weight layers.

Called in a process of its own; torch is imported inside the functions.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from trainlab.settings import RunSettings, Settings

if TYPE_CHECKING:
    from trainlab.data import ImageData


class NetworkSize(NamedTuple):
    """Multiply-adds of the weight layers for one image, forward; how many of these layers there are."""

    multiply_adds: int
    layers: int


class TrainingWork(NamedTuple):
    """One run: its steps, the images of a step, its network."""

    steps: int
    batch_size: int
    network: NetworkSize

    @property
    def multiply_adds_per_step(self) -> int:
        """Of the forward pass."""
        return self.batch_size * self.network.multiply_adds

    @property
    def flops(self) -> int:
        """Of all steps: a multiply-add is two, and backward there are twice as many as forward."""
        return self.steps * 3 * 2 * self.multiply_adds_per_step


def network_sizes(settings: Sequence[Settings]) -> list[NetworkSize]:
    """Of the networks of built-in data, whose shapes are known without them. Raises RequestError."""
    from trainlab.build import networks

    return [_size(one, networks.input_shape_CHW(one), one.data.num_classes or 0) for one in settings]


def training_work(settings: Sequence[RunSettings]) -> list[TrainingWork]:
    """The work of these runs; each data set is decoded once, and kept for them. Raises RequestError."""
    from trainlab.build.data import load_data
    from trainlab.build.optimizer import total_steps

    by_data: dict[str, list[int]] = {}
    for number, one in enumerate(settings):
        by_data.setdefault(one.data.to_json() + one.paths.to_json(), []).append(number)
    found: dict[int, TrainingWork] = {}
    for numbers in by_data.values():  # one data set in memory at a time
        images: ImageData = load_data(settings[numbers[0]])
        for number in numbers:
            one = settings[number]
            size = _size(one, images.in_shape_CHW, images.num_classes)
            found[number] = TrainingWork(total_steps(one, images), one.data.batch_size, size)
    return [found[number] for number in range(len(settings))]


def _size(settings: Settings, shape_CHW: Sequence[int], num_classes: int) -> NetworkSize:
    import torch

    from trainlab.build import networks
    from trainlab.models import anatomy

    with torch.device("meta"):
        network = networks.build_network(settings, tuple(shape_CHW), num_classes)
    counts = [row.multiply_adds for row in anatomy(network, tuple(shape_CHW)) if row.multiply_adds]
    return NetworkSize(sum(counts), len(counts))
