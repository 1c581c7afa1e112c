"""When signals are measured."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainlab.signals.measured_steps import (
    DEFAULT_MEASUREMENTS,
    default_measurement_count,
    log_spaced_steps,
    measured_steps,
)


@given(last_step=st.integers(0, 2_000_000), count=st.integers(2, 200))
def test_steps_run_from_the_first_to_the_last_and_are_as_many_as_asked_for(last_step, count):
    steps = log_spaced_steps(last_step, count)
    assert steps[0] == 0 and steps[-1] == last_step
    assert steps == sorted(set(steps))
    assert len(steps) == min(count, last_step + 1)


@given(last_step=st.integers(100, 1_000_000), count=st.integers(4, 60))
def test_gaps_grow(last_step, count):
    steps = log_spaced_steps(last_step, count)
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(gaps)), "up to rounding"


def test_a_doubling_schedule_is_the_special_case():
    assert log_spaced_steps(256, 10) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]


def test_off_on_and_a_number():
    assert measured_steps(False, 1000) == []
    assert len(measured_steps(True, 10_000)) == DEFAULT_MEASUREMENTS
    assert len(measured_steps(7, 10_000)) == 7
    assert measured_steps(1, 100) == [99]
    assert measured_steps(50, 3) == [0, 1, 2]
    assert measured_steps(True, 0) == []
    assert measured_steps(True, 1) == [0]


def test_a_run_without_an_end_has_a_schedule():
    steps = measured_steps(True, math.inf)
    assert len(steps) == DEFAULT_MEASUREMENTS and steps[:3] == [0, 1, 2]


@pytest.mark.parametrize("steps", [300, 430, 1000, 50_000])
def test_few_steps_of_a_run_of_some_hundred_are_measured(steps):
    assert default_measurement_count(steps) / steps <= 0.03
