"""Expectations and claims judged: against SciPy, and how often a simulated claim is judged wrongly."""

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


def simulated(effect: float, seed_counts: list[int], bound: float, rng) -> str:
    """One claim on normal values, with seeds added while it is undecided, as the runner does it."""
    more = expectation(kind="more", more="A", than="B", by=bound)
    a, b = rng.normal(effect, 1, seed_counts[-1]), rng.normal(0, 1, seed_counts[-1])
    for n in seed_counts:
        verdict = judge_mean(more, values_of(a[:n], b[:n]), len(seed_counts)).verdict
        if verdict != UNDECIDED:
            return verdict
    return UNDECIDED


@pytest.mark.parametrize("seed_counts", [[5], [5, 10]])
def test_a_null_claim_is_seldom_supported_however_often_it_is_judged(seed_counts):
    rng = np.random.default_rng(0)
    more = [simulated(0.0, seed_counts, 0.0, rng) for _ in range(600)]
    # 5% of 600 is 30; three standard deviations more is 46
    assert more.count(SUPPORTED) <= 46
    assert more.count(REFUTED) <= 46


def test_without_a_correction_for_the_second_analysis_it_would_be_supported_too_often():
    """The test above can fail: more analyses at the full level break the promise."""
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
