"""The loss that is minimized, and the one that is reported.

Legend: N images, K classes.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def as_loss_dtype(logits: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """In float32, or in float64 where the network computes in it."""
    return logits if logits.dtype == torch.float64 else logits.float()


def smoothed_cross_entropy(
    logits_NK: Float[Tensor, "N K"], y_N: Int[Tensor, " N"], smoothing: float
) -> Float[Tensor, ""]:
    """Its value is the mean cross-entropy in nats, its gradient that of the loss with smoothed labels.

    With ε = `smoothing` the target is (1 − ε) one-hot + ε/K (Szegedy et al. 2016, arXiv:1512.00567, section
    7). That loss cannot reach zero, and another ε gives it another scale: what is read, recorded and judged
    is the cross-entropy with the labels as they are, the same quantity whatever ε is.
    """
    if not smoothing:
        return F.cross_entropy(logits_NK, y_N)
    log_p_NK = F.log_softmax(logits_NK, dim=1)
    cross_entropy = F.nll_loss(log_p_NK, y_N)
    smoothed = (1 - smoothing) * cross_entropy - smoothing * log_p_NK.mean()
    return cross_entropy.detach() + (smoothed - smoothed.detach())
