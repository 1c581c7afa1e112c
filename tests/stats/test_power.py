"""Power against the e-values themselves, read seed by seed."""

import numpy as np
import pytest

from trainlab.stats import e_processes, power


@pytest.mark.parametrize("n", [3, 5, 9])
def test_no_seeds_do_better_than_the_best_attainable_e(n):
    hair = 1e-4 * np.arange(n)
    best = power.best_attainable_e("mean", n)
    assert e_processes.mean_e_values(1 + hair, 0.0).e_for == pytest.approx(best.e_for, rel=1e-3)
    assert e_processes.mean_e_values(hair - 1, 0.0).e_against == pytest.approx(best.e_against, rel=1e-3)
    best = power.best_attainable_e("equivalence", n)
    assert e_processes.equivalence_e_values(hair, 1.0).e_for == pytest.approx(best.e_for, rel=1e-2)
    assert e_processes.equivalence_e_values(9 + hair, 1.0).e_against == pytest.approx(
        best.e_against, rel=1e-2
    )
    assert power.best_attainable_e("majority", n) == pytest.approx(
        (e_processes.majority_e_values(n, n).e_for, e_processes.majority_e_values(0, n).e_against)
    )
    assert power.best_attainable_e("contrast", n) == pytest.approx(
        (e_processes.contrast_e_values(n, n, 0, n).e_for, e_processes.contrast_e_values(0, n, n, n).e_against)
    )
    first, second = [True] * n, [False] * n
    assert power.best_attainable_e("more_often", n) == pytest.approx(
        (e_processes.more_often_e_values(first, second).e_for,) * 2
    )


def test_three_values_never_decide_a_mean_and_six_runs_never_a_count():
    assert power.best_attainable_e("mean", 3).e_for < 20 < power.best_attainable_e("mean", 4).e_for
    assert power.best_attainable_e("majority", 6).e_for < 20 < power.best_attainable_e("majority", 7).e_for


def test_power_of_a_mean_is_that_of_claims_looked_at_after_every_seed():
    wanted = power.power_of_mean(1.0, first=3, most=10, threshold=20.0)
    rng = np.random.default_rng(3)
    seeds, supported = [], 0
    for _ in range(600):
        values = rng.normal(1.0, 1.0, 10)
        for n in range(3, 11):
            e_for = e_processes.mean_e_values(values[:n], 0.0).e_for
            if e_for >= 20:
                supported += 1
                break
        seeds.append(n)
    assert wanted.supported == pytest.approx(supported / 600, abs=0.06)
    assert wanted.mean_seeds == pytest.approx(np.mean(seeds), abs=0.3)
    assert wanted.seeds_95 is None
    assert power.power_of_mean(-1.0, 3, 10, 20.0).refuted == pytest.approx(wanted.supported, abs=0.04)


def test_clearer_effects_take_fewer_seeds():
    means = [power.power_of_mean(d, 3, 24, 20.0) for d in (1.0, 1.5, 2.0, 3.0, 5.0)]
    assert [round(p.mean_seeds) for p in means] == [11, 7, 5, 4, 4]
    assert all(p.supported > 0.95 for p in means)
    assert power.power_of_mean(0.0, 3, 24, 20.0).supported < 0.05


def test_power_of_counts_is_exact():
    everyone = power.power_of_counts("majority", 1.0, first=3, most=12, threshold=20.0)
    assert everyone == power.Power(1.0, 0.0, 7.0, 7)
    nobody = power.power_of_counts("majority", 0.0, first=3, most=12, threshold=20.0)
    assert nobody == power.Power(0.0, 1.0, 7.0, 7)
    most = power.power_of_counts("majority", 0.9, first=3, most=8, threshold=20.0)
    assert most.supported == pytest.approx(0.9**7), "seven of seven (32), but not seven of eight (6.3)"
    pairs = power.power_of_counts("more_often", 1.0, first=3, most=12, threshold=20.0, other=0.0)
    assert pairs == power.Power(1.0, 0.0, 3.0, 3)
    contrast = power.power_of_counts("contrast", 0.5, first=3, most=24, threshold=20.0, other=0.0)
    assert contrast.supported < 0.05, "half of the time is not 'learns'"


