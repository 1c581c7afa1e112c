"""Cuts are disjoint, complete, balanced, and a function of their own seed alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainlab.data import load_images, splits
from trainlab.errors import RequestError

label_lists = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array)
seeds = st.integers(0, 2**32)


@pytest.mark.parametrize("cut", [splits.stratified, splits.balanced])
@given(y_N=label_lists, share=st.floats(0, 1), seed=seeds)
def test_a_cut_and_its_rest_are_everything_once(cut, y_N, share, seed):
    size = round(share * len(y_N))
    taken, rest = cut(y_N, size, splits.rng(seed, "a"))
    assert len(taken) == size
    assert sorted([*taken, *rest]) == list(range(len(y_N)))
    again, _ = cut(y_N, size, splits.rng(seed, "a"))
    assert (taken == again).all()


@given(y_N=label_lists, share=st.floats(0, 1), seed=seeds)
def test_stratified_keeps_the_class_shares(y_N, share, seed):
    size = round(share * len(y_N))
    taken, _ = splits.stratified(y_N, size, splits.rng(seed))
    for label in range(6):
        assert abs((y_N[taken] == label).sum() - size * (y_N == label).mean()) < 1 + 1e-9


@given(y_N=label_lists, share=st.floats(0, 1), seed=seeds)
def test_level_takes_equally_many_until_a_class_runs_out(y_N, share, seed):
    size = round(share * len(y_N))
    taken, _ = splits.balanced(y_N, size, splits.rng(seed))
    got, there = np.bincount(y_N[taken], minlength=6), np.bincount(y_N, minlength=6)
    assert got.sum() == size
    for label in range(6):
        if got[label] < there[label]:  # a class with images left has as many as any other, to within one
            assert got[label] >= got.max() - 1


@given(y_N=label_lists, a=st.floats(0, 1), b=st.floats(0, 1), seed=seeds)
def test_a_larger_level_cut_holds_the_smaller_one(y_N, a, b, seed):
    small, large = sorted(round(share * len(y_N)) for share in (a, b))
    fewer, _ = splits.balanced(y_N, small, splits.rng(seed))
    more, _ = splits.balanced(y_N, large, splits.rng(seed))
    assert set(fewer) <= set(more)


def test_purposes_and_seeds_give_unrelated_streams():
    streams = [(0, "a"), (0, "b"), (1, "a"), (0, "a", 0), (0, "a", 1)]
    drawn = {splits.rng(seed, *purpose).integers(2**62) for seed, *purpose in streams}
    assert len(drawn) == len(streams)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return lambda **settings: load_images("digits", cache, cache, **settings)


def test_digits_have_a_fixed_balanced_official_test_split(digits):
    data, other = digits(), digits(split_seed=5, train_size=100)
    assert len(data.test) == 360
    assert np.bincount(data.test.labels_N).tolist() == [36] * 10
    assert (data.test.x_NHWC == other.test.x_NHWC).all()
    assert data.in_shape_CHW == (1, 32, 32)
    assert data.train.x_NHWC.max() == 255


def test_validation_is_cut_from_train_only(digits):
    data = digits(val_size=237)
    assert (len(data.train), len(data.val), len(data.test)) == (1200, 237, 360)
    assert set(data.train.index).isdisjoint(data.val.index)
    assert data.val.x_NHWC is data.train.x_NHWC
    assert data.test.x_NHWC is not data.train.x_NHWC


def test_train_size_is_balanced_shuffled_and_leaves_validation_alone(digits):
    data, whole = digits(val_size=237, train_size=100), digits(val_size=237)
    assert np.bincount(data.train.labels_N).tolist() == [10] * 10
    assert (data.val.index == whole.val.index).all()
    assert set(data.train.index) <= set(whole.train.index)
    assert (np.diff(data.train.index) < 0).any()
    assert len(set(data.train.labels_N[:20])) > 5


def test_split_seed_changes_the_cuts(digits):
    one, two = digits(val_size=100), digits(val_size=100, split_seed=1)
    assert set(one.val.index) != set(two.val.index)
    assert one.mean_C == two.mean_C  # statistics are those of the official training split


def test_test_size_is_a_shuffled_part_of_the_test_split(digits):
    data = digits(test_size=100)
    assert np.bincount(data.test.labels_N).tolist() == [10] * 10
    assert len(set(data.test.labels_N[:20])) > 5
    assert (digits().test.index == np.arange(360)).all()  # whole, it keeps its official order


def test_num_classes_keeps_the_first_ones(digits):
    data = digits(num_classes=3)
    for split in (data.train, data.val, data.test):
        assert set(split.labels_N) == {0, 1, 2}
    assert data.classes == ("0", "1", "2")
    assert data.num_classes == 3
    assert len(data.test) == 108


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 11}, "data.num_classes: got 11, expected 2 to 10"),
        ({"num_classes": 1}, "data.num_classes: got 1, expected 2 to 10"),
        ({"val_size": 1437}, "data.val_size: got 1,437, expected 0 to 1,436"),
        ({"val_size": -1}, "data.val_size: got -1, expected 0 to 1,436"),
        ({"val_size": 437, "train_size": 1001}, "data.train_size: got 1,001, expected 1 to 1,000"),
        ({"train_size": 0}, "data.train_size: got 0"),
        ({"test_size": 361}, "data.test_size: got 361, expected 1 to 360"),
        ({"split_seed": -1}, "data.split_seed: got -1, expected at least 0"),
        ({"image_size": 0}, "data.image_size: got 0, expected at least 1"),
        ({"channels": 2}, "data.channels: got 2, expected 1 or 3"),
    ],
)
def test_sizes_out_of_range_are_refused(settings, message, digits):
    with pytest.raises(RequestError, match=message):
        digits(**settings)


def test_no_validation_is_possible(digits):
    assert len(digits(val_size=0).val) == 0
