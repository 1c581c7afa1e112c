"""Weight decay of each run's own: added to its gradient, or apart from it as in AdamW.

Legend: B runs, P parameters of one run.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trainlab.stacked.update_rules import Group, exact_dtype, number


class WeightDecay:
    """The decays of B runs, of which some may be of either kind, or zero."""

    def __init__(self, groups: Sequence[Group], like: Tensor) -> None:
        decays = [number(group["weight_decay"]) for group in groups]
        are_apart = [bool(group.get("decoupled_weight_decay")) for group in groups]
        coupled = [0.0 if apart else decay for decay, apart in zip(decays, are_apart, strict=True)]
        decoupled = [decay if apart else 0.0 for decay, apart in zip(decays, are_apart, strict=True)]
        self._is_coupled = any(coupled)
        self._coupled_B1 = torch.tensor(coupled, dtype=like.dtype, device=like.device)[:, None]
        self._decoupled_B = torch.tensor(decoupled, dtype=exact_dtype(like.device), device=like.device)
        self.is_decoupled = any(decoupled)
        self.is_used = self._is_coupled or self.is_decoupled

    def add_to_gradients(self, grad_BP: Tensor, parameters_BP: Tensor) -> None:
        """g ← g + λθ, where the decay is part of the gradient."""
        if self._is_coupled:
            grad_BP.addcmul_(parameters_BP, self._coupled_B1)

    def whole_step(
        self, direction_BP: Tensor, scale_B: Tensor, parameters_BP: Tensor, lr_B: Tensor
    ) -> Tensor:
        """direction · scale − lr λθ (Loshchilov & Hutter 2019, algorithm 2). Overwrites `parameters_BP`."""
        shrinking_B1 = (-lr_B * self._decoupled_B).to(direction_BP.dtype)[:, None]
        scale_B1 = scale_B.to(direction_BP.dtype)[:, None]
        return parameters_BP.mul_(shrinking_B1).addcmul_(direction_BP, scale_B1)
