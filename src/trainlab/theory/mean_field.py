"""Mean-field signal propagation: what infinitely wide random networks do to variance, angle and gradient.

One layer is h = W φ(h_before) + b with W ~ N(0, σw²/fan_in), b ~ N(0, σb²). In a wide network the
pre-activations of an input are Gaussian with variance q, those of two inputs have correlation c
(Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232):

    variance map     V(q) = σw² E φ(√q z)² + σb²                    fixed point q* = V(q*)
    correlation map  C(c) = (σw² E φ(u₁)φ(u₂) + σb²) / V(q*)        u₁, u₂ ~ N(0, q*), correlation c
    slope at c = 1   χ₁ = σw² E φ'(√q* z)²                          also: growth of the mean square gradient

`phi` is any elementwise callable on tensors, `sigma_w2` and `sigma_b2` are σw² and σb². Everything is
float64, by quadrature that ends its panels on the kinks of φ; a φ prepared once, `Elementwise(phi)`, saves
some milliseconds a call. All functions raise RequestError for a negative or non-finite variance and for a
phi that is not elementwise.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trainlab.errors import RequestError
from trainlab.theory.batchnorm import batchnorm_gradient_growth
from trainlab.theory.elementwise import Elementwise, Phi
from trainlab.theory.moments import (
    second_moment,
    second_moment_slope,
    slope_product,
    slope_second_moment,
)
from trainlab.theory.quadrature import expect_gap

__all__ = [
    "DepthScales",
    "batchnorm_gradient_growth",
    "chi1",
    "correlation_map",
    "correlations",
    "critical_sigma_w2",
    "depth_scales",
    "fixed_correlation",
    "fixed_point",
    "phase",
    "variance_map",
]

_ZERO, _INFINITE = 1e-12, 1e12  # q* beyond these is 0 or ∞
_LIMITS = 1e-24, 1e24  # where the limits of 0 and ∞ are taken


@dataclass(frozen=True)
class DepthScales:
    """Depths, in layers, over which a signal is forgotten, as exp(−layers / ξ); inf where it is not.

    xi_q: of a deviation from q*; −1 / log[χ₁ + σw² E φ''φ] (Schoenholz et al. 2017, Eq. 8).
    xi_c: of a deviation from c*; −1 / log[σw² E φ'(u₁*)φ'(u₂*)] (Eq. 9); −1 / log χ₁ where c* = 1. It bounds
      the trainable depth.
    """

    xi_q: float
    xi_c: float


def variance_map(phi: Phi | Elementwise, q: float, sigma_w2: float, sigma_b2: float) -> float:
    """V(q) = σw² E φ(√q z)² + σb²: the pre-activation variance one layer after variance q."""
    _check(sigma_w2, sigma_b2)
    if not 0 <= q < math.inf:
        raise RequestError(f"q must be a variance, 0 or more and finite, got {q}")
    return (sigma_w2 * second_moment(Elementwise.prepared(phi), q) if sigma_w2 > 0 else 0.0) + sigma_b2


def fixed_point(phi: Phi | Elementwise, sigma_w2: float, sigma_b2: float) -> float:
    """q* = V(q*), the one that is reached from q = 1; 0.0 or inf where the variance goes there.

    Iterates V; where that is slow (near the critical line) it leaps on in the same direction, in log q, with
    doubling steps, until V(q) − q changes sign, and takes the root. Below 1e-12 and above 1e12 count as 0 and
    inf. Where the iteration cycles, the result is the fixed point it cycles around.
    """
    phi = Elementwise.prepared(phi)
    q = 1.0
    for _ in range(64):
        new_q = variance_map(phi, q, sigma_w2, sigma_b2)
        if not _ZERO < new_q < _INFINITE:
            return 0.0 if new_q <= _ZERO else math.inf
        if abs(new_q - q) <= 1e-14 * q:
            return new_q
        q, old_q = new_q, q

    def growth(log_q: float) -> float:
        new_q = variance_map(phi, math.exp(log_q), sigma_w2, sigma_b2)
        return math.log(new_q) - log_q if new_q > 0 else -math.inf

    a, step = math.log(q), math.log(q / old_q)
    going_up = growth(a) > 0
    step = math.copysign(max(abs(step), 1e-9), 1 if going_up else -1)
    while True:
        b = a + step
        if not math.log(_ZERO) < b < math.log(_INFINITE):
            return math.inf if going_up else 0.0
        if (growth(b) > 0) != going_up:
            return math.exp(find_root(growth, a, b))
        a, step = b, 2 * step


def chi1(phi: Phi | Elementwise, sigma_w2: float, sigma_b2: float) -> float:
    """χ₁ = σw² E φ'(√q* z)²: slope of the correlation map at c = 1, at q*.

    Below 1: ordered, inputs become alike and gradients vanish; above 1: chaotic, gradients explode. The mean
    square gradient grows by χ₁ a layer toward the input. Where q* is 0 or inf, the limit of E φ'² there: ReLU
    has σw²/2 whatever q*. For a φ with jumps (sign, Hardshrink) φ' is what backpropagation sees, without the
    delta functions, and the correlation map is infinitely steep at 1.
    """
    phi = Elementwise.prepared(phi)
    q = fixed_point(phi, sigma_w2, sigma_b2)
    slope = sigma_w2 * slope_second_moment(phi, _limit(q))
    return math.inf if q == math.inf and slope > _INFINITE else slope


def correlation_map(phi: Phi | Elementwise, c: float, sigma_w2: float, sigma_b2: float) -> float:
    """c after one layer, C(c) = (σw² E φ(u₁)φ(u₂) + σb²) / V(q*), both inputs at the variance q*.

    Where q* is 0 or inf, the limit there (for ReLU at σb² = 0 the same map whatever σw²:
    [√(1−c²) + c(π − acos c)]/π; Cho & Saul 2009). A layer whose output is always zero gives 1: all inputs
    look the same. 1 − C(c) is accurate as c → 1.

    Raises RequestError unless −1 ≤ c ≤ 1.
    """
    phi = Elementwise.prepared(phi)
    return _correlation_step(phi, fixed_point(phi, sigma_w2, sigma_b2), c, sigma_w2, sigma_b2)


def correlations(
    phi: Phi | Elementwise, c: float, sigma_w2: float, sigma_b2: float, depth: int
) -> list[float]:
    """The correlation after 1, 2, …, `depth` layers, from c, at the variance q*."""
    phi = Elementwise.prepared(phi)
    q = fixed_point(phi, sigma_w2, sigma_b2)
    after = []
    for _ in range(depth):
        c = _correlation_step(phi, q, c, sigma_w2, sigma_b2)
        after.append(c)
    return after


def fixed_correlation(phi: Phi | Elementwise, sigma_w2: float, sigma_b2: float) -> float:
    """c*, the correlation that two different inputs approach: 1 where χ₁ ≤ 1, less in the chaotic phase.

    C is a power series with non-negative coefficients (Daniely et al. 2016, arXiv:1602.05897), so
    (1 − C(c))/(1 − c) increases with c and meets 1 once below c = 1, if at all.
    """
    phi = Elementwise.prepared(phi)
    return _fixed_correlation(phi, fixed_point(phi, sigma_w2, sigma_b2), sigma_w2, sigma_b2)


def depth_scales(phi: Phi | Elementwise, sigma_w2: float, sigma_b2: float) -> DepthScales:
    """ξ_q and ξ_c. With SGD and a small budget, networks train up to about 6 ξ_c layers (empirical)."""
    phi = Elementwise.prepared(phi)
    q = _limit(fixed_point(phi, sigma_w2, sigma_b2))
    c = _fixed_correlation(phi, q, sigma_w2, sigma_b2)
    return DepthScales(
        xi_q=_depth_scale(sigma_w2 * second_moment_slope(phi, q)),
        xi_c=_depth_scale(sigma_w2 * slope_product(phi, q, c)),
    )


def critical_sigma_w2(phi: Phi | Elementwise, sigma_b2: float) -> float:
    """σw² on the critical line: where χ₁, at the q* reached from q = 1, crosses 1.

    inf (or 0) where it stays below (or above) 1 for every σw² within 1e-8 … 1e8: a constant φ. Where q* jumps
    with σw² (GELU and SiLU at σb² = 0: from 0 to inf), χ₁ jumps across 1 with it, and the result is the
    place of that jump.
    """
    phi = Elementwise.prepared(phi)
    _check(1.0, sigma_b2)

    def log_chi1(log_sigma_w2: float) -> float:
        slope = chi1(phi, math.exp(log_sigma_w2), sigma_b2)
        return math.log(slope) if slope > 0 else -math.inf

    going_up = log_chi1(0.0) < 0
    octave = math.log(2) if going_up else -math.log(2)
    for octaves in range(27):
        if (log_chi1((octaves + 1) * octave) < 0) != going_up:
            return math.exp(find_root(log_chi1, octaves * octave, (octaves + 1) * octave, tolerance=1e-11))
    return math.inf if going_up else 0.0


def phase(
    phi: Phi | Elementwise, sigma_w2: float, sigma_b2: float, tolerance: float = 1e-3
) -> Literal["ordered", "critical", "chaotic"]:
    """Where (σw², σb²) lies: χ₁ below 1, within `tolerance` of 1, or above."""
    slope = chi1(phi, sigma_w2, sigma_b2)
    if abs(slope - 1) <= tolerance:
        return "critical"
    return "ordered" if slope < 1 else "chaotic"


def _correlation_step(phi: Elementwise, q: float, c: float, sigma_w2: float, sigma_b2: float) -> float:
    if not -1 <= c <= 1:
        raise RequestError(f"c must be a correlation, −1 to 1, got {c}")
    q = _limit(q)
    variance = sigma_w2 * second_moment(phi, q) + sigma_b2
    return 1 - sigma_w2 * expect_gap(phi, q, c) / variance if variance > 0 else 1.0


def _fixed_correlation(phi: Elementwise, q: float, sigma_w2: float, sigma_b2: float) -> float:
    q = _limit(q)
    variance = sigma_w2 * second_moment(phi, q) + sigma_b2
    # At a finite q* the variance is q* and this is χ₁; at 0 and inf it is the slope of the normalized map.
    if variance == 0 or sigma_w2 * slope_second_moment(phi, q) * q / variance <= 1 + 1e-9:
        return 1.0

    def steepness(distance: float) -> float:
        """(1 − C(c))/(1 − c) − 1 at c = 1 − distance."""
        return sigma_w2 * expect_gap(phi, q, 1 - distance) / (variance * distance) - 1

    if steepness(1.0) > -1e-12:
        return 0.0
    nearest = 1e-8
    return 1 - find_root(steepness, nearest, 1.0) if steepness(nearest) > 0 else 1.0


def _limit(q: float) -> float:
    """A finite positive stand-in for a q* of 0 or inf."""
    return min(max(q, _LIMITS[0]), _LIMITS[1])


def _depth_scale(slope: float) -> float:
    """−1 / log |slope|: inf when the deviation does not shrink, 0 when one layer forgets all."""
    slope = abs(slope)
    if slope >= 1 - 1e-12:
        return math.inf
    return -1 / math.log(slope) if slope > 0 else 0.0


def _check(sigma_w2: float, sigma_b2: float) -> None:
    for name, got in (("sigma_w2", sigma_w2), ("sigma_b2", sigma_b2)):
        if not 0 <= got < math.inf:
            raise RequestError(f"{name} must be a variance, 0 or more and finite, got {got}")


def find_root(f: Callable[[float], float], a: float, b: float, tolerance: float = 1e-13) -> float:
    """A zero, or a jump through zero, of f between a and b, where f changes sign.

    Regula falsi with Illinois' halving (Dowell & Jarratt 1971) for half the steps and bisection for the
    others, so that a jump converges too. Stops when the bracket is narrower than tolerance max(1, |a|, |b|).
    """
    f_a, f_b = f(a), f(b)
    if f_a == 0 or f_b == 0:
        return a if f_a == 0 else b
    weight_a, weight_b = f_a, f_b
    for step in range(200):
        if abs(b - a) <= tolerance * max(1.0, abs(a), abs(b)):
            break
        middle = (a + b) / 2
        # With an infinite end the secant is NaN, and the middle is taken.
        secant = a - weight_a * (b - a) / (weight_b - weight_a)
        x = middle if step % 3 == 2 or not min(a, b) < secant < max(a, b) else secant
        f_x = f(x)
        if f_x == 0:
            return x
        if (f_x > 0) == (f_a > 0):
            a, f_a, weight_a, weight_b = x, f_x, f_x, weight_b / 2
        else:
            b, f_b, weight_b, weight_a = x, f_x, f_x, weight_a / 2
    return a if abs(f_a) < abs(f_b) else b
