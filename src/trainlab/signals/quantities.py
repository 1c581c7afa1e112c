"""The measured quantities, as small pure functions on tensors; each returns a scalar tensor, or some.

Legend: N images, P positions, F units, K classes, B runs; z pre-activations, a activations,
δ = ∂loss/∂logits.
Annotations give the same as types (jaxtyping): `Float[Tensor, "N P F"]`; `"..."` is any shape, `""` a scalar.
The tests check them at every call.

Values that are not finite give a result that is not finite, never an error.
"""

import copy
import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from trainlab.signals.tensor_sampling import wide_dtype

Values = Float[Tensor, "..."]
Scalar = Float[Tensor, ""]

QUANTILES_FROM = 1024
"""Values that quantiles are taken from: off by about 1% of probability. Sorting is what costs most."""

CONSTANT = 4 * torch.finfo(torch.float32).eps
"""Relative range up to which a unit's activation counts as constant: float32's rounding."""

FLAT_SLOPE = 0.05
"""A slope counts as flat up to this share of the activation's steepest; the number is ours."""

VANISHED_SLOPE = 1e-3
"""A side is a flat tail only where the slope goes on to vanish: at |z| = 100 it is below this share."""

FlatTails = tuple[float | Scalar, float | Scalar]
"""(low, high): the activation is flat for z ≤ low and for z ≥ high; infinite where it has no such tail."""

TailsOfRuns = tuple[Float[Tensor, " B"], Float[Tensor, " B"]]
"""(low_B, high_B): the same for each of B runs."""


def mean(x: Values) -> Scalar:
    """Mean over all values, in their unit."""
    return x.mean()


def std(x: Values) -> Scalar:
    """√(mean (x − mean x)²) over all values, in their unit (what Glorot & Bengio 2010, section 3, follow)."""
    return x.std(correction=0)


