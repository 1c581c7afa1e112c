"""How often the intervals of shares hold the true share: the grid of `experiments/grid`, with known noise."""

from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
from experiments.grid.measure import TABLE
from experiments.grid.rules import AXES

from trainlab.stats.anova import FactorialDesign, VarianceDecomposition, VariancePart
from trainlab.stats.variance_shares import SeedVariance, VarianceShares

AT_CHANCE, LEARNED = 0.1, 0.3
NOISE_AT_CHANCE, NOISE_AT_BORDER, NOISE = 0.004, 0.05, 0.015
"""Standard deviations over seeds: of settings at chance, at the border of learning, of those that learn."""


class World(NamedTuple):
    """What the runs of each cell are drawn from: about high_C with probability p_C, else about low_C."""

    p_C: np.ndarray
    low_C: np.ndarray
    high_C: np.ndarray
    low_noise_C: np.ndarray
    high_noise_C: np.ndarray

    @property
    def mean_C(self) -> np.ndarray:
        return self.p_C * self.high_C + (1 - self.p_C) * self.low_C

    @property
    def variance_C(self) -> np.ndarray:
        between_C = self.p_C * (1 - self.p_C) * (self.high_C - self.low_C) ** 2
        return between_C + self.p_C * self.high_noise_C**2 + (1 - self.p_C) * self.low_noise_C**2

    def draw(self, random: np.random.Generator, seeds: int) -> np.ndarray:
        """y_CS"""
        size = (len(self.p_C), seeds)
        high_CS = self.high_C[:, None] + self.high_noise_C[:, None] * random.normal(size=size)
        low_CS = self.low_C[:, None] + self.low_noise_C[:, None] * random.normal(size=size)
        return np.where(random.random(size) < self.p_C[:, None], high_CS, low_CS)


def recorded_grid(seeds: int) -> tuple[FactorialDesign, np.ndarray]:
    """The design of the recorded grid with so many seeds, and the recorded mean of each cell."""
    runs = pl.read_csv(TABLE, infer_schema_length=None)
    cells = runs.group_by(AXES).agg(pl.col("test/acc").fill_null(AT_CHANCE).mean()).sort(AXES)
    levels = {axis: sorted(set(cells[axis])) for axis in AXES}
    codes = {axis: np.array([levels[axis].index(value) for value in cells[axis]]) for axis in AXES}
    return FactorialDesign(levels, codes, np.full(len(cells), float(seeds))), cells["test/acc"].to_numpy()


def world(kind: str, mean_C: np.ndarray) -> World:
    """Normal noise that is largest at the border; or settings at the border learn, or do not."""
    one_C = np.ones_like(mean_C)
    if kind == "normal":
        border_C = np.where(mean_C < 0.25, NOISE_AT_BORDER, NOISE)
        noise_C = np.where(mean_C < 0.13, NOISE_AT_CHANCE, border_C)
        return World(one_C, mean_C, mean_C, noise_C, noise_C)
    chance_C = np.clip((mean_C - AT_CHANCE) / (LEARNED - AT_CHANCE), 0.1, 0.9)
    p_C = np.where(mean_C < 0.13, 0.0, np.where(mean_C < 0.27, chance_C, 1.0))
    if kind == "learned":
        return World(p_C, 0 * one_C, one_C, 0 * one_C, 0 * one_C)
    high_C = np.where(p_C == 1, mean_C, LEARNED)
    return World(p_C, AT_CHANCE * one_C, high_C, NOISE_AT_CHANCE * one_C, NOISE * one_C)


def components(measured: VarianceDecomposition) -> dict[tuple[str, ...], VariancePart]:
    return {**measured.parts, ("three", "and", "more"): measured.higher}


NAMES = {1: "axes", 2: "pairs", 3: "higher"}
SEEDS = ("seeds",)


def coverage(kind: str, seeds: int, draws: int) -> dict[str, tuple[float, float]]:
    """Of axes, pairs, higher, seeds: how often intervals hold the true share, and the largest mean error."""
    design, recorded_C = recorded_grid(seeds)
    drawn_from = world(kind, recorded_C)
    measured = design.decompose(drawn_from.mean_C)
    noise = seeds * float(drawn_from.variance_C.sum())
    total = noise + measured.between.squares
    expected = {term: part.squares / total for term, part in components(measured).items()}
    expected[SEEDS] = noise / total
    random = np.random.default_rng(seeds)
    held: dict[tuple[str, ...], list[bool]] = {term: [] for term in expected}
    errors: dict[tuple[str, ...], list[float]] = {term: [] for term in expected}
    for _ in range(draws):
        y_CS = drawn_from.draw(random, seeds)
        squares_C = y_CS.var(axis=1) * seeds
        shares = VarianceShares(design.decompose(y_CS.mean(1)), SeedVariance(design.n_C, squares_C))
        found = {term: shares.share(part) for term, part in components(shares.measured).items()}
        found[SEEDS] = shares.share_of_seeds()
        assert sum(share.value for share in found.values()) == pytest.approx(1)
        for term, share in found.items():
            held[term].append(bool(share.low - 1e-9 <= expected[term] <= share.high + 1e-9))
            errors[term].append(share.value - expected[term])
    kinds = {term: "seeds" if term == SEEDS else NAMES[len(term)] for term in expected}
    return {
        name: (
            float(np.mean([held[term] for term in expected if kinds[term] == name])),
            max(abs(float(np.mean(errors[term]))) for term in expected if kinds[term] == name),
        )
        for name in dict.fromkeys(kinds.values())
    }


@pytest.mark.parametrize("kind", ["normal", "mixture", "learned"])
def test_intervals_hold_the_true_share(kind):
    for share, bias in coverage(kind, seeds=2, draws=60).values():
        assert share > 0.85 and bias < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3])
@pytest.mark.parametrize("kind", ["normal", "mixture", "learned"])
def test_intervals_hold_the_true_share_as_often_as_they_say(kind, seeds):
    found = coverage(kind, seeds, draws=1000)
    print(kind, seeds, {name: [round(100 * v, 2) for v in values] for name, values in found.items()})
    for name, (share, bias) in found.items():
        assert share > 0.92, name
        assert bias < 0.003, name


def test_one_degree_of_freedom_within_settings_says_nothing():
    assert not SeedVariance(np.array([2.0, 1.0, 1.0]), np.array([0.1, 0.0, 0.0])).is_known
    assert SeedVariance(np.array([2.0, 2.0, 2.0]), np.array([0.1, 0.2, 0.1])).is_known
