"""From rounds to figures."""

import pytest
from benchmarks.measure import Measure
from benchmarks.rounds import growth_exponent, interleaved, line, median_ratio, medians
from hypothesis import given
from hypothesis import strategies as st

POSITIVE = st.floats(1e-3, 1e3)


def test_contenders_take_turns_and_the_order_turns_around():
    asked = []

    def contender(name):
        return lambda: asked.append(name) or float(len(asked))

    taken = interleaved({"a": contender("a"), "b": contender("b")}, count=3, warm_ups=1)
    assert asked == ["b", "a", "a", "b", "b", "a", "a", "b"]
    assert taken == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}  # the warm-up is not counted


def test_a_slow_spell_of_the_machine_does_not_change_a_ratio():
    ours, theirs = [10.0, 10.0, 5.0, 10.0, 10.0], [4.0, 4.0, 2.0, 4.0, 4.0]
    assert median_ratio(ours, theirs) == 2.5
    assert medians({"ours": ours}) == {"ours": 10.0}


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=1, max_size=9), POSITIVE)
def test_the_ratio_does_not_depend_on_the_unit(pairs, unit):
    over, under = zip(*pairs, strict=True)
    scaled = median_ratio([a * unit for a in over], [b * unit for b in under])
    assert scaled == pytest.approx(median_ratio(over, under))


def test_rounds_of_different_number_are_no_pairs():
    with pytest.raises(ValueError, match="shorter"):
        median_ratio([1.0, 2.0], [1.0])


@given(st.lists(st.integers(1, 100), min_size=2, max_size=6, unique=True), st.floats(-5, 5), st.floats(-5, 5))
def test_a_line_is_found_again(x, intercept, slope):
    found = line(x, [intercept + slope * value for value in x])
    assert found == pytest.approx((intercept, slope), abs=1e-6)


def test_one_point_is_no_line():
    with pytest.raises(ValueError, match="two different"):
        line([3, 3], [1.0, 2.0])


@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_growth_is_read_off_the_ends(exponent):
    sizes = [400, 100, 200]
    assert growth_exponent(sizes, [size**exponent for size in sizes]) == pytest.approx(exponent)


@pytest.mark.parametrize(
    "value,at_least,at_most,reached",
    [
        (0.92, 0.92, None, True), (0.919, 0.92, None, False), (5.0, None, 5.0, True),
        (5.1, None, 5.0, False), (3.0, None, None, None), (None, 0.92, None, None),
    ],
)  # fmt: skip
def test_what_counts_as_reached(value, at_least, at_most, reached):
    measure = Measure(name="m", question="q", unit="×", value=value, at_least=at_least, at_most=at_most)
    assert measure.reached is reached and measure.record()["reached"] is reached
