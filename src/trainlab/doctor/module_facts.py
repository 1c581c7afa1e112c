"""What the modules of a network say of themselves, without running: modes, what is frozen, dropout."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.doctor.drawn_weights import has_initial_statistics, is_as_drawn
from trainlab.nn.layers import weight_layers

DROPOUTS = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip


def mode_rows(network: nn.Module) -> dict[str, float]:
    """eval_mode, dropout and frozen_batchnorm_moves, as far as the network has what they are about."""
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    drops = [m.p for m in network.modules() if isinstance(m, DROPOUTS) and m.p > 0]
    rows: dict[str, float] = {}
    if drops or norms:
        rows["eval_mode"] = _eval_mode(network, norms, any(drops))
    if active := [m.p for m in network.modules() if isinstance(m, DROPOUTS) and m.training]:
        rows["dropout"] = max(active)
    frozen = [m for m in norms if m.affine and not any(p.requires_grad for p in m.parameters())]
    if frozen:
        rows["frozen_batchnorm_moves"] = sum(m.training for m in frozen) / len(frozen)
    return rows


def _eval_mode(network: nn.Module, norms: list[_BatchNorm], drops: bool) -> float:
    """0: in training mode. 1: in evaluation mode, which changes it. 0.5: with statistics of its own, which
    may be meant."""
    if network.training:
        return 0.0
    untrained = [m for m in norms if not m.training and has_initial_statistics(m)]
    return 1.0 if drops or untrained or not norms else 0.5


@torch.no_grad()
def drawn_layers(network: nn.Module) -> dict[str, float]:
    """Of the frozen weight layers, by name: 1 where the weights look as an initializer draws them, else 0.

    Layers of too few weights are left out: they tell nothing.
    """
    frozen = [
        (name or "network", is_as_drawn(layer))
        for name, layer in weight_layers(network)
        if not layer.get_parameter("weight").requires_grad
    ]
    return {name: float(is_drawn) for name, is_drawn in frozen if is_drawn is not None}
