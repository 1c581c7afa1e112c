"""Tests and corrections against SciPy and hand computation."""

import math

import numpy as np
import pytest
from scipy import stats

from trainlab.stats import hypothesis_tests
from trainlab.stats.hypothesis_tests import OneSidedPValues

A = [0.91, 0.93, 0.92, 0.95, 0.94]
B = [0.90, 0.90, 0.91, 0.91, 0.90]


def test_a_paired_difference_is_scipys_paired_t_test():
    differences = np.subtract(A, B)
    sides = hypothesis_tests.mean_test(differences, 0.0)
    assert sides.p_for == pytest.approx(stats.ttest_rel(A, B, alternative="greater").pvalue)
    assert sides.p_against == pytest.approx(stats.ttest_rel(A, B, alternative="less").pvalue)


def test_a_minimum_effect_moves_the_bound_as_computed_by_hand():
    differences = [0.01, 0.03, 0.01, 0.04, 0.04]  # mean .026, s = √(Σd²/4) = .01517
    t = (0.026 - 0.01) / (math.sqrt(9.2e-4 / 4) / math.sqrt(5))
    assert hypothesis_tests.mean_test(differences, 0.01).p_for == pytest.approx(stats.t.sf(t, df=4), rel=1e-3)


def test_values_without_spread_are_as_clear_as_the_sign_test_and_never_certain():
    assert hypothesis_tests.mean_test([1.0] * 5, 0.9) == OneSidedPValues(1 / 32, 1.0)
    assert hypothesis_tests.mean_test([1.0] * 5, 1.1) == OneSidedPValues(1.0, 1 / 32)
    assert hypothesis_tests.mean_test([1.0] * 5, 1.0) == OneSidedPValues(1.0, 1.0)


def test_equivalence_is_two_one_sided_tests():
    differences = np.subtract(A, B)
    margin = 0.05
    low = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    high = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert hypothesis_tests.equivalence_test(differences, margin).p_for == pytest.approx(max(low, high))
    assert hypothesis_tests.equivalence_test(differences, 0.001).p_for > 0.05


def test_holm_by_hand():
    assert hypothesis_tests.holm_adjust([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert hypothesis_tests.holm_adjust([]) == []
