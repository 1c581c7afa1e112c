"""Gradients through BatchNorm grow with depth, whatever the weights (Yang et al. 2019, arXiv:1902.08129).

Layer: h = W x + b, y = BN(h) over a batch of B, x = φ(y). In a wide network at its steady state, y over
the batch is uniform on the sphere of radius √B in the hyperplane Σ y = 0, and independent of the length
‖h − mean‖, whose square is v σw² χ²(B−1) with v = E φ(y₁)² − E φ(y₁)φ(y₂). The Jacobian of BN is
√B/‖h − mean‖ times the projection off 1 and off y; averaging it, with D = diag φ'(y), over length
(E 1/χ²(B−1) = 1/(B−3)) and direction gives the growth of the mean square gradient a layer:

    λ = [(B−1) E φ'₁² + E φ'₁φ'₂ − E φ'₁²y₁² + E φ'₁φ'₂y₁y₂] / [(B−3) v]   →   E φ'² / Var φ   (B → ∞)

σw cancels. Yang et al. give the same eigenvalue through Gegenbauer polynomials; their closed form for ReLU
agrees at B → ∞: π/(π−1).
"""

import math
from dataclasses import dataclass

import numpy as np

from trainlab.errors import RequestError
from trainlab.theory.elementwise import Array, Elementwise, Phi
from trainlab.theory.moments import mean, second_moment, slope_second_moment
from trainlab.theory.quadrature import SMALLEST_Q, panel_nodes

_BASE = np.linspace(-9, 9, 13)


@dataclass(frozen=True)
class BatchNormMoments:
    """What one BatchNorm–φ layer does at its steady state.

    second_moment: E φ(y₁)². product: E φ(y₁)φ(y₂) of two samples of the batch.
    jacobian: mean square gradient at h over that at x, times the variance of h over the batch (λ v).
    """

    second_moment: float
    product: float
    jacobian: float

    @property
    def variance(self) -> float:
        """v, the variance of x = φ(y) over an infinite batch of its kind."""
        return self.second_moment - self.product


def batchnorm_gradient_growth(phi: Phi | Elementwise, batch_size: int | None = None) -> float:
    """√λ: growth of the gradient's norm (root of its mean square) per layer toward the input.

    BatchNorm stands before φ. `batch_size=None` is B → ∞: √(E φ'² / Var φ), 1.2112 for ReLU. Three samples
    give inf (the mean square is not finite), one or two give 0 (BatchNorm's output no longer depends on the
    size of its input). A constant φ gives nan: no signal and no gradient.

    Raises RequestError for a batch size that is not a positive integer.
    """
    moments = batchnorm_moments(Elementwise.prepared(phi), batch_size)
    if moments.variance <= 1e-15 * moments.second_moment or moments.second_moment == 0:
        return math.nan
    return math.sqrt(moments.jacobian / moments.variance)


def batchnorm_moments(phi: Elementwise, batch_size: int | None, variance: float = 1.0) -> BatchNormMoments:
    """The moments over the sphere of a batch, by quadrature over two angles; Gaussian for `None`.

    `variance` is that of BN's output, below 1 where its ε matters: φ then sees √variance · y.
    """
    if batch_size is None:
        return BatchNormMoments(
            second_moment(phi, variance), mean(phi, variance) ** 2, slope_second_moment(phi, variance)
        )
    if batch_size < 1 or batch_size % 1:
        raise RequestError(f"batch_size must be a positive integer or None, got {batch_size}")
    if batch_size <= 3:
        return _tiny_batch(phi, batch_size, math.sqrt(variance))
    scale = math.sqrt(max(variance, SMALLEST_Q))
    y1_M, y2_MN, weight_M, weight_MN = _sphere_nodes(phi, batch_size, scale)
    x1_M, slope1_M = phi.value(scale * y1_M), phi.slope(scale * y1_M)

    def expect(f1_M: Array, f2_MN: Array) -> float:
        """E f₁(y₁) f₂(y₂)."""
        return float(weight_M @ (f1_M * (f2_MN * weight_MN).sum(-1)))

    slope2_MN = phi.slope(scale * y2_MN)
    jacobian = (
        weight_M @ (slope1_M**2 * (batch_size - 1 - y1_M**2))
        + expect(slope1_M, slope2_MN)
        + expect(slope1_M * y1_M, slope2_MN * y2_MN)
    ) / (batch_size - 3)
    return BatchNormMoments(
        float(weight_M @ x1_M**2), expect(x1_M, phi.value(scale * y2_MN)), float(jacobian)
    )


