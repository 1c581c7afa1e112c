"""Analysis of variance of a factorial design: sums of squares of each axis, of each pair, and of the rest.

What they say beside chance: `variance_shares`. Legend: N runs, C cells (settings), P indicator columns, R
their rank.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

import numpy as np

_SINGULAR = 1e-10  # eigenvalues below this share of the largest count as zero

Term = tuple[str, ...]
"""One axis, or two: their interaction."""


class VariancePart(NamedTuple):
    """What one source of variance makes of the means of the cells: the part of each that it explains."""

    part_C: np.ndarray
    squares: float
    """Σ n part²."""
    degrees_of_freedom: int


class VarianceDecomposition(NamedTuple):
    """Where the variance between cells goes.

    parts: of every axis and every pair. higher: what no axis and no pair explains. between: all of it.
    axes: what all single axes explain together.
    """

    parts: dict[Term, VariancePart]
    axes: VariancePart
    higher: VariancePart
    between: VariancePart


@dataclass(frozen=True)
class FactorialDesign:
    """The settings that were run: `levels` per axis, `codes` (axis → code_C) into them, `n_C` runs each."""

    levels: dict[str, list]
    codes: dict[str, np.ndarray]
    n_C: np.ndarray

    @property
    def axes(self) -> list[str]:
        return list(self.levels)

    @property
    def combination_count(self) -> int:
        """How many combinations of all levels there are."""
        return math.prod(len(levels) for levels in self.levels.values())

    @property
    def pair_count(self) -> int:
        """How many combinations of two levels were run, at most."""
        pairs = combinations(self.levels.values(), 2)
        return sum(min(len(first) * len(second), len(self.n_C)) for first, second in pairs)

    @cached_property
    def is_balanced(self) -> bool:
        """Whether every combination was run, all equally often."""
        return len(self.n_C) == self.combination_count and len(set(self.n_C.tolist())) == 1

    def decompose(self, mean_C: np.ndarray) -> VarianceDecomposition:
        """Type II sums of squares of a response whose cells have these means.

        An axis: what all axes explain beyond all the others; a pair: what its combinations explain beyond all
        axes (Yates 1934). On a balanced grid these are the classical ones (Fisher 1925), taken from means.
        """
        y_C = mean_C - np.average(mean_C, weights=self.n_C)
        return self._from_means(y_C) if self.is_balanced else self._from_least_squares(y_C)

    def _component(self, part_C: np.ndarray, degrees_of_freedom: int) -> VariancePart:
        return VariancePart(part_C, float((self.n_C * part_C**2).sum()), degrees_of_freedom)

    def _from_means(self, y_C: np.ndarray) -> VarianceDecomposition:
        """Means of levels and combinations less the sums of their margins: a balanced grid is orthogonal."""
        margins = {axis: _means_by_code(self.codes[axis], y_C) for axis in self.axes}
        of_axis = {axis: mean_L[self.codes[axis]] for axis, mean_L in margins.items()}
        parts: dict[Term, VariancePart] = {
            (axis,): self._component(of_axis[axis], len(mean_L) - 1) for axis, mean_L in margins.items()
        }
        for first, second in combinations(self.axes, 2):
            codes_C = self.codes[first] * len(self.levels[second]) + self.codes[second]
            beyond_C = _means_by_code(codes_C, y_C)[codes_C] - of_axis[first] - of_axis[second]
            degrees_of_freedom = (len(self.levels[first]) - 1) * (len(self.levels[second]) - 1)
            parts[first, second] = self._component(beyond_C, degrees_of_freedom)
        between = self._component(y_C, len(y_C) - 1)
        axes = self._sum([part for term, part in parts.items() if len(term) == 1])
        higher = self._difference(between, self._sum(list(parts.values())))
        return VarianceDecomposition(parts, axes, higher, between)

    def _from_least_squares(self, y_C: np.ndarray) -> VarianceDecomposition:
        main: list[Term] = [(axis,) for axis in self.axes]
        pairs: list[Term] = list(combinations(self.axes, 2))
        axes = self._explained(main, y_C)
        parts: dict[Term, VariancePart] = {
            term: self._difference(axes, self._explained([other for other in main if other != term], y_C))
            for term in main
        }
        parts |= {pair: self._difference(self._explained([*main, pair], y_C), axes) for pair in pairs}
        between = self._component(y_C, len(y_C) - 1)
        higher = self._difference(between, self._explained([*main, *pairs], y_C))
        return VarianceDecomposition(parts, axes, higher, between)

    def _explained(self, terms: Sequence[Term], y_C: np.ndarray) -> VariancePart:
        """What least squares on indicators of these terms explains of a response about its mean."""
        if not terms:
            return VariancePart(np.zeros_like(y_C), 0.0, 0)
        _, basis_RC = self.solve(terms)
        # rows of the basis are orthonormal under the weights n: the fit is basis' (basis y) / n
        return self._component(basis_RC.T @ (basis_RC @ y_C) / self.n_C, len(basis_RC) - 1)

    def _difference(self, more: VariancePart, less: VariancePart) -> VariancePart:
        """What the one explains beyond the other, which is nested in it."""
        return self._component(more.part_C - less.part_C, more.degrees_of_freedom - less.degrees_of_freedom)

    def _sum(self, parts: Sequence[VariancePart]) -> VariancePart:
        """Of orthogonal parts."""
        total_C = np.sum([part.part_C for part in parts], axis=0)
        return self._component(total_C, sum(part.degrees_of_freedom for part in parts))

    def solve(self, terms: Sequence[Term]) -> tuple[np.ndarray, np.ndarray]:
        """(coefficients_PR, basis_RC): `basis @ y` are the coordinates of a fit, `coefficients @` them its β.

        The indicators are collinear; the normal equations XᵀWXβ = XᵀWy are solved on their range, whose
        dimension is the rank R. The squares of the coordinates add up to what is explained.
        """
        x_CP = np.concatenate([self._indicators(term) for term in terms], axis=1)
        weighted_CP = x_CP * self.n_C[:, None]
        eigenvalues, vectors_PR = np.linalg.eigh(x_CP.T @ weighted_CP)
        kept = eigenvalues > _SINGULAR * eigenvalues[-1]
        scaled_PR = vectors_PR[:, kept] / np.sqrt(eigenvalues[kept])
        return scaled_PR, scaled_PR.T @ weighted_CP.T

    def _indicators(self, term: Term) -> np.ndarray:
        codes = self.codes[term[0]]
        if len(term) == 2:
            second = self.codes[term[1]]
            codes = np.unique(codes * (second.max() + 1) + second, return_inverse=True)[1]
        return np.eye(codes.max() + 1)[codes]


def _means_by_code(codes_C: np.ndarray, y_C: np.ndarray) -> np.ndarray:
    """The mean over the cells of each code; every code has equally many."""
    return np.bincount(codes_C, weights=y_C) / np.bincount(codes_C)