def test_seeds_that_go_on_beyond_what_decides_may_lose_their_verdict():
    """Seven of seven have 32: enough, and seeds go on; then seven of eight have 6.3."""
    counts = power.power_of_counts("majority", 0.9, first=3, most=8, threshold=40.0, decided=20.0)
    assert counts.supported == pytest.approx(0.9**8) and counts.mean_seeds == 8.0
    mean = power.power_of_mean(0.9, 3, 12, 40.0, decided=20.0)
    assert power.power_of_mean(0.9, 3, 12, 40.0).supported < mean.supported
    assert mean.supported < power.power_of_mean(0.9, 3, 12, 20.0).supported
    assert mean.mean_seeds == power.power_of_mean(0.9, 3, 12, 40.0).mean_seeds


def test_a_conjunction_is_as_clear_as_its_least_clear_part():
    one, two = (power.power_of_mean(1.0, 3, 16, 40.0, 20.0, parts) for parts in (1, 2))
    assert two.supported == pytest.approx(one.supported**2, abs=0.06) and two.mean_seeds > one.mean_seeds
    rng, supported = np.random.default_rng(2), 0
    for _ in range(300):
        values = rng.normal(1.0, 1.0, (2, 16))
        for n in range(3, 17):
            found = e_processes.all_hold_e_values(
                [e_processes.mean_e_values(part[:n], 0.0) for part in values]
            )
            if max(found) >= 40:
                break
        supported += found.e_for >= 20
    assert supported / 300 == pytest.approx(two.supported, abs=0.086)
    near = [power.power_of_equivalence(0.0, 1.5, 3, 16, 40.0, 20.0, parts).supported for parts in (1, 2)]
    assert near[1] == pytest.approx(near[0] ** 2, abs=0.06)


@pytest.mark.parametrize("kind", ["majority", "contrast", "more_often"])
def test_power_of_counts_is_that_of_runs_drawn_seed_by_seed(kind):
    exact = power.power_of_counts(kind, 0.9, first=3, most=12, threshold=20.0, other=0.2)
    rng = np.random.default_rng(5)
    supported, seeds = 0, []
    for _ in range(800):
        first, second = rng.random(12) < 0.9, rng.random(12) < 0.2
        for n in range(3, 13):
            k, j = int(first[:n].sum()), int(second[:n].sum())
            values = {
                "majority": lambda k=k, n=n: e_processes.majority_e_values(k, n),
                "contrast": lambda k=k, j=j, n=n: e_processes.contrast_e_values(k, n, j, n),
                "more_often": lambda n=n, a=first, b=second: e_processes.more_often_e_values(a[:n], b[:n]),
            }[kind]()
            if max(values) >= 20:
                supported += values.e_for >= 20
                break
        seeds.append(n)
    assert exact.supported == pytest.approx(supported / 800, abs=0.05)
    assert exact.mean_seeds == pytest.approx(np.mean(seeds), abs=0.3)


def test_equivalence_is_decided_inside_and_outside_the_margin_and_not_at_it():
    assert power.power_of_equivalence(0.0, 2.0, 3, 24, 20.0).supported > 0.99
    assert power.power_of_equivalence(4.0, 2.0, 3, 24, 20.0).refuted > 0.99
    at_margin = power.power_of_equivalence(2.0, 2.0, 3, 24, 20.0)
    assert at_margin.supported < 0.05 and at_margin.refuted < 0.05


def test_bad_input_says_what_was_expected():
    with pytest.raises(ValueError, match=r"shares 1\.2 and 0\.0"):
        power.power_of_counts("majority", 1.2, 3, 9, 20.0)
    with pytest.raises(ValueError, match="kind is 'chance', expected one of majority"):
        power.best_attainable_e("chance", 5)  # pyrefly: ignore[bad-argument-type]


def test_the_detectable_effect_is_shown_with_its_power_and_a_smaller_one_less_often():
    least = power.detectable_effect(3, 16, threshold=40, decided=20)
    assert least is not None
    shown, smaller = (power.power_of_mean(d, 3, 16, 40, 20).supported for d in (least, least - 0.02))
    assert shown >= 0.8 > smaller
    assert power.detectable_effect(3, 3, threshold=40, decided=20) is None  # three seeds cannot reach it
