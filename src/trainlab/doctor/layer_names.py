"""How a layer of somebody else's network is named: where it stands, and what it is."""

from collections.abc import Iterable

from torch import nn
from torch.nn.modules.conv import _ConvNd

MOST_NAMED = 4
"""Layers that are named in a sentence; of others their number is told."""


def describe_layer(name: str, layer: nn.Module) -> str:
    """`7 (Linear 60→30)`, `features.0 (Conv2d 3→64, 3×3)`, `norm (LayerNorm)`."""
    kind = type(layer).__name__
    if isinstance(layer, nn.Linear):
        kind = f"{kind} {layer.in_features}→{layer.out_features}"
    elif isinstance(layer, _ConvNd):
        kernel = "×".join(map(str, layer.kernel_size))
        kind = f"{kind} {layer.in_channels}→{layer.out_channels}, {kernel}"
    return f"{name or 'network'} ({kind})"


def layers_of(network: nn.Module, names: Iterable[str]) -> list[str]:
    """The layers that own these parameters, described, each once, in the network's order."""
    owners = {name.rpartition(".")[0] for name in names}
    return [describe_layer(name, module) for name, module in network.named_modules() if name in owners]


def join_names(names: list[str]) -> str:
    """`a, b, c, d and 3 more`."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