def quantiles(x: Values, levels: Iterable[float]) -> tuple[Scalar, ...]:
    """The value at rank level · (n − 1), rounded, of the n sorted values, for each level 0..1.

    Of more than 1,024 values every k-th is taken; k is odd, so that it walks through all units.
    """
    values = x.reshape(-1)
    values = values[:: -(-len(values) // QUANTILES_FROM) | 1]
    ordered = values.sort().values
    at_levels = torch.stack([ordered[round(level * (len(ordered) - 1))] for level in levels])
    return _if_finite(ordered, at_levels).unbind()


def saturated_fraction(z: Values, tails: FlatTails) -> Scalar:
    """Fraction 0..1 of pre-activations on the flat tails: z ≤ tails[0] or z ≥ tails[1].

    The tails are `flat_tails` of the activation. Saturation as in Glorot & Bengio 2010,
    section 3: units at an asymptote, where little gradient passes.
    """
    low, high = tails
    return _if_finite(z, ((z <= low) | (z >= high)).mean(dtype=wide_dtype(z.device)))


def dead_fraction(a_NPF: Float[Tensor, "N P F"]) -> Scalar:
    """Fraction 0..1 of units whose activation is the same for all images and positions given.

    A rectifier that is off everywhere (Maas et al. 2013; Lu et al. 2019, "dying ReLU"), or a unit stuck at an
    asymptote: max a − min a ≤ 5e-7 max |a|, float32's rounding. It passes on nothing about its input.
    """
    a_MF = a_NPF.flatten(0, 1)
    high_F, low_F = a_MF.amax(0), a_MF.amin(0)
    largest_F = torch.maximum(high_F.abs(), low_F.abs())
    dead_F = high_F - low_F <= CONSTANT * largest_F
    return _if_finite(largest_F, dead_F.mean(dtype=wide_dtype(a_NPF.device)))


def correlation(z_NPF: Float[Tensor, "N P F"]) -> Scalar:
    """Mean over pairs of different images a ≠ b of c_ab = z_a · z_b / (|z_a| |z_b|), −1..1; not centred.

    The correlation of mean-field theory, c = q_ab / √(q_aa q_bb) with q_ab = (1/n) Σ_i z_i(a) z_i(b) (Poole
    et al. 2016, arXiv:1606.05340; for maps Xiao et al. 2018, arXiv:1806.05393); an image's vector runs over
    its units and positions. 1 where all images look the same; NaN for fewer than two images, or where the z
    of an image is all zero.
    """
    z_ND = z_NPF.flatten(1)
    u_ND = z_ND / torch.linalg.vector_norm(z_ND, dim=1, keepdim=True)
    pairs = len(u_ND) * (len(u_ND) - 1)
    # Σ_a Σ_b u_a·u_b = |Σ_a u_a|², of which the terms a = b are one each
    together = u_ND.sum(0).square().sum() - len(u_ND)
    return together / pairs if pairs else together * torch.nan


def norm(x: Values) -> Scalar:
    """√(Σ x²), accumulated in float64."""
    return torch.linalg.vector_norm(x, dtype=wide_dtype(x.device))


def root_mean_square(x: Values) -> Scalar:
    """√(mean x²): the norm for one value; of N·∂loss/∂z the √q̃ of Schoenholz et al. 2017."""
    return norm(x) / x.numel() ** 0.5


def unit_spread(w_GUK: Float[Tensor, "G U K"]) -> Scalar:
    """‖w − mean of w over units‖ / ‖w‖, 0..1, of G matrices of U units (rows) with K weights each.

    0 where all units of a matrix are copies of one another (and where w is zero): they compute the same, get
    the same gradient and stay copies (Goodfellow et al. 2016, Deep Learning, section 8.4, "break symmetry").
    √(1 − 1/U) on average for independent units of zero mean.
    """
    size = norm(w_GUK)
    spread = norm(w_GUK - w_GUK.mean(1, keepdim=True))
    return torch.where(size == 0, size, spread / size)


def update_ratio(before: Float[Tensor, "*shape"], after: Float[Tensor, "*shape"]) -> Scalar:
    """‖w_after − w_before‖ / ‖w_before‖, no unit: about 1e-3 is a common rule of thumb (Karpathy, CS231n).

    0 where nothing moved, infinite where weights of zero moved.
    """
    moved = norm(after - before)
    return torch.where(moved == 0, moved, moved / norm(before))


def noise_scale(a_NF: Float[Tensor, "N F"], delta_NK: Float[Tensor, "N K"], has_bias: bool) -> Scalar:
    """Simple noise scale tr Σ / |G|² of a dense layer's gradient, in images.

    McCandlish et al. 2018, arXiv:1812.06162, eq. 2.9: the batch size at which noise and signal are equal.
    Image i has the gradient g_i = δ_i ⊗ (a_i, 1), with |g_i|² = |δ_i|² (|a_i|² + 1) (Goodfellow 2015,
    arXiv:1510.01799): no further pass is needed. With their mean ḡ over B images, unbiased (appendix A.1 with
    batches of 1 and B): tr Σ = (Σ|g_i|² − B|ḡ|²)/(B − 1) and |G|² = |ḡ|² − tr Σ/B.

    a_NF is the layer's input, delta_NK the gradient of each image's own loss by the layer's output. Infinite
    where the batch is too small to see a gradient through its noise (|G|² ≤ 0), NaN for one image.
    """
    B = len(a_NF)
    if B < 2:
        return a_NF.new_full((), torch.nan)
    squares_N = delta_NK.square().sum(1) * (a_NF.square().sum(1) + has_bias)
    mean_square = (delta_NK.T @ a_NF / B).square().sum() + has_bias * delta_NK.mean(0).square().sum()
    trace = (squares_N.sum() - B * mean_square) / (B - 1)
    return trace / (mean_square - trace / B).clamp(min=0)


def majority_share(logits_NK: Float[Tensor, "N K"]) -> Scalar:
    """Share 0..1 of the images that are predicted as the most predicted class: 1 is "always one class"."""
    classes_K = torch.arange(logits_NK.shape[1], device=logits_NK.device)
    shares_K = (logits_NK.argmax(1)[:, None] == classes_K).mean(0, dtype=wide_dtype(logits_NK.device))
    return _if_finite(logits_NK, shares_K.max())


def _if_finite(x: Values, value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """`value`, or NaN where any of x is not finite (0 · ∞ is NaN): comparisons and ranks would hide it."""
    return value + 0 * x.sum(dtype=wide_dtype(x.device))


def flat_tails(activation: nn.Module) -> tuple[float, float] | None:
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
        z_G = _saturation_grid().requires_grad_()
        try:
            a_G = copy.deepcopy(activation).cpu().double().eval()(z_G * 1)
            (slope_G,) = torch.autograd.grad(a_G.sum(), z_G, allow_unused=True, materialize_grads=True)
        except (RuntimeError, TypeError, ValueError, IndexError):
            return None
    if a_G.shape != z_G.shape:
        return None
    share_G = slope_G.abs() / slope_G.abs().max()
    low = _tail_end(z_G.detach().flip(0), a_G.detach().flip(0), share_G.flip(0), nowhere=-math.inf)
    return low, _tail_end(z_G.detach(), a_G.detach(), share_G, nowhere=math.inf)


def _saturation_grid() -> Float64[Tensor, " G"]:
    """−100 … 100, by 0.01 between −10 and 10 and by 1 outside."""
    fine, coarse = torch.arange(-1000, 1001).double() / 100, torch.arange(11, 101).double()
    return torch.cat([-coarse.flip(0), fine, coarse])


def _tail_end(
    z_G: Float[Tensor, " G"], a_G: Float[Tensor, " G"], share_G: Float[Tensor, " G"], nowhere: float
) -> float:
    """The innermost point of the flat tail at the last point's side, or `nowhere`."""
    steep = (share_G > FLAT_SLOPE).nonzero()
    first = int(steep[-1]) + 1 if len(steep) else len(z_G)
    if first == len(z_G) or not share_G[-1] <= VANISHED_SLOPE or not a_G[first:].any():
        return nowhere
    return float(z_G[first])
