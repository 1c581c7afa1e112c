"""What the modules of a network say of themselves, without running: modes, what is frozen, dropout.

Legend: U outputs, K inputs of one output.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.nn.layers import fans, weight_layers

DROPOUTS = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip

DRAWN_TOLERANCE = 0.05
"""How far a spread may be from that of an initializer to be its own."""

FEWEST_WEIGHTS = 1000
"""Weights that a spread can be told from."""

ERRORS = 3.0
"""Standard errors that a drawn moment may be off."""

UNIFORM_KURTOSIS, NORMAL_KURTOSIS = 1.8, 3.0
KURTOSIS_TOLERANCE = 0.15


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
    untrained = [m for m in norms if not m.training and _has_initial_statistics(m)]
    return 1.0 if drops or untrained or not norms else 0.5


def _has_initial_statistics(norm: _BatchNorm) -> bool:
    mean_C, var_C = norm.running_mean, norm.running_var
    return mean_C is not None and var_C is not None and bool((mean_C == 0).all() & (var_C == 1).all())


@torch.no_grad()
def drawn_layers(network: nn.Module) -> dict[str, float]:
    """Of the frozen weight layers, by name: 1 where the weights look as an initializer draws them, else 0.

    Layers of fewer than FEWEST_WEIGHTS weights are left out: they tell nothing.
    """
    frozen = [
        (name, layer)
        for name, layer in weight_layers(network)
        if not layer.get_parameter("weight").requires_grad
        and layer.get_parameter("weight").numel() >= FEWEST_WEIGHTS
    ]
    return {name or "network": float(is_as_drawn(layer)) for name, layer in frozen}


def is_as_drawn(layer: nn.Module) -> bool:
    """Whether weights are uniform or normal, of zero mean, with the spread of a usual initializer.

    Variances: 1/(3 K) (torch's own), 2/K and 2/U (He), 1/K (LeCun), 2/(K + U) (Glorot), 1 (embeddings).
    Weights that have been trained have heavier tails and another spread.
    """
    weight = layer.get_parameter("weight").detach().double().reshape(-1)
    if not bool(weight.isfinite().all()):
        return False
    if bool((weight == 0).all()):
        return True
    mean, variance = float(weight.mean()), float(weight.var(correction=0))
    error = math.sqrt(variance / len(weight))
    kurtosis = float(((weight - mean) ** 4).mean()) / variance**2
    tolerance = max(KURTOSIS_TOLERANCE, ERRORS * math.sqrt(24 / len(weight)))
    has_shape = min(abs(kurtosis - UNIFORM_KURTOSIS), abs(kurtosis - NORMAL_KURTOSIS)) < tolerance
    return has_shape and abs(mean) < 4 * error and _has_usual_spread(layer, variance, len(weight))


def _has_usual_spread(layer: nn.Module, variance: float, count: int) -> bool:
    fan_in, fan_out = fans(layer)
    usual = (
        1 / (3 * fan_in), 1 / fan_in, 2 / fan_in, 2 / fan_out, 2 / (fan_in + fan_out), 1.0,
        0.01**2, 0.02**2,
    )  # fmt: skip
    tolerance = max(DRAWN_TOLERANCE, ERRORS * math.sqrt(2 / count))
    return any(abs(variance / expected - 1) < tolerance for expected in usual)


def batch_print(x: Tensor) -> Tensor:
    """Evenly spaced values of a batch and the sum of all: two batches that share them are one."""
    values = x.detach().reshape(-1)
    sample = values[:: max(1, -(-len(values) // 1024))].double()
    return torch.cat([sample, values.sum(dtype=torch.float64)[None]])
