"""A network at its initialization, looked at from all sides and left as it was.

Legend: N images, K classes.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.dropout import _DropoutNd

from trainlab.errors import RequestError

Weights = Mapping[str, Tensor]
"""A value for each trainable parameter, by its name in the network."""


class Subject:
    """`model` as a function of its trainable weights, as training sees it but without dropout's dice.

    BatchNorm normalizes by the batch. Every pass gets copies of the buffers, so that no statistic moves, and
    no gradient is written into the model. Use inside `held()`.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.weights: dict[str, Tensor] = {
            name: p.detach() for name, p in model.named_parameters() if p.requires_grad
        }
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Training mode, dropout off, all random states put back at the end."""
        modes = {module: module.training for module in self.model.modules()}
        devices = [self.device] if self.device.type == "cuda" else []
        states = random.getstate(), np.random.get_state()
        with torch.random.fork_rng(devices=devices):
            try:
                self.model.train()
                for module in self.model.modules():
                    if isinstance(module, _DropoutNd):
                        module.training = False
                yield
            finally:
                for module, training in modes.items():
                    module.training = training
                random.setstate(states[0])
                np.random.set_state(states[1])

    def logits(self, x_NCHW: Tensor, weights: Weights | None = None) -> Tensor:
        """Logits_NK at `weights`, or at the model's own.

        Raises RequestError where the network does not give (N, K) for such images.
        """
        logits_NK = self.run(x_NCHW, weights)
        if not isinstance(logits_NK, Tensor) or logits_NK.dim() != 2 or len(logits_NK) != len(x_NCHW):
            got = tuple(logits_NK.shape) if isinstance(logits_NK, Tensor) else type(logits_NK).__name__
            raise RequestError(f"preflight: got {got} from the network, expected logits of shape (N, K)")
        return logits_NK.float()

    def run(self, x_NCHW: Tensor, weights: Weights | None = None) -> Tensor:
        """What the network gives, as it is."""
        buffers = {name: b.clone() for name, b in self.model.named_buffers()}
        used = self.weights if weights is None else weights
        return functional_call(self.model, {**buffers, **used}, (x_NCHW,))

    def leaves(self, weights: Weights | None = None) -> dict[str, nn.Parameter]:
        """The weights as leaves that gradients can be taken by; modules still find parameters in them."""
        return {name: nn.Parameter(w.detach()) for name, w in (weights or self.weights).items()}


def moved(weights: Weights, by: Weights, times: float) -> dict[str, Tensor]:
    """weights + times · by."""
    return {name: torch.add(w, by[name], alpha=times) for name, w in weights.items()}


def inner(a: Weights, b: Weights) -> float:
    """Σ a b over all weights, in float64."""
    return float(sum(torch.sum(a[name].double() * b[name].double()) for name in a))
