"""The statistics against SciPy, hand computation, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats
from tiny import ACCURACY, claim

from trainlab.claims.judge import (
    REFUTED,
    SUPPORTED,
    UNDECIDED,
    adjusted_verdicts,
    judge_mean,
    verdict_from_p_values,
)
from trainlab.claims.registry import parse_claim
from trainlab.stats import hypothesis_tests
from trainlab.stats.hypothesis_tests import OneSidedPValues

A = [0.91, 0.93, 0.92, 0.95, 0.94]
B = [0.90, 0.90, 0.91, 0.91, 0.90]


def expectation(**fields):
    content = {"says": "so", "of": ACCURACY, **fields}
    return parse_claim(
        claim(expectations=[content], figure={"kind": "curves", "title": "t", "arms": ["A", "B"]}), "c"
    ).expectations[0]


def test_a_paired_difference_is_scipys_paired_t_test():
    differences = np.subtract(A, B)
    sides = hypothesis_tests.mean_test(differences, 0.0)
    assert sides.p_for == pytest.approx(stats.ttest_rel(A, B, alternative="greater").pvalue)
    assert sides.p_against == pytest.approx(stats.ttest_rel(A, B, alternative="less").pvalue)


def test_a_minimum_effect_moves_the_bound_as_computed_by_hand():
    differences = [0.01, 0.03, 0.01, 0.04, 0.04]  # mean .026, s = √(Σd²/4) = .01517
    t = (0.026 - 0.01) / (math.sqrt(9.2e-4 / 4) / math.sqrt(5))
    assert hypothesis_tests.mean_test(differences, 0.01).p_for == pytest.approx(stats.t.sf(t, df=4), rel=1e-3)


def test_values_without_spread_leave_no_doubt_and_never_nan():
    assert hypothesis_tests.mean_test([1.0] * 5, 0.9) == OneSidedPValues(0.0, 1.0)
    assert hypothesis_tests.mean_test([1.0] * 5, 1.1) == OneSidedPValues(1.0, 0.0)
    assert hypothesis_tests.mean_test([1.0] * 5, 1.0) == OneSidedPValues(1.0, 1.0)


def test_fisher_of_five_against_none_is_one_in_252():
    assert hypothesis_tests.contrast_test(5, 5, 0, 5).p_for == pytest.approx(1 / 252)
    assert hypothesis_tests.contrast_test(3, 3, 0, 3).p_for == pytest.approx(1 / 20)


def test_the_binomial_of_six_of_six_is_one_in_64():
    assert hypothesis_tests.majority_test(6, 6).p_for == pytest.approx(1 / 64)
    assert hypothesis_tests.majority_test(0, 6).p_against == pytest.approx(1 / 64)


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


def test_the_bootstrap_agrees_with_t_where_values_are_normal():
    values = np.random.default_rng(1).normal(0.3, 1, 60)
    by_t, by_bootstrap = (
        hypothesis_tests.mean_test(values, 0.0),
        hypothesis_tests.mean_test(values, 0.0, "bootstrap"),
    )
    assert by_bootstrap.p_for == pytest.approx(by_t.p_for, abs=0.02)


def values_of(a, b):
    return {"A": dict(enumerate(a)), "B": dict(enumerate(b))}


def test_seeds_are_paired_and_those_that_one_arm_lacks_are_left_out():
    more = expectation(kind="more", more="A", than="B", by=0.0)
    full = judge_mean(more, values_of(A, B))
    assert full.n == 5 and full.p_for == pytest.approx(stats.ttest_rel(A, B, alternative="greater").pvalue)
    lacking = judge_mean(more, {"A": dict(enumerate(A)), "B": {s: v for s, v in enumerate(B) if s != 2}})
    assert lacking.n == 4


def test_one_seed_is_no_evidence():
    finding = judge_mean(expectation(kind="more", more="A", than="B"), {"A": {0: 1.0}, "B": {0: 0.0}})
    assert finding.verdict == UNDECIDED


def test_an_order_is_as_sure_as_its_least_sure_step():
    order = expectation(kind="order", order=["A", "B"], by=0.0)
    assert (
        judge_mean(order, values_of(A, B)).p_for
        == judge_mean(expectation(kind="more", more="A", than="B"), values_of(A, B)).p_for
    )


def test_a_bound_from_above_is_the_other_side():
    at_most = expectation(kind="bound", arm="A", at_most=0.99)
    finding = judge_mean(at_most, values_of(A, B))
    assert finding.verdict == SUPPORTED
    assert finding.p_for == pytest.approx(stats.ttest_1samp(A, 0.99, alternative="less").pvalue)
    assert judge_mean(expectation(kind="bound", arm="A", at_most=0.5), values_of(A, B)).verdict == REFUTED


def test_an_interaction_is_a_difference_of_differences():
    inner = expectation(kind="interaction", pair=["A", "B"], against=["B", "A"], by=0.0)
    finding = judge_mean(inner, values_of(A, B))
    assert finding.estimate == pytest.approx(2 * np.mean(np.subtract(A, B)))


def simulated(effect: float, looks: list[int], bound: float, rng) -> str:
    """One claim on normal values, with seeds added while it is undecided, as the runner does it."""
    more = expectation(kind="more", more="A", than="B", by=bound)
    a, b = rng.normal(effect, 1, looks[-1]), rng.normal(0, 1, looks[-1])
    for n in looks:
        verdict = judge_mean(more, values_of(a[:n], b[:n]), len(looks)).verdict
        if verdict != UNDECIDED:
            return verdict
    return UNDECIDED


@pytest.mark.parametrize("looks", [[5], [5, 10]])
def test_a_null_claim_is_seldom_supported_however_often_it_is_looked_at(looks):
    rng = np.random.default_rng(0)
    more = [simulated(0.0, looks, 0.0, rng) for _ in range(600)]
    # 5% of 600 is 30; three standard deviations more is 46
    assert more.count(SUPPORTED) <= 46
    assert more.count(REFUTED) <= 46


def test_without_paying_for_the_second_look_it_would_be_supported_too_often():
    """The test above can fail: more looks at full level break the promise."""
    rng = np.random.default_rng(0)
    more = expectation(kind="more", more="A", than="B")
    supported = 0
    for _ in range(120):
        a, b = rng.normal(0, 1, 40), rng.normal(0, 1, 40)
        supported += any(
            judge_mean(more, values_of(a[:n], b[:n])).verdict == SUPPORTED for n in range(5, 41, 3)
        )
    assert supported > 0.08 * 120


def test_a_planted_effect_is_found_and_its_contrary_refuted():
    rng = np.random.default_rng(0)
    assert [simulated(3.0, [5, 10], 0.0, rng) for _ in range(100)].count(SUPPORTED) >= 95
    assert [simulated(-3.0, [5, 10], 0.0, rng) for _ in range(100)].count(REFUTED) >= 95


def test_a_report_of_null_claims_seldom_has_any_false_verdict():
    rng = np.random.default_rng(0)
    false = 0
    for _ in range(60):
        sides = {str(i): hypothesis_tests.mean_test(rng.normal(0, 1, 5), 1e-9) for i in range(20)}
        false += any(verdict == SUPPORTED for verdict, _ in adjusted_verdicts(sides).values())
    # without Holm: 1 − .95²⁰ = 64%; with it at most 5%, and three standard deviations
    assert false <= 0.134 * 60


def test_holm_makes_a_report_stricter_than_its_claims():
    sides = {
        "sure": OneSidedPValues(1e-6, 1.0),
        "hardly": OneSidedPValues(0.04, 0.96),
        "not": OneSidedPValues(0.4, 0.6),
    }
    verdicts = adjusted_verdicts(sides)
    assert [verdict_from_p_values(side) for side in sides.values()] == [SUPPORTED, SUPPORTED, UNDECIDED]
    assert verdicts["sure"] == (SUPPORTED, pytest.approx(3e-6))
    assert verdicts["hardly"] == (UNDECIDED, pytest.approx(0.08))
