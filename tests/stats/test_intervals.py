import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainlab.analysis import Interval, mean_interval, wilson_interval

values = st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=30)


@given(values, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_mean_interval_is_scipys(x, level):
    ours = mean_interval(x, level)
    assert ours.value == pytest.approx(np.mean(x))
    if np.std(x) > 0:
        error = np.std(x, ddof=1) / math.sqrt(len(x))
        expected = stats.t.interval(level, len(x) - 1, loc=np.mean(x), scale=error)
        assert (ours.low, ours.high) == pytest.approx(expected, abs=1e-9)
    else:
        assert ours.low == ours.high == ours.value


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from([0.8, 0.95]))
def test_the_wilson_interval_is_scipys(successes, n, level):
    successes = min(successes, n)
    ours = wilson_interval(successes, n, level)
    theirs = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.value == successes / n


def test_the_mean_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    intervals = [mean_interval(random.normal(size=5), 0.9) for _ in range(2000)]
    covered = sum(interval.low <= 0 <= interval.high for interval in intervals)
    assert covered / 2000 == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_values_give_no_interval(n):
    """Of two it was 12.7 standard errors to each side: "67 ± 101 %"."""
    assert mean_interval([0.5 + i for i in range(n)]) == Interval((n - 1) / 2 + 0.5, None, None, n)
    assert mean_interval([]) == Interval(None, None, None, 0)


def test_what_is_no_number_and_no_level_is_refused():
    with pytest.raises(ValueError, match="finite"):
        mean_interval([1.0, math.nan])
    with pytest.raises(ValueError, match="level"):
        mean_interval([1.0, 2.0], level=95)


def test_a_share_needs_trials():
    assert wilson_interval(0, 0) == Interval(None, None, None, 0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson_interval(3, 2)
