"""Whether a layer is still as it was made: its weights drawn and never trained, its statistics 0 and 1.

Legend: K inputs of one unit, U units.
"""

import math

import torch
from torch import nn

from trainlab.nn.layers import fans


def has_initial_statistics(module: nn.Module) -> bool:
    """Whether running statistics are those of a layer that was never trained: mean 0, variance 1."""
    mean_C, var_C = module.get_buffer("running_mean"), module.get_buffer("running_var")
    return bool((mean_C == 0).all() & (var_C == 1).all())


FEWEST_WEIGHTS = 1000
"""Weights of a layer, below which their distribution tells nothing."""


@torch.no_grad()
def is_as_drawn(layer: nn.Module) -> bool | None:
    """Whether the weights are as an initializer draws them; None where there are too few to tell.

    All one number; uniform up to a usual bound: 1/√K (torch's own), √(3/K), √(6/K), √(6/(K + U)); or normal
    of variance 1/K, 2/K (He), 2/U, 2/(K + U) (Glorot), 0.01², 0.02², 0.1² or 1, for K inputs and U outputs.
    Training leaves neither: some weights leave the bound, tails grow.
    """
    weight = layer.get_parameter("weight").detach().double().flatten()
    n = len(weight)
    if n < FEWEST_WEIGHTS or not bool(weight.isfinite().all()):
        return None
    if bool((weight == weight[0]).all()):
        return True
    fan_in, fan_out = fans(layer)
    variance = float(weight.square().mean())
    if abs(float(weight.mean())) > 5 * math.sqrt(variance / n):
        return False
    kurtosis = float(weight.pow(4).mean()) / variance**2
    error = 5 / math.sqrt(n)
    if abs(kurtosis - 1.8) < 1.1 * error:  # uniform: the largest is as close to the bound as n weights come
        largest = float(weight.abs().max())
        bounds = [math.sqrt(one) for one in (1 / fan_in, 3 / fan_in, 6 / fan_in, 6 / (fan_in + fan_out), 1.0)]
        return any(bound * (1 - 20 / n) <= largest <= bound * (1 + 1e-6) for bound in bounds)
    taps = layer.get_parameter("weight")[0, 0].numel()
    torch_fan_out = layer.get_parameter("weight").shape[0] * taps  # torch's initializers do not see groups
    usual = (
        1 / fan_in, 2 / fan_in, 2 / fan_out, 1 / fan_out, 2 / torch_fan_out, 2 / (fan_in + fan_out),
        1e-4, 4e-4, 1e-2, 1.0,
    )  # fmt: skip
    is_spread_usual = any(abs(variance / one - 1) < 1.5 * error for one in usual)
    return is_spread_usual and abs(kurtosis - 3) < 5 * error
