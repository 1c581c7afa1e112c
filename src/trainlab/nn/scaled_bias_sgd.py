"""SGD with a larger rate for vectors: biases, and the scales and shifts of norm layers."""

from collections.abc import Iterable

import torch
from torch import nn

from trainlab.errors import RequestError


class ScaledBiasSGD(torch.optim.SGD):
    """torch.optim.SGD, in which vectors have `vector_lr_factor` times the rate, and decay as fast as weights.

    Below a BatchNorm a weight's norm does not matter, and a bias is what is left to set where an activation
    bends: 64 times the rate is what the fast recipes for CIFAR-10 settled at (Page 2018, "How to train your
    ResNet", part 5; Jordan 2024, arXiv:2404.00498, section 3). The decay of a vector is divided by the same
    factor, so that a step takes the same share of both.

    Raises RequestError for a factor that is not above 0.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.01,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        vector_lr_factor: float = 64.0,
    ) -> None:
        if not vector_lr_factor > 0:
            raise RequestError(f"optimizer.vector_lr_factor: got {vector_lr_factor}, expected above 0")
        parameters = list(params)
        weights = {"params": [p for p in parameters if p.dim() >= 2]}
        vectors = {
            "params": [p for p in parameters if p.dim() < 2],
            "lr": lr * vector_lr_factor,
            "weight_decay": weight_decay / vector_lr_factor,
        }
        groups = [group for group in (weights, vectors) if group["params"]]
        super().__init__(groups, lr, momentum, weight_decay=weight_decay, nesterov=nesterov)
