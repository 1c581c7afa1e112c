import math

import pytest

from trainlab.analysis import compare, mean_interval
from trainlab.errors import RequestError


def grid(**changes):
    accuracy = {"relu": [0.90, 0.92, 0.94, 0.93], "sigmoid": [0.10, 0.12, 0.08, 0.11]}
    return [
        {"activation": activation, "init": "kaiming", "depth": 4, "seed": seed, "test/acc": value} | changes
        for activation, of_seeds in accuracy.items()
        for seed, value in enumerate(of_seeds)
    ]


def test_seeds_fold_into_a_mean_with_its_interval_best_first(runs_of):
    comparison = compare(runs_of(list(reversed(grid()))))
    assert comparison.by == ("activation",)
    assert comparison.constant == {"init": "kaiming", "depth": 4}
    best, worst = comparison.table.to_dicts()
    assert (best["activation"], best["runs"], best["n"]) == ("relu", 4, 4)
    assert worst["activation"] == "sigmoid"
    expected = mean_interval([0.90, 0.92, 0.94, 0.93])
    assert (best["mean"], best["low"], best["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )


@pytest.mark.parametrize(
    ("metric", "first"), [("test/loss", "good"), ("seconds", "good"), ("test/acc", "bad")]
)
def test_the_best_is_the_lowest_loss_and_the_highest_accuracy(runs_of, metric, first):
    rows = [
        {"activation": "bad", "test/loss": 2.0, "seconds": 9.0, "test/acc": 0.9},
        {"activation": "good", "test/loss": 0.1, "seconds": 1.0, "test/acc": 0.1},
    ]
    assert compare(runs_of(rows), metric=metric).table["activation"][0] == first


def test_a_run_that_came_to_nothing_counts_as_guessing_and_one_that_is_not_over_does_not(runs_of):
    rows = [
        {"activation": "relu", "test/acc": 0.9},
        {"activation": "relu", "status": "failed", "seed": 1},
        {"activation": "relu", "status": "diverged", "test/acc": math.nan, "seed": 2, "cause": "exploding"},
        {"activation": "relu", "status": "diverged", "test/acc": 0.7, "seed": 3, "cause": "exploding"},
        {"activation": "relu", "status": "running", "seed": 4, "cause": "chance"},
        {"activation": "relu", "status": "interrupted", "seed": 5},
        {"activation": "tanh", "status": "pruned"},
    ]
    comparison = compare(runs_of([row | {"guessing": 0.1} for row in rows]))
    relu, tanh = comparison.table.to_dicts()
    assert (relu["runs"], relu["n"], relu["mean"]) == (6, 4, pytest.approx((0.9 + 3 * 0.1) / 4))
    assert (relu["worst"], tanh["worst"]) == (3, 0)
    assert (relu["diverged"], relu["failed"], relu["unfinished"], relu["pruned"]) == (2, 1, 2, 0)
    assert relu["cause"] == "exploding"
    assert (tanh["runs"], tanh["n"], tanh["mean"], tanh["pruned"]) == (1, 0, None, 1)
    assert "3 runs diverged or failed" in comparison.worst_note and "(10.0%)" in comparison.worst_note


def test_a_mean_over_an_infinite_loss_is_infinite_and_last(runs_of):
    rows = [
        {"activation": "relu", "test/loss": 0.1},
        {"activation": "relu", "status": "diverged", "seed": 1},
        {"activation": "tanh", "test/loss": 2.0},
        {"activation": "tanh", "test/loss": 2.2, "seed": 1},
    ]
    comparison = compare(runs_of(rows), metric="test/loss")
    tanh, relu = comparison.table.to_dicts()
    assert tanh["activation"] == "tanh" and (tanh["mean"], tanh["values"]) == (2.1, [2.2, 2.0])
    assert (relu["mean"], relu["low"], relu["high"], relu["n"]) == (math.inf, None, None, 2)
    assert "infinite" in comparison.worst_note


def test_settings_that_an_axis_brings_with_it_are_no_columns(runs_of):
    rows = [
        {"optimizer": "adam", "optimizer.lr": 0.001, "test/acc": 0.5},
        {"optimizer": "sgd", "optimizer.lr": 0.01, "test/acc": 0.6},
    ]
    assert compare(runs_of(rows)).by == ("optimizer",)
    assert compare(runs_of([*rows, {"optimizer": "sgd", "optimizer.lr": 0.1, "test/acc": 0.7}])).by == (
        "optimizer",
        "optimizer.lr",
    )


def test_two_axes_that_change_together_both_stay(runs_of):
    rows = [{"activation": "relu", "init": "kaiming"}, {"activation": "tanh", "init": "glorot"}]
    assert compare(runs_of(rows)).by == ("activation", "init")


def test_two_copies_of_a_data_set_are_two_settings(runs_of):
    rows = [{"data": "cifar10", "data_copy": "original"}, {"data": "cifar10", "data_copy": "JPEG"}]
    assert compare(runs_of(rows)).by == ("data_copy",)


def test_by_averages_over_everything_else(runs_of):
    rows = [{**row, "init": init} for init in ("kaiming", "glorot") for row in grid()]
    comparison = compare(runs_of(rows), by=["init"])
    assert comparison.table["n"].to_list() == [8, 8]
    assert comparison.constant == {"depth": 4}
    by_cause = compare(runs_of([{**row, "cause": "chance"} for row in rows]), by=["cause", "cause"])
    assert by_cause.table.select("cause", "n").rows() == [("chance", 16)]
    by_seed = compare(runs_of(rows), by=["seed"])
    assert sorted(by_seed.table["seed"]) == [0, 1, 2, 3]


def test_one_setting_is_one_row(runs_of):
    comparison = compare(runs_of([{"activation": "relu", "test/acc": 0.5}]))
    assert comparison.by == ()
    assert comparison.table.select("runs", "n", "mean", "low").rows() == [(1, 1, 0.5, None)]


def test_a_null_setting_is_a_setting(runs_of):
    rows = [{"depth": None, "test/acc": 0.5}, {"depth": 4, "test/acc": 0.6}]
    assert compare(runs_of(rows)).table["depth"].to_list() == [4, None]


def test_a_metric_that_no_run_has_yet_is_empty(runs_of):
    assert compare(runs_of([{"activation": "relu"}]), metric="val/acc").table["mean"].to_list() == [None]


def test_what_does_not_exist_is_refused_with_the_closest_name(runs_of):
    with pytest.raises(RequestError, match="did you mean 'test/acc'"):
        compare(runs_of(grid()), metric="tset/acc")
    with pytest.raises(RequestError, match="metric"):
        compare(runs_of(grid()), metric="cause")
    with pytest.raises(RequestError, match="did you mean 'activation'"):
        compare(runs_of(grid()), by=["activaton"])
    with pytest.raises(RequestError, match="no runs to compare"):
        compare(runs_of([]))
