"""What an expectation on means tests: one number a seed, made of the arms' values, and a bound."""

import itertools
from collections.abc import Callable, Mapping

import numpy as np

from trainlab.claims.expectations import (
    Contrast,
    Equivalent,
    GreaterBy,
    Interaction,
    Ordered,
    Slope,
    Threshold,
)

SeedValues = Mapping[str, Mapping[int, float]]
"""A number for each arm and seed."""


def build_contrasts(expectation: Contrast, values: SeedValues) -> tuple[list[list[float]], float]:
    """What is tested, seed by seed (paired over the seeds that all arms have), and against which bound."""
    seeds = sorted(set.intersection(*(set(values[arm]) for arm in expectation.arms())))

    def values_of(arm: str) -> np.ndarray:
        return np.array([values[arm][seed] for seed in seeds])

    match expectation:
        case GreaterBy():
            return [(values_of(expectation.more) - values_of(expectation.than)).tolist()], expectation.by
        case Equivalent():
            first, second = expectation.same
            return [(values_of(first) - values_of(second)).tolist()], expectation.within
        case Ordered():
            pairs = itertools.pairwise(expectation.order)
            return [(values_of(high) - values_of(low)).tolist() for high, low in pairs], expectation.by
        case Interaction():
            a, b, c, d = (values_of(arm) for arm in expectation.arms())
            return [(a - b - c + d).tolist()], expectation.by
        case Threshold():
            return [values_of(expectation.arm).tolist()], expectation.bound
        case Slope():
            slopes = _slopes(expectation.slope, values_of)
            if expectation.less is not None:
                slopes = slopes - _slopes(expectation.less, values_of)
            return [slopes.tolist()], expectation.bound


def _slopes(line: Mapping[str, float], values_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """Σ (x − x̄) y / Σ (x − x̄)² over the arms, for each seed."""
    x_A = np.array([*line.values()])
    centred_A = x_A - x_A.mean()
    return centred_A @ np.array([values_of(arm) for arm in line]) / (centred_A @ centred_A)
