"""Gaussian expectations of an activation in float64, exact (1e-10 and better) across its kinks.

Composite Gauss–Legendre with 16 nodes a panel; the panels end where φ or φ' is not smooth, are as narrow
as φ needs (`Elementwise.panels`), and at most 1.5 standard deviations wide. Gauss–Hermite, the usual
choice, has no such edges and errs by 1e-3 on E relu'(z)².
"""

import numpy as np

from trainlab.theory.elementwise import NODES, WEIGHTS, Array, Elementwise

_REACH = 12.0  # standard deviations; the density is 2e-32 there
_BASE = np.linspace(-_REACH, _REACH, 17)
_REACH_2D = 9.0  # the density is 1e-18 there
_BASE_2D = np.linspace(-_REACH_2D, _REACH_2D, 13)
# Where kinks are smoothed over by a width s, the outer integrand changes on the scale s.
_LAYERS = np.array([-8.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0, 8.0])

SMALLEST_Q, LARGEST_Q = 1e-200, 1e200
"""Variances are clipped to this range."""


def gaussian_nodes(phi: Elementwise, q: float) -> tuple[Array, Array]:
    """(u_N, weight_N) with E f(u) = Σ weight f(u) for u ~ N(0, q), f made of φ, φ' and smooth functions.

    q is clipped to [1e-200, 1e200]: q = 0 gives the limit q → 0, which for a kink at zero is not the value
    at zero (E relu'² → ½).
    """
    scale = float(np.sqrt(np.clip(q, SMALLEST_Q, LARGEST_Q)))
    edges, _ = phi.panels(_REACH * scale)
    u, weight = panel_nodes(_within(np.concatenate([scale * _BASE, edges]), _REACH * scale))
    return u, weight * _density(u, scale)


def expect_gap(phi: Elementwise, q: float, c: float, *, slope: bool = False) -> float:
    """½ E (f(u₁) − f(u₂))² for Gaussians of variance q and correlation c; f = φ, or φ' with `slope`.

    E f(u₁)f(u₂) = E f² − this. In this form 1 − c' keeps its relative accuracy as c → 1, where the plain
    product integral cancels. Integrated over the half sum m and half difference d of u₁, u₂, independent
    with variances q(1 + c)/2 and q(1 − c)/2; kinks are the lines m ± d = k, on which panels end.
    """
    q = float(np.clip(q, SMALLEST_Q, LARGEST_Q))
    scale_m, scale_d = np.sqrt(q * (1 + c) / 2), np.sqrt(q * (1 - c) / 2)
    if scale_d == 0:
        return 0.0
    reach = _REACH_2D * float(scale_m + scale_d)
    edges, kinks = phi.panels(reach)
    edges, kinks = _thinned(edges[np.abs(edges) <= reach], kinks[np.abs(kinks) <= reach], reach)
    m_M, weight_M = _half_sum_nodes(edges, kinks, scale_m, scale_d)

    distance_MP = np.minimum(np.abs(edges - m_M[:, None]), _REACH_2D * scale_d)
    base_MP = np.broadcast_to(scale_d * _BASE_2D[_BASE_2D >= 0], (len(m_M), 7))
    d_MN, weight_MN = panel_nodes(np.sort(np.concatenate([base_MP, distance_MP], axis=1), axis=1))
    weight_MN = 2 * weight_MN * _density(d_MN, scale_d)  # the integrand is even in d

    f = phi.slope if slope else phi.value
    u_2MN = m_M[:, None] + np.stack([d_MN, -d_MN])
    with np.errstate(over="ignore", invalid="ignore"):
        f_2MN = f(u_2MN)
        return float(weight_M @ ((f_2MN[0] - f_2MN[1]) ** 2 * weight_MN).sum(-1)) / 2


def panel_nodes(edges: Array) -> tuple[Array, Array]:
    """Gauss–Legendre (nodes, weights) of the panels between consecutive edges of the last axis, sorted."""
    middle, half = (edges[..., 1:] + edges[..., :-1]) / 2, (edges[..., 1:] - edges[..., :-1]) / 2
    nodes = middle[..., None] + half[..., None] * NODES
    weights = half[..., None] * WEIGHTS
    return nodes.reshape(*nodes.shape[:-2], -1), weights.reshape(*weights.shape[:-2], -1)


def _half_sum_nodes(edges: Array, kinks: Array, scale_m: float, scale_d: float) -> tuple[Array, Array]:
    if scale_m == 0:
        return np.zeros(1), np.ones(1)
    # Two kink lines m + d = k₁ and m − d = k₂ cross at m = (k₁ + k₂)/2, if |k₁ − k₂|/2 is within reach of d.
    first, second = np.meshgrid(kinks, kinks)
    crossings = ((first + second) / 2)[np.abs(first - second) / 2 <= _REACH_2D * scale_d]
    layers = np.add.outer(np.unique(crossings), scale_d * _LAYERS).ravel()
    m, weight = panel_nodes(_within(np.concatenate([scale_m * _BASE_2D, edges, layers]), _REACH_2D * scale_m))
    return m, weight * _density(m, scale_m)


def _thinned(edges: Array, kinks: Array, reach: float) -> tuple[Array, Array]:
    """About a hundred edges at most, among them the 64 kinks nearest zero.

    Only for what has more: a singularity such as √|u| (its edges crowd far beyond any use in 2-d), a
    quantizer with many steps at a large q. There the accuracy falls to about 1e-4.
    """
    if len(edges) <= 64:
        return edges, kinks
    kinks = np.sort(kinks[np.argsort(np.abs(kinks))][:64])
    cell = np.round(edges / (reach / 32))
    return np.union1d(kinks, edges[np.unique(cell, return_index=True)[1]]), kinks


def _within(points: Array, reach: float) -> Array:
    return np.unique(points[np.abs(points) <= reach])


def _density(u: Array, scale: float) -> Array:
    return np.exp(-0.5 * (u / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
