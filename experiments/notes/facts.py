"""The numbers in the corrections, each computed here from the networks and the data themselves."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from trainlab.data import load_images
from trainlab.models import VGG, LayerRow, LeNet5, anatomy


def computed_facts(root: Path, cache: Path) -> dict[str, str]:
    """The value of each name that a correction's text uses. Raises RequestError where MNIST is missing."""
    vgg_224, vgg_244 = _layers_of_vgg(224), _layers_of_vgg(244)
    with torch.device("meta"):
        lenet = {row.name: row for row in anatomy(LeNet5((1, 28, 28), 10), (1, 28, 28))}
        convolutions = {size: nn.Conv2d(3, 64, size) for size in (3, 224)}
        batchnorm = nn.BatchNorm2d(64)
    parameters = {_total(rows) for rows in (vgg_224, vgg_244)}
    if len(parameters) != 1:
        raise ValueError(f"VGG-16 at 224 and 244 pixels: expected as many parameters, got {parameters}")
    maps = [row.out_shape[0] for row in vgg_224 if row.kind == "Conv2d"]
    before, after = (lenet[name].out_shape[1] * lenet[name].out_shape[2] for name in ("C1.conv", "S2"))
    mnist = load_images("mnist", root, cache)
    return {
        "sizes_224": _pooled_sizes(vgg_224),
        "sizes_244": _pooled_sizes(vgg_244),
        "vgg_parameters": f"{parameters.pop():,}",
        "vgg_224_multiply_adds": _billions(vgg_224),
        "vgg_244_multiply_adds": _billions(vgg_244),
        "kernel_3": f"{_parameters(convolutions[3]):,}",
        "kernel_224": f"{_parameters(convolutions[224]):,}",
        "first_maps": str(maps[0]),
        "last_maps": str(maps[-1]),
        "before_pooling": f"{before}",
        "after_pooling": f"{after}",
        "pooled_share": f"{100 * after / before:.0f} %",
        "batchnorm_parameters": str(_parameters(batchnorm)),
        "c1_shape": " × ".join(map(str, lenet["C1.conv"].out_shape)),
        "mnist_mean": f"{mnist.mean_C[0]:.4f}",
        "mnist_std": f"{mnist.std_C[0]:.4f}",
    }


def _layers_of_vgg(size: int) -> Sequence[LayerRow]:
    with torch.device("meta"):
        return anatomy(VGG((3, size, size), 1000, depth=16), (3, size, size))


def _total(rows: Sequence[LayerRow]) -> int:
    return sum(row.parameters for row in rows)


def _pooled_sizes(rows: Sequence[LayerRow]) -> str:
    return ", ".join(str(row.out_shape[1]) for row in rows if row.kind == "MaxPool2d")


def _billions(rows: Sequence[LayerRow]) -> str:
    return f"{sum(row.multiply_adds for row in rows) / 1e9:.1f} billion"


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
