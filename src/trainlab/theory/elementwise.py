"""An activation φ as a float64 function of a real number: its value, its slope, and where it is not smooth.

Shapes: u_* are pre-activations, P panels, N nodes. Quadrature is only as good as its knowledge of the kinks:
a Gauss rule that straddles the corner of a ReLU errs by 1e-3, one that ends at the corner by 1e-15.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainlab.errors import RequestError

Array = NDArray[np.float64]
Phi = Callable[[torch.Tensor], torch.Tensor]

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
_EDGE = 1 - 2e-9  # just inside the panel: at a corner itself the slope belongs to neither side
# Off the centre: a panel around a kink must not evaluate the slope on it.
_PROBES = np.concatenate([[-_EDGE], 0.45 * NODES[1:] + 0.55 * NODES[:-1], [_EDGE]])
_NODES_TO_PROBES = np.polynomial.legendre.legvander(_PROBES, 15) @ np.linalg.inv(
    np.polynomial.legendre.legvander(NODES, 15)
)
_MAX_PANELS = 4096
_DIFFERENCE = 1e-6  # step of the finite difference, relative to max(1, |u|)


class Elementwise:
    """φ evaluated in float64 on the CPU, with its panels: intervals on which φ and φ' are both smooth.

    `phi` is any elementwise callable on tensors: a function, an `nn.Module` (a float64 copy of it is
    used, in eval mode, its hooks do not fire), a user's formula. The slope comes from autograd, so that a
    custom backward counts as it does in training; a function without a graph is differentiated by central
    differences that never reach over a kink.

    Raises RequestError when phi is not elementwise, returns no tensor of its input's shape, or gives NaN.
    """

    def __init__(self, phi: Phi) -> None:
        self._phi = _in_float64(phi)
        self._kinks = np.empty(0)
        self._panels: dict[float, tuple[Array, Array]] = {}
        self._differentiable, epsilon = self._check_elementwise()
        # For a function that computes in float64: 1e-9, 1e-12 and 1e-13; in float32: 1e-5, 1e-6 and 1e-6.
        self._tolerance, self._noise = max(1e-9, 100 * epsilon), max(1e-12, 10 * epsilon)
        self._narrowest = max(1e-13, 10 * epsilon) if self._differentiable else 4 * _DIFFERENCE

    @classmethod
    def prepared(cls, phi: "Phi | Elementwise") -> "Elementwise":
        """`phi` itself when it is prepared already."""
        return phi if isinstance(phi, Elementwise) else cls(phi)

    def value(self, u: Array) -> Array:
        """φ(u), any shape."""
        with torch.no_grad():
            return _finite_or_inf(self._call(torch.tensor(u.ravel(), device="cpu")).double(), u)

    def slope(self, u: Array) -> Array:
        """φ'(u), any shape: autograd, else central differences with a step of 1e-6 max(1, |u|)."""
        if not self._differentiable:
            return self._difference_quotient(u)
        with torch.inference_mode(False), torch.enable_grad():
            leaf = torch.tensor(u.ravel(), device="cpu", requires_grad=True)
            # The clone lets an in-place module work on a non-leaf.
            slope = torch.autograd.grad(self._call(leaf.clone()).sum(), leaf)[0]
        return _finite_or_inf(slope, u)

    def panels(self, reach: float) -> tuple[Array, Array]:
        """(edges, kinks) of the panels that cover [−reach, reach] at least, both sorted.

        Every panel is resolved by 16 Gauss–Legendre nodes: the polynomial through them meets φ and φ'
        between them, to 1e-9. Kinks (of φ or φ') are found by bisection to 1e-13 and become edges. What
        is narrower than about a tenth of the distance to zero (0.03 near zero) can be missed.
        """
        rounded = 16.0 ** max(1, int(np.ceil(np.log2(max(reach, 1.0)) / 4)))
        if rounded not in self._panels:
            self._panels[rounded] = self._find_panels(rounded)
        return self._panels[rounded]

    def _check_elementwise(self) -> tuple[bool, float]:
        """(whether φ has a graph, the epsilon of its arithmetic); raises when it is not elementwise."""
        u = torch.linspace(-2.9, 3.1, 13, dtype=torch.float64, device="cpu")
        with torch.inference_mode(False), torch.enable_grad():
            whole = self._call(u.clone().requires_grad_().clone())
            part = self._call(u[:5].flip(0).clone())
        if not torch.allclose(whole[:5].flip(0), part, rtol=1e-6, atol=1e-9, equal_nan=True):
            raise RequestError("phi is not elementwise: its value at a point depends on the other points")
        return whole.requires_grad, torch.finfo(whole.dtype).eps

    def _call(self, u_N: torch.Tensor) -> torch.Tensor:
        try:
            out = self._phi(u_N)
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            raise RequestError(f"phi fails on a float64 tensor of shape (N,): {error}") from error
        if not isinstance(out, torch.Tensor) or out.shape != u_N.shape:
            got = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
            raise RequestError(f"phi must return a tensor of its input's shape {tuple(u_N.shape)}, got {got}")
        if not out.dtype.is_floating_point:
            raise RequestError(f"phi must return a floating point tensor, got {out.dtype}")
        return out

    def _difference_quotient(self, u: Array) -> Array:
        step = _DIFFERENCE * np.maximum(1.0, np.abs(u))
        centre = u
        if len(self._kinks):
            nearest = self._kinks[np.abs(u[..., None] - self._kinks).argmin(-1)]
            side = np.where(u < nearest, -1.0, 1.0)
            centre = np.where(np.abs(u - nearest) < step, nearest + side * step, u)
        return (self.value(centre + step) - self.value(centre - step)) / (2 * step)

    def _find_panels(self, reach: float) -> tuple[Array, Array]:
        octaves = 2.0 ** np.arange(0, np.log2(reach) + 0.5)
        positive = np.union1d(np.concatenate([[0.5], octaves]), 1.5 * octaves[:-1])
        seeds = np.concatenate([-positive[::-1], [0.0], positive])
        floor = self._noise_floor(seeds)
        _, inside = self._refine(seeds, floor)
        for kink in [*self._kinks_at(seeds[1:-1], floor), *inside]:
            if not np.any(np.abs(self._kinks - kink) < 10 * self._narrowest * max(1.0, abs(kink))):
                self._kinks = np.append(self._kinks, kink)
        self._kinks.sort()
        edges, _ = self._refine(np.union1d(seeds, self._kinks), floor)
        return self._merge(edges, floor), self._kinks

    def _noise_floor(self, seeds: Array) -> Callable[[Array], Array]:
        """Rounding noise to expect at u, from the largest |φ| or |φ'| up to |u|.

        Without it a tail such as GELU's at u = −8, which is all cancellation, would never be resolved.
        """
        u = 0.99 * seeds[seeds > 0]  # off the seeds: a slope may not exist on them
        size = np.abs([f(sign * u) for f in (self.value, self.slope) for sign in (-1, 1)]).max(0)
        largest = np.maximum.accumulate(size)
        return lambda at: 1e-300 + self._noise * largest[np.searchsorted(u, at).clip(max=len(u) - 1)]

    def _resolved(self, left_P: Array, right_P: Array, floor: Callable[[Array], Array]) -> NDArray[np.bool_]:
        """Which panels 16 nodes resolve; a panel on which φ overflows counts as resolved (E is inf there)."""
        middle, half = (left_P + right_P) / 2, (right_P - left_P) / 2
        u_PN = middle[:, None] + half[:, None] * np.concatenate([NODES, _PROBES])
        noise_P = floor(np.maximum(np.abs(left_P), np.abs(right_P)))
        resolved = np.ones(len(left_P), dtype=bool)
        with np.errstate(invalid="ignore", over="ignore"):
            for y_PN in (self.value(u_PN), self.slope(u_PN)):
                error = np.abs(y_PN[:, :16] @ _NODES_TO_PROBES.T - y_PN[:, 16:]).max(1)
                largest = np.abs(y_PN).max(1)
                resolved &= (error <= self._tolerance * largest + noise_P) | ~np.isfinite(largest)
        return resolved

    def _refine(self, edges: Array, floor: Callable[[Array], Array]) -> tuple[Array, Array]:
        """(edges after bisecting what is not resolved, centres of what was too narrow to bisect: kinks)."""
        refined, kinks = [edges], [np.empty(0)]
        left, right, panels = edges[:-1], edges[1:], len(edges) - 1
        while len(left) and panels < _MAX_PANELS:
            todo = ~self._resolved(left, right, floor)
            left, right = left[todo], right[todo]
            middle = (left + right) / 2
            narrow = right - left < self._narrowest * np.maximum(1.0, np.abs(middle))
            kinks.append(middle[narrow])
            left, middle, right = left[~narrow], middle[~narrow], right[~narrow]
            refined.append(middle)
            panels += len(middle)
            left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        return np.unique(np.concatenate(refined)), np.unique(np.concatenate(kinks))

    def _kinks_at(self, seeds: Array, floor: Callable[[Array], Array]) -> Array:
        """The seeds that are kinks (ReLU's 0): bisection cannot see what lies on its own edge."""
        margin = 1e-3 * np.maximum(1.0, np.abs(seeds))
        return seeds[~self._resolved(seeds - margin, seeds + margin, floor)]

    def _merge(self, edges: Array, floor: Callable[[Array], Array]) -> Array:
        """Fewer edges: neighbours whose union is still resolved become one panel, in at most 12 rounds."""
        for _ in range(12):
            before = len(edges)
            for first in (1, 2):  # panels (0,1) (2,3) …, then (1,2) (3,4) …
                between = np.arange(first, len(edges) - 1, 2)
                between = between[~np.isin(edges[between], self._kinks)]
                if len(between):
                    gone = self._resolved(edges[between - 1], edges[between + 1], floor)
                    edges = np.delete(edges, between[gone])
            if len(edges) == before:
                break
        return edges


def _in_float64(phi: Phi) -> Phi:
    if not isinstance(phi, nn.Module):
        if not callable(phi):
            raise RequestError(f"phi must be a callable on tensors, got {type(phi).__name__}")
        return phi
    # forward, not __call__: hooks of the network the module lives in must not see these points.
    with torch.inference_mode(False):
        return copy.deepcopy(phi).to(device="cpu", dtype=torch.float64).eval().forward


def _finite_or_inf(out_N: torch.Tensor, u: Array) -> Array:
    y = out_N.detach().numpy().reshape(u.shape)
    if np.isnan(y).any():
        raise RequestError(f"phi or its derivative is NaN at {u[np.isnan(y)].flat[0]:.6g}")
    return y