def _tiny_batch(phi: Elementwise, batch_size: int, scale: float) -> BatchNormMoments:
    """B = 1: y = 0. B = 2: y = ±(1, −1). B = 3: y on a circle, three points 120° apart."""
    angle = 2 * np.pi * (np.arange(4096) + 0.5) / 4096
    y1, y2 = {
        1: (np.zeros(1), np.zeros(1)),
        2: (np.array([1.0, -1.0]), np.array([-1.0, 1.0])),
        3: (np.sqrt(2) * np.cos(angle), np.sqrt(2) * np.cos(angle + 2 * np.pi / 3)),
    }[batch_size]
    x1, x2 = phi.value(scale * y1), phi.value(scale * y2)
    return BatchNormMoments(
        float(np.mean(x1**2)), float(np.mean(x1 * x2)), math.inf if batch_size == 3 else 0.0
    )


def _sphere_nodes(phi: Elementwise, batch_size: int, scale: float) -> tuple[Array, Array, Array, Array]:
    """(y1_M, y2_MN, weight_M, weight_MN) for two samples of a unit, y uniform on the batch's sphere.

    y₁ = R cos α and y₂ = R (ρ cos α + √(1−ρ²) sin α cos β), R = √(B−1), ρ = −1/(B−1), with densities
    ∝ sin^(B−3) α and sin^(B−4) β on [0, π]. Panels end where scale · y₁ or scale · y₂ meets an edge of φ,
    and where the circle of β just touches a kink.
    """
    radius, rho = math.sqrt(batch_size - 1), -1 / (batch_size - 1)
    edges, kinks = (points / (scale * radius) for points in phi.panels(scale * radius))
    angles = np.arccos(edges[np.abs(edges) < 1])
    touching = np.add.outer(np.arccos(kinks[np.abs(kinks) < 1]), [math.acos(rho), -math.acos(rho)]).ravel()
    alpha_M, weight_M = _angle_nodes(np.concatenate([angles, touching, -touching]), batch_size - 3)
    cosine, sine = np.cos(alpha_M)[:, None], np.sin(alpha_M)[:, None]
    across = math.sqrt(1 - rho**2) * sine
    meets = np.arccos(np.clip((edges - rho * cosine) / np.maximum(across, 1e-300), -1, 1))
    beta_MN, weight_MN = _angle_nodes(meets, batch_size - 4)
    return (
        radius * cosine[:, 0],
        radius * (rho * cosine + across * np.cos(beta_MN)),
        weight_M,
        weight_MN,
    )


def _angle_nodes(breaks: Array, power: int) -> tuple[Array, Array]:
    """Nodes and normalized weights on [0, π], density ∝ sin^power, panels ending at `breaks` (last axis)."""
    base = np.pi / 2 + _BASE / math.sqrt(max(power, 1))
    low, high = max(0.0, base[0]), min(np.pi, base[-1])
    points = np.concatenate([np.broadcast_to(base, (*breaks.shape[:-1], len(base))), breaks], axis=-1)
    angle, weight = panel_nodes(np.sort(np.clip(points, low, high), axis=-1))
    weight = weight * np.maximum(np.sin(angle), 0.0) ** power
    return angle, weight / weight.sum(-1, keepdims=True)
