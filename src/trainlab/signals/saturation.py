"""Where an activation function is flat."""

import copy
import math

import torch
from torch import Tensor, nn

FLAT = 0.05
"""A slope counts as flat up to this share of the activation's steepest; the number is ours."""

VANISHED = 1e-3
"""A side is a flat tail only where the slope goes on to vanish: at |z| = 100 it is below this share."""

Tails = tuple[float, float]
"""(low, high): the activation is flat for z ≤ low and for z ≥ high; infinite where it has no such tail."""


def flat_tails(activation: nn.Module) -> Tails | None:
    """The flat tails of an elementwise activation, found on a grid of 0.01 by autograd in float64.

    Beyond the tails' ends |φ'(z)| ≤ 0.05 max |φ'| everywhere, and φ' vanishes at ±100. So sigmoid saturates
    at |z| ≥ 4.36, tanh at 2.18, softsign at 3.48, hardtanh at 1, elu and selu below −3. A side on which φ is
    0 throughout is off, not saturated (ReLU's left: an off unit is how rectifiers code, Glorot et al. 2011;
    one that is off for every input is `dead`), and a leak is no saturation. Read as the module stands; a
    learned slope is not followed.

    None where the module cannot be applied to numbers one by one. The module and the random state stay as
    they are.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), torch.autocast("cpu", enabled=False):
        z_G = _grid().requires_grad_()
        try:
            a_G = copy.deepcopy(activation).cpu().double().eval()(z_G * 1)
            (slope_G,) = torch.autograd.grad(a_G.sum(), z_G, allow_unused=True, materialize_grads=True)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return None
    if a_G.shape != z_G.shape:
        return None
    share_G = slope_G.abs() / slope_G.abs().max()
    low = _end(z_G.detach().flip(0), a_G.detach().flip(0), share_G.flip(0), nowhere=-math.inf)
    return low, _end(z_G.detach(), a_G.detach(), share_G, nowhere=math.inf)


def _grid() -> Tensor:
    """−100 … 100, by 0.01 between −10 and 10 and by 1 outside."""
    fine, coarse = torch.arange(-1000, 1001).double() / 100, torch.arange(11, 101).double()
    return torch.cat([-coarse.flip(0), fine, coarse])


def _end(z_G: Tensor, a_G: Tensor, share_G: Tensor, nowhere: float) -> float:
    """The innermost point of the flat tail at the last point's side, or `nowhere`."""
    steep = (share_G > FLAT).nonzero()
    first = int(steep[-1]) + 1 if len(steep) else len(z_G)
    if first == len(z_G) or not share_G[-1] <= VANISHED or not a_G[first:].any():
        return nowhere
    return float(z_G[first])
