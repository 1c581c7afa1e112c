"""Moments of an activation of a Gaussian pre-activation u ~ N(0, q): the ingredients of every recursion here.

At q = 0 the value is φ(0), a slope or a ratio is its limit q → 0 (q is clipped to [1e-200, 1e200]).
"""

from collections.abc import Callable

import numpy as np

from trainlab.theory.elementwise import Array, Elementwise
from trainlab.theory.quadrature import LARGEST_Q, SMALLEST_Q, expect_gap, gaussian_nodes


def mean(phi: Elementwise, q: float) -> float:
    """E φ(u)."""
    return _moment(phi, phi.value, q, 1) if q > 0 else float(phi.value(np.zeros(1))[0])


def second_moment(phi: Elementwise, q: float) -> float:
    """E φ(u)²."""
    return _moment(phi, phi.value, q, 2) if q > 0 else float(phi.value(np.zeros(1))[0] ** 2)


def slope_second_moment(phi: Elementwise, q: float) -> float:
    """E φ'(u)²."""
    return _moment(phi, phi.slope, q, 2)


def kurtosis(phi: Elementwise, q: float, centre: float = 0.0) -> float:
    """E (φ − centre)⁴ / (E (φ − centre)²)²; 1 where that is always zero. ReLU 6, identity 3."""
    u, weight = gaussian_nodes(phi, q)
    square = (phi.value(u) - centre) ** 2
    return _ratio(weight, square)


def slope_kurtosis(phi: Elementwise, q: float) -> float:
    """E φ'⁴ / (E φ'²)²; 1 where the slope is always zero. ReLU 2, identity 1."""
    u, weight = gaussian_nodes(phi, q)
    return _ratio(weight, phi.slope(u) ** 2)


def second_moment_slope(phi: Elementwise, q: float) -> float:
    """d E φ(u)² / dq = E φ(u) φ'(u) u / q, equal to E φ'² + E φ φ'' (Stein), with no second derivative."""
    u, weight = gaussian_nodes(phi, q)
    return float(weight @ (phi.value(u) * phi.slope(u) * u)) / float(np.clip(q, SMALLEST_Q, LARGEST_Q))


def second_moment_skew(phi: Elementwise, q: float) -> float:
    """E φ(u)² z / E φ(u)² with z = u/√q: how the second moment follows a shift of u's mean; 0 for odd φ."""
    u, weight = gaussian_nodes(phi, q)
    square = phi.value(u) ** 2
    total = float(weight @ square)
    return float(weight @ (square * u)) / (total * np.sqrt(max(q, SMALLEST_Q))) if total > 0 else 0.0


def log_second_moment_slope(phi: Elementwise, q: float) -> float:
    """d log E φ(u)² / d log q: 1 for ReLU, 0 where φ is saturated."""
    square = second_moment(phi, q)
    return second_moment_slope(phi, q) * q / square if square > 0 else 0.0


def log_slope_slope(phi: Elementwise, q: float) -> float:
    """d log E φ'(u)² / d log q, by a central difference (error 1e-6): 0 for ReLU."""
    step = 1e-3
    low, high = (slope_second_moment(phi, q * (1 + sign * step)) for sign in (-1, 1))
    return float(np.log(high / low)) / (2 * step) if low > 0 and high > 0 else 0.0


def co_moment(phi: Elementwise, q: float) -> float:
    """Cov(φ², φ'²) / (E φ² E φ'²): 1 for ReLU, negative where φ saturates."""
    u, weight = gaussian_nodes(phi, q)
    square, slope = phi.value(u) ** 2, phi.slope(u) ** 2
    means = float(weight @ square) * float(weight @ slope)
    return float(weight @ (square * slope)) / means - 1 if means > 0 else 0.0


def product(phi: Elementwise, q: float, c: float) -> float:
    """E φ(u₁)φ(u₂) at correlation c."""
    return second_moment(phi, q) - (expect_gap(phi, q, c) if q > 0 else 0.0)


def slope_product(phi: Elementwise, q: float, c: float) -> float:
    """E φ'(u₁)φ'(u₂) at correlation c."""
    return slope_second_moment(phi, q) - expect_gap(phi, q, c, slope=True)


def _moment(phi: Elementwise, f: Callable[[Array], Array], q: float, power: int) -> float:
    u, weight = gaussian_nodes(phi, q)
    with np.errstate(over="ignore"):
        return float(weight @ f(u) ** power)


def _ratio(weight: Array, square: Array) -> float:
    """E s² / (E s)², scaled so that very small and very large s neither vanish nor overflow."""
    largest = square.max()
    if largest == 0 or not np.isfinite(largest):
        return 1.0
    return float(weight @ (square / largest) ** 2) / float(weight @ (square / largest)) ** 2
