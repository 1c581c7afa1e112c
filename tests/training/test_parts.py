"""Seeds, schedules, the step meter, the range test, the verdict: the small parts, against slow twins."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainlab.build.seeding import STREAMS, seed_for
from trainlab.diagnosis.verdict import has_learned
from trainlab.errors import RequestError
from trainlab.nn import schedules
from trainlab.stats.intervals import wilson_lower_bound
from trainlab.training.lr_range import analyze_losses
from trainlab.training.step_meter import StepMeter, first_not_finite


@given(st.integers(0, 2**32 - 1), st.integers(0, 10**6))
def test_streams_of_a_seed_are_apart_and_repeatable(seed, position):
    seeds = [seed_for(seed, stream, position) for stream in STREAMS]
    assert len(set(seeds)) == len(STREAMS)
    assert seeds == [seed_for(seed, stream, position) for stream in STREAMS]
    assert all(0 <= s < 2**32 for s in seeds)


def rates(option, steps=100, lr=0.1, **kwargs) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    schedule = option(optimizer, steps, **kwargs)
    taken = []
    for _ in range(steps):
        taken.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return taken


def test_cosine_follows_its_formula():
    expected = [0.1 * 0.5 * (1 + math.cos(math.pi * t / 100)) for t in range(100)]
    assert rates(schedules.cosine) == pytest.approx(expected)
    warm = rates(schedules.cosine, warmup_fraction=0.2)
    assert warm[0] == pytest.approx(0.001) and max(warm) == pytest.approx(0.1) and warm.index(max(warm)) == 20


def test_onecycle_peaks_at_lr():
    taken = rates(schedules.onecycle)
    assert max(taken) == pytest.approx(0.1, rel=1e-3) and 25 <= taken.index(max(taken)) <= 32
    assert taken[-1] < 1e-5


def test_linear_and_triangular_are_straight_lines():
    assert rates(schedules.linear) == pytest.approx([0.1 * (1 - t / 100) for t in range(100)])
    assert rates(schedules.linear, end_factor=0.5)[50] == pytest.approx(0.075)
    taken = rates(schedules.triangular, peak_fraction=0.25, start_factor=0.2, end_factor=0.1)
    assert taken[0] == pytest.approx(0.02) and taken[25] == max(taken) == pytest.approx(0.1)
    assert taken[10] == pytest.approx(0.1 * (0.2 + 0.8 * 0.4))
    assert taken[99] == pytest.approx(0.1 * (0.1 + 0.9 / 75))
    assert max(rates(schedules.triangular, peak_fraction=0)) == pytest.approx(0.1)
    with pytest.raises(RequestError, match="peak_fraction"):
        rates(schedules.triangular, peak_fraction=2)


def test_step_divides_at_its_fractions():
    taken = rates(schedules.step)
    assert (
        taken[49] == pytest.approx(0.1)
        and taken[50] == pytest.approx(0.01)
        and taken[75] == pytest.approx(0.001)
    )


def test_constant_is_none():
    assert schedules.constant(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), 10) is None


def test_the_meter_agrees_with_the_whole_epoch_at_once():
    torch.manual_seed(0)
    logits, labels = torch.randn(50, 7), torch.randint(0, 7, (50,))
    meter = StepMeter()
    for part in (slice(0, 20), slice(20, 50)):
        meter.add(F.cross_entropy(logits[part], labels[part]), logits[part], labels[part])
    assert len(meter.read()) == 2 and meter.read() == []
    epoch = meter.epoch()
    assert epoch["train/loss"] == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert epoch["train/acc"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    copy = StepMeter()
    copy.load_state_dict(meter.state_dict())
    assert copy.epoch() == epoch


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_the_first_loss_that_is_not_finite_is_found(losses):
    slow = [i for i, loss in enumerate(losses) if math.isnan(loss) or math.isinf(loss)]
    assert first_not_finite(losses) == (slow[0] if slow else None)


def test_the_range_test_finds_where_the_loss_falls_fastest():
    rates_tried = [10 ** (-6 + 0.07 * i) for i in range(100)]
    # flat, a fall centred at 1e-3, then an explosion
    losses = [2.3 - 2 / (1 + math.exp(-4 * (math.log10(r) + 3))) + (r if r > 0.1 else 0) for r in rates_tried]
    found = analyze_losses(rates_tried, losses)
    assert found.suggestion is not None and 2e-4 < found.suggestion < 2e-2
    assert len(found.losses) < 100, "the explosion is cut off"


def test_a_loss_that_never_falls_has_no_suggestion():
    assert analyze_losses([1e-3, 1e-2, 1e-1, 1.0], [2.3, 2.4, 2.5, 2.6]).suggestion is None
    assert analyze_losses([1e-3, 1e-2, 1e-1], [float("nan")] * 3).suggestion is None


def test_wilson_agrees_with_scipy():
    from scipy.stats import binomtest

    for k, n in ((0, 10), (5, 100), (118, 1000), (9990, 10000)):
        twin = binomtest(k, n).proportion_ci(0.99, method="wilson").low
        assert wilson_lower_bound(k, n) == pytest.approx(twin, abs=1e-5)


def confusion(accuracy: float, n: int = 10000, shares=(0.1,) * 10) -> list[list[int]]:
    rows = []
    for k, share in enumerate(shares):
        total = round(n * share)
        right = round(total * accuracy)
        rows.append(
            [
                right if j == k else (total - right if j == (k + 1) % len(shares) else 0)
                for j in range(len(shares))
            ]
        )
    return rows


def test_learning_is_better_than_the_commonest_class_whatever_the_accuracy():
    assert not has_learned(confusion(0.10))
    assert not has_learned(confusion(0.115))
    assert has_learned(confusion(0.20))
    assert not has_learned(confusion(0.5, shares=(0.55, 0.45))), "55% of the images are of one class"
    assert has_learned(confusion(0.12, n=50000, shares=(0.02,) * 50))
    assert not has_learned(confusion(0.14, n=200)), "200 images cannot tell 14% from chance"
    assert not has_learned([[0, 0], [0, 0]])
