"""Analysis of variance of a factorial design: the share of each axis, of each pair, and the rest.

Legend: N runs, C cells (settings), B responses at once (the measured one, or many resampled), P indicator
columns, R their rank.
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


class SumOfSquares(NamedTuple):
    """Sums of squares of one source of variance, for each response."""

    squares_B: np.ndarray
    degrees_of_freedom: int


class VarianceDecomposition(NamedTuple):
    """Where the variance between cells goes.

    parts: of every axis and every pair. higher: what no axis and no pair explains. between: all of it.
    axes: what all single axes explain together.
    """

    parts: dict[Term, SumOfSquares]
    axes: SumOfSquares
    higher: SumOfSquares
    between: SumOfSquares


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

    def decompose(self, mean_CB: np.ndarray) -> VarianceDecomposition:
        """Type II sums of squares of responses whose cells have these means.

        An axis: what all axes explain beyond all the others; a pair: what its combinations explain beyond all
        axes (Yates 1934). On a balanced grid these are the classical ones (Fisher 1925), taken from means.
        """
        return self._from_means(mean_CB) if self.is_balanced else self._from_least_squares(mean_CB)

    def _from_means(self, mean_CB: np.ndarray) -> VarianceDecomposition:
        """Σ n (mean of the level or combination − sum of its margins)²: a balanced grid is orthogonal."""
        y_CB = mean_CB - mean_CB.mean(0)
        runs = float(self.n_C.sum())
        margins = {axis: _means_by_code(self.codes[axis], y_CB) for axis in self.axes}
        parts: dict[Term, SumOfSquares] = {
            (axis,): SumOfSquares(runs * (mean_LB**2).mean(0), len(mean_LB) - 1)
            for axis, mean_LB in margins.items()
        }
        for first, second in combinations(self.axes, 2):
            a_LB, b_MB = margins[first], margins[second]
            codes_C = self.codes[first] * len(b_MB) + self.codes[second]
            mean_LMB = _means_by_code(codes_C, y_CB).reshape(len(a_LB), len(b_MB), -1)
            beyond_LMB = mean_LMB - a_LB[:, None] - b_MB[None]
            degrees_of_freedom = (len(a_LB) - 1) * (len(b_MB) - 1)
            squares_B = runs * (beyond_LMB**2).mean((0, 1))
            parts[first, second] = SumOfSquares(squares_B, degrees_of_freedom)
        between = SumOfSquares(runs * (y_CB**2).mean(0), len(y_CB) - 1)
        axes = _sum([part for term, part in parts.items() if len(term) == 1])
        higher = _difference(between, _sum(list(parts.values())))
        return VarianceDecomposition(parts, axes, higher, between)

    def _from_least_squares(self, mean_CB: np.ndarray) -> VarianceDecomposition:
        y_CB = mean_CB - np.average(mean_CB, axis=0, weights=self.n_C)
        main: list[Term] = [(axis,) for axis in self.axes]
        pairs: list[Term] = list(combinations(self.axes, 2))
        axes = self._explained(main, y_CB)
        parts: dict[Term, SumOfSquares] = {
            term: _difference(axes, self._explained([other for other in main if other != term], y_CB))
            for term in main
        }
        parts |= {pair: _difference(self._explained([*main, pair], y_CB), axes) for pair in pairs}
        between = SumOfSquares((self.n_C[:, None] * y_CB**2).sum(0), len(y_CB) - 1)
        higher = _difference(between, self._explained([*main, *pairs], y_CB))
        return VarianceDecomposition(parts, axes, higher, between)

    def _explained(self, terms: Sequence[Term], y_CB: np.ndarray) -> SumOfSquares:
        """What least squares on indicators of these terms explains of responses about their mean."""
        if not terms:
            return SumOfSquares(np.zeros(y_CB.shape[1]), 0)
        _, basis_RC = self.solve(terms)
        return SumOfSquares(((basis_RC @ y_CB) ** 2).sum(0), len(basis_RC) - 1)

    def fit_pairs(self, mean_C: np.ndarray) -> tuple[np.ndarray, int]:
        """The least-squares fit by all axes and pairs, and its residual degrees of freedom."""
        centre = np.average(mean_C, weights=self.n_C)
        y_CB = (mean_C - centre)[:, None]
        pairs = list(combinations(self.axes, 2))
        if not self.is_balanced:
            # rows of the basis are orthonormal under the weights n: the fit is basis' (basis y) / n
            _, basis_RC = self.solve([*((axis,) for axis in self.axes), *pairs])
            return centre + (basis_RC.T @ (basis_RC @ y_CB))[:, 0] / self.n_C, len(mean_C) - len(basis_RC)
        margins = {axis: _means_by_code(self.codes[axis], y_CB)[self.codes[axis]] for axis in self.axes}
        fitted_CB = np.sum(list(margins.values()), axis=0)
        for first, second in pairs:
            codes_C = self.codes[first] * len(self.levels[second]) + self.codes[second]
            fitted_CB = fitted_CB + _means_by_code(codes_C, y_CB)[codes_C] - margins[first] - margins[second]
        rank = sum(len(levels) - 1 for levels in self.levels.values())
        rank += sum((len(self.levels[a]) - 1) * (len(self.levels[b]) - 1) for a, b in pairs)
        return centre + fitted_CB[:, 0], len(mean_C) - 1 - rank

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


def _means_by_code(codes_C: np.ndarray, y_CB: np.ndarray) -> np.ndarray:
    """The mean over the cells of each code; every code has equally many."""
    order = np.argsort(codes_C, kind="stable")
    return y_CB[order].reshape(codes_C.max() + 1, -1, y_CB.shape[1]).mean(1)


def _difference(more: SumOfSquares, less: SumOfSquares) -> SumOfSquares:
    return SumOfSquares(more.squares_B - less.squares_B, more.degrees_of_freedom - less.degrees_of_freedom)


def _sum(parts: Sequence[SumOfSquares]) -> SumOfSquares:
    squares = sum((part.squares_B for part in parts), np.zeros_like(parts[0].squares_B))
    return SumOfSquares(squares, sum(part.degrees_of_freedom for part in parts))
