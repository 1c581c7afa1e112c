"""What is known of a loop of one's own before it runs, as plain values: the settings of its run folder."""

from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from trainlab.json_types import JsonObject
from trainlab.nn.layers import is_activation, weight_layers
from trainlab.runs.run_folder import OWN_LOOP

OWN = "own"
"""The value of axes that a loop of one's own has no option for."""


def loop_settings(
    network: nn.Module,
    optimizers: Sequence[Optimizer],
    run_id: str,
    name: str | None,
    steps: int | None,
    batch_size: int | None,
) -> JsonObject:
    """As `config.yaml` of a run holds them, as far as there is such a thing; OWN_LOOP says what it is."""
    group = optimizers[0].param_groups[0]
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [m.momentum for m in norms if m.momentum is not None]
    kind = optimizer_name(optimizers[0])
    return {
        OWN_LOOP: True,
        "run_id": run_id,
        "group": name,
        "seed": torch.initial_seed() % 2**32,
        "axes": {
            "model": type(network).__name__,
            "data": OWN,
            "activation": _activation(network),
            "init": OWN,
            "norm_layer": "batchnorm" if norms else "none",
            "optimizer": kind,
            "depth": len(weight_layers(network)),
        },
        "depth": len(weight_layers(network)),
        "data": {"name": OWN, "batch_size": batch_size},
        "norm_layer": {"layer": {"momentum": min(momenta, default=None)}},
        "optimizer": {
            "lr": _number(group.get("lr")),
            "momentum": _number(group.get("momentum", (group.get("betas") or (0.0,))[0])),
            "weight_decay": _number(group.get("weight_decay", 0.0)),
        },
        "trainer": {"max_steps": steps},
    }


def optimizer_name(optimizer: Optimizer) -> str:
    """As the platform's options call it: adam, sgd, sgd_momentum, …; else its class, in small letters."""
    name = type(optimizer).__name__.lower()
    group = optimizer.param_groups[0]
    if name != "sgd" or not group.get("momentum"):
        return name
    return "sgd_nesterov" if group.get("nesterov") else "sgd_momentum"


def _activation(network: nn.Module) -> str:
    kinds = Counter(
        type(module).__name__.lower()
        for name, module in network.named_modules()
        if is_activation(name, module)
    )
    return kinds.most_common(1)[0][0] if kinds else OWN


def _number(value: object) -> float | None:
    """A rate may be a tensor, so that a captured step can change it."""
    return float(value) if isinstance(value, int | float | torch.Tensor) else None
