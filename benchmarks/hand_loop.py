"""What one would write by hand: torch alone, images in memory, a loop. Never imports Lightning.

The networks are those that the platform trains with its defaults, written out.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from trainlab.data import ImageData
from trainlab.training.environment import keep_freed_memory

BATCH_SIZE = 128


def lenet5(activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    """LeNet-5 for 28 × 28 grey images: 61,706 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), activation(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), activation(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5), activation(), nn.Flatten(),
        nn.Linear(120, 84), activation(), nn.Linear(84, 10),
    )  # fmt: skip


def plain_cnn() -> nn.Module:
    """Four 3 × 3 convolutions of 16, 32, 64 and 64 maps for 32 × 32 colour images."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def initialize(network: nn.Module, init: Callable[[Tensor], object] = nn.init.kaiming_normal_) -> None:
    """Weights by `init`, biases zero, as the platform's initializers have them."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            init(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def loop(
    network: Callable[[], nn.Module], overrides: Sequence[str], steps: int, channels_last: bool, tuned: bool
) -> Callable[[], float]:
    """Trains `steps` steps a round, from new weights, with Adam; returns samples per second.

    channels_last: images and network in the platform's memory layout, else in torch's default one.
    tuned: with Adam's fused kernel and the allocator's setting that the platform takes, else with defaults
    of torch and of the C library.
    """
    if tuned:
        keep_freed_memory()
    images = _images(overrides)
    x_NHWC = torch.from_numpy(np.ascontiguousarray(images.train.x_NHWC[images.train.index]))
    y_N = torch.from_numpy(images.train.labels_N)
    x_NCHW = x_NHWC.permute(0, 3, 1, 2)
    if not channels_last:
        x_NCHW = x_NCHW.contiguous()
    shift = (255 * torch.tensor(images.mean_C))[:, None, None]
    scale = 1 / (255 * torch.tensor(images.std_C)[:, None, None])
    per_epoch = len(y_N) // BATCH_SIZE

    def do_round() -> float:
        model = network()
        initialize(model)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True if tuned else None)
        loss_of = nn.CrossEntropyLoss()
        order = torch.randperm(len(y_N))
        began = time.perf_counter()
        for step in range(steps):
            if step and step % per_epoch == 0:
                order = torch.randperm(len(y_N))
            first = step % per_epoch * BATCH_SIZE
            batch = order[first : first + BATCH_SIZE]
            x = (_rows(x_NCHW, batch).float() - shift) * scale
            loss = loss_of(model(x), y_N[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return steps * BATCH_SIZE / (time.perf_counter() - began)

    return do_round


def _rows(x_NCHW: Tensor, batch: Tensor) -> Tensor:
    """Images of a batch in the layout that all have: indexing would give them torch's default one."""
    if x_NCHW.is_contiguous():
        return x_NCHW.index_select(0, batch)
    return x_NCHW.permute(0, 2, 3, 1).index_select(0, batch).permute(0, 3, 1, 2)


def _images(overrides: Sequence[str]) -> ImageData:
    """The same images as the platform's, from its decoded cache."""
    from trainlab.build.data import load_data
    from trainlab.config import compose

    return load_data(compose(list(overrides)))
