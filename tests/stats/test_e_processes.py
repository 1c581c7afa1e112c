"""E-values against other ways to compute them, and their means where the hypothesis is false."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from trainlab.stats import e_processes
from trainlab.stats import e_processes as e
from trainlab.stats.e_processes import EValues

VALUES = [0.031, 0.012, 0.044, 0.020, 0.027]


def test_of_a_mean_it_is_the_ratio_of_noncentral_to_central_t_averaged_over_the_prior():
    x = np.asarray([0.3, -0.4, 1.2, 0.8, 0.1, 0.9])
    for bound, sign in itertools.product((-0.5, 0.2, 0.4, 3.0), (1, -1)):
        t, n = sign * stats.ttest_1samp(x, bound).statistic, len(x)

        def integrand(d, t=t, n=n):
            prior = stats.halfnorm.pdf(d, scale=e_processes.PRIOR_SD)
            return stats.nct.pdf(t, n - 1, d * np.sqrt(n)) * prior / stats.t.pdf(t, n - 1)

        slowly, _ = integrate.quad(integrand, 0, 12, limit=200)
        assert e.mean_e_values(x, bound)[0 if sign == 1 else 1] == pytest.approx(slowly, rel=1e-5)


def test_of_a_mean_it_depends_on_neither_unit_nor_origin():
    wanted = e.mean_e_values(VALUES, 0.01)
    assert e.mean_e_values([1e9 * x for x in VALUES], 1e7) == pytest.approx(wanted)
    assert e.mean_e_values([x - 0.01 for x in VALUES], 0.0) == pytest.approx(wanted)
    assert e.mean_e_values([-x for x in VALUES], -0.01) == pytest.approx(wanted.reversed())
    assert e.mean_e_values([1e-200 * x for x in VALUES], 1e-202) == pytest.approx(wanted)


def test_of_a_mean_it_falls_as_the_bound_rises():
    bounds = np.linspace(-0.2, 0.2, 81)
    fors, againsts = np.transpose([e.mean_e_values(VALUES, bound) for bound in bounds])
    assert (np.diff(fors) <= 0).all()
    assert (np.diff(againsts) >= 0).all()
    assert fors[0] > 20 > fors[44] > 1 > fors[-1]


@pytest.mark.parametrize("n", range(1, 13))
def test_equal_values_count_no_more_than_the_sign_test(n):
    above = e.mean_e_values([0.1] * n, 0.0)
    assert 1 < above.e_for <= 2**n
    assert above.e_against < 1
    assert above.reversed() == pytest.approx(e.mean_e_values([0.1] * n, 0.2))
    differences = [(0.1 + k) - k for k in range(n)]  # equal but for rounding
    assert e.mean_e_values(differences, 0.0).e_for == pytest.approx(above.e_for, rel=1e-6)


def test_no_evidence_is_one():
    assert e.mean_e_values([], 0.3) == e.NO_EVIDENCE
    assert e.mean_e_values([0.3, 0.3, 0.3], 0.3) == e.NO_EVIDENCE
    assert e.mean_e_values([0.0, 0.0], 0.0) == e.NO_EVIDENCE
    assert e.majority_e_values(0, 0) == pytest.approx(e.NO_EVIDENCE)
    assert e.more_often_e_values([], []) == pytest.approx(e.NO_EVIDENCE)
    assert e.all_hold_e_values([]) == e.NO_EVIDENCE


def test_many_values_overflow_nothing():
    clear = e.mean_e_values(np.random.default_rng(0).normal(10, 0.1, 5_000), 0.0)
    assert clear.e_for > 1e300
    assert clear.e_against < 1e-6
    assert np.isfinite(clear).all()


def test_equivalence_takes_both_sides_and_is_refuted_by_one():
    inside, outside = [0.001, -0.002, 0.0005, 0.0015, -0.001, 0.0], [0.05, 0.052, 0.049, 0.051, 0.05, 0.048]
    assert e.equivalence_e_values(inside, 0.01).e_for == pytest.approx(
        min(e.mean_e_values(inside, -0.01).e_for, e.mean_e_values(inside, 0.01).e_against)
    )
    assert (
        e.equivalence_e_values(inside, 0.01).e_for > 20 > 1 > e.equivalence_e_values(inside, 0.01).e_against
    )
    assert e.equivalence_e_values(outside, 0.01).e_against == pytest.approx(
        (e.mean_e_values(outside, 0.01).e_for + e.mean_e_values(outside, -0.01).e_against) / 2
    )
    assert e.equivalence_e_values(outside, 0.01).e_against > 20


def test_of_a_count_it_is_the_integral_over_shares_above_one_half():
    for count, n in [(0, 4), (3, 5), (6, 6), (11, 20)]:
        slowly, _ = integrate.quad(lambda p, k=count, n=n: 2 * p**k * (1 - p) ** (n - k) * 2**n, 0.5, 1)
        assert e.majority_e_values(count, n).e_for == pytest.approx(slowly)
        assert e.majority_e_values(n - count, n).e_against == pytest.approx(slowly)
    assert [round(e.majority_e_values(n, n).e_for) for n in (6, 7, 8)] == [18, 32, 57]


def test_a_contrast_needs_one_above_and_the_other_below_one_half():
    assert e.contrast_e_values(7, 7, 0, 7) == pytest.approx(
        (e.majority_e_values(7, 7).e_for, e.majority_e_values(7, 7).e_against)
    )
    assert e.contrast_e_values(10, 20, 0, 20).e_for < 1, "half of the time is not 'learns'"
    assert e.contrast_e_values(20, 20, 20, 20).e_against > 20
    assert e.more_often_e_values([True, False] * 10, [False] * 20).e_for > 20, "but it is 'more often'"


def test_the_mean_of_a_counts_e_value_is_at_most_one_where_the_hypothesis_is_false():
    n = 9
    counts = np.arange(n + 1)
    for share in (0.1, 0.3, 0.5):
        mean = np.sum(stats.binom.pmf(counts, n, share) * e_processes.majority_e(counts, n))
        assert mean <= 1 + 1e-12
    assert mean == pytest.approx(1), "at one half exactly"
    for share, other in [(0.1, 0.1), (0.5, 0.5), (0.97, 0.97), (0.2, 0.6), (0.0, 0.0), (0.9, 1.0)]:
        weight = np.outer(stats.binom.pmf(counts, n, share), stats.binom.pmf(counts, n, other))
        assert np.sum(weight * e_processes.more_often_e(counts[:, None], counts, n)) <= 1 + 1e-12


def test_more_often_is_the_product_over_pairs_averaged_over_the_prior():
    first, second = [True, True, False, True], [False, False, False, True]
    rng = np.random.default_rng(1)
    high, low = -np.sort(-rng.beta(e_processes.BETA_PRIOR, e_processes.BETA_PRIOR, (400_000, 2)), axis=1).T
    middle = (high + low) / 2
    product = np.ones_like(high)
    for a, b in zip(first, second, strict=True):
        of_a = high / middle if a else (1 - high) / (1 - middle)
        of_b = low / middle if b else (1 - low) / (1 - middle)
        product *= of_a * of_b
    ours = e.more_often_e_values(first, second)
    assert ours.e_for == pytest.approx(np.nanmean(product), rel=0.03)
    assert e.more_often_e_values(second, first) == ours.reversed()
    assert e.more_often_e_values(first[::-1], second[::-1]) == pytest.approx(ours)
    with pytest.raises(ValueError, match="4 and 3 runs, expected pairs"):
        e.more_often_e_values(first, second[:3])


def test_a_conjunction_is_as_strong_as_its_weakest_part_and_refuted_by_the_mean():
    parts = [EValues(40.0, 0.1), EValues(3.0, 0.2), EValues(0.3, 30.0)]
    assert e.all_hold_e_values(parts) == pytest.approx((0.3, 30.3 / 3))
    assert e.all_hold_e_values(parts[:1]) == parts[0]


def test_e_bh_accepts_the_largest_k_of_which_each_is_at_least_m_over_alpha_k():
    assert e.e_bh([80.0, 26.0, 1.0, 40.0]) == [True, False, False, True]  # m/α = 80, k = 2: 40
    assert e.e_bh([79.0, 39.0, 1.0, 26.0]) == [False, False, False, False]
    assert e.e_bh([27.0, 27.0, 27.0, 1.0]) == [True, True, True, False]  # k = 3: 26.7
    assert e.e_bh([20.0]) == [True]
    assert e.e_bh([]) == []
    assert e.e_bh([10.0], alpha=0.1) == [True]


def test_the_interval_holds_the_bounds_that_the_test_does_not_reject():
    interval = e.mean_confidence_sequence(VALUES, 0.9)
    assert interval.value == pytest.approx(np.mean(VALUES))
    assert interval.n == 5
    assert interval.low is not None and interval.high is not None
    assert e.mean_e_values(VALUES, interval.low).e_for == pytest.approx(20, rel=1e-6)
    assert e.mean_e_values(VALUES, interval.high).e_against == pytest.approx(20, rel=1e-6)
    wider = e.mean_confidence_sequence(VALUES, 0.95)
    assert wider.low is not None and wider.high is not None
    assert wider.low < interval.low < interval.high < wider.high


def test_few_or_equal_values_have_an_interval_only_where_they_reject_something():
    assert e.mean_confidence_sequence([], 0.9) == e.Interval(None, None, None, 0)
    assert e.mean_confidence_sequence([0.25, 0.5, 0.75], 0.9) == e.Interval(0.5, None, None, 3)
    assert e.mean_confidence_sequence([0.5] * 4, 0.9) == e.Interval(0.5, None, None, 4)
    assert e.mean_confidence_sequence([0.5] * 5, 0.9) == e.Interval(0.5, 0.5, 0.5, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: e.mean_e_values([1.0, float("nan")], 0.0), "must be finite"),
        (lambda: e.mean_confidence_sequence([1.0, float("inf")], 0.9), "must be finite"),
        (lambda: e.mean_confidence_sequence([1.0, 2.0], 1.0), "level is 1.0"),
        (lambda: e.majority_e_values(5, 4), "got 5 of 4 runs"),
    ],
)
def test_bad_input_says_what_was_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(("correlation", "effect"), [(0.9, 1.0), (0.9, 2.0), (-0.9, 1.0), (0.0, 1.0)])
def test_what_is_tested_beside_the_primary_is_true_to_its_e_value_where_seeds_stop_by_the_primary(
    correlation, effect
):
    """Proved of rules that look at a t e-process's own values: here others, which depend on them, decide."""
    rng, n_N = np.random.default_rng(0), np.arange(1, 17)
    beside_SN, noise_SN = rng.standard_normal((2, 20_000, 16))
    primary_SN = correlation * beside_SN + math.sqrt(1 - correlation**2) * noise_SN + effect
    directions_SN = e_processes.direction_of(primary_SN)
    evidence_SN = np.maximum(e_processes.mean_e(directions_SN, n_N), e_processes.mean_e(-directions_SN, n_N))
    stops_SN = evidence_SN >= 40
    stops_SN[:, :2], stops_SN[:, -1] = False, True
    e_S = e_processes.mean_e(e_processes.direction_of(beside_SN), n_N)[range(20_000), stops_SN.argmax(axis=1)]
    assert np.mean(e_S >= 20) <= 0.05
    capped_S = np.minimum(e_S, 1000)  # its mean is below that of e, and has a deviation that can be estimated
    assert capped_S.mean() <= 1 + 3 * capped_S.std() / math.sqrt(len(capped_S))
