"""Clipping by the norm of all gradients of a run, for B runs at once.

Legend: B runs, P parameters of one run.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def clip_gradients(parameters: Iterable[nn.Parameter], max_norm_B: Tensor) -> Tensor:
    """Scales the gradients of each run as `torch.nn.utils.clip_grad_norm_` does; returns the norms (B,).

    parameters: of shape (B, …); those without a gradient are passed over.
    max_norm_B: the largest norm that is left as it is; inf: no clipping.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return torch.zeros_like(max_norm_B)
    norms_B = gradient_norms_B([torch.cat([g.reshape(len(g), -1) for g in gradients], dim=1)])
    scale_B = clipping_scale_B(norms_B, max_norm_B)
    scales = [scale_B.to(g.dtype).view(-1, *[1] * (g.dim() - 1)) for g in gradients]
    torch._foreach_mul_(gradients, scales)
    return norms_B


def gradient_norms_B(gradients: Sequence[Tensor]) -> Tensor:
    """The norm of each run's gradients, of blocks of shape (B, P)."""
    norms = [torch.linalg.vector_norm(grad_BP, dim=1) for grad_BP in gradients]
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms), dim=0)


def clipping_scale_B(norms_B: Tensor, max_norm_B: Tensor) -> Tensor:
    """min(1, max/(norm + 10⁻⁶)), as torch has it; exactly 1 without a maximum, whatever the norm."""
    scale_B = (max_norm_B.to(norms_B.dtype) / (norms_B + 1e-6)).clamp(max=1.0)
    return scale_B.masked_fill(max_norm_B == torch.inf, 1.0)
