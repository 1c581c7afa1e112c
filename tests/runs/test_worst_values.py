"""One rule for what a run counts with that came to nothing, of one record as of a table."""

import itertools
import math

import pytest

from trainlab.runs import Result
from trainlab.runs.worst_values import (
    SMALLEST,
    counted_value,
    describe_worst,
    guessing_accuracy,
    log10_ratio,
    shared_guessing,
    with_worst_values,
)

STATUSES = ("finished", "diverged", "failed", "interrupted", "pruned")
METRICS = ("test/acc", "val/loss", "test/other")
RECORDED = (None, 0.4, math.nan, math.inf)


@pytest.mark.parametrize("metric", METRICS)
def test_a_table_counts_as_a_record_does(runs_of, metric):
    cases = list(itertools.product(STATUSES, RECORDED))
    rows = [{"status": status, metric: value, "guessing": 0.2} for status, value in cases]
    table = with_worst_values(runs_of(rows), metric)
    for row, (status, value) in zip(table.to_dicts(), cases, strict=True):
        record = Result(run_id="r", status=status, metrics={metric: value}, data={"guessing": 0.2})
        counted, reason = counted_value(record, metric)
        assert row["worst"] == (reason is not None)
        assert row[metric] == pytest.approx(counted, nan_ok=True)


def test_a_run_that_failed_early_has_the_guessing_of_others_of_its_data_or_one_in_k(runs_of):
    failed = {"status": "failed", "test/acc": None, "guessing": None, "data_fingerprint": "a"}
    other = {"status": "finished", "test/acc": 0.9, "guessing": 0.3, "data_fingerprint": "a"}
    foreign = {**other, "guessing": 0.5, "data_fingerprint": "b"}
    assert with_worst_values(runs_of([foreign, failed, other]), "test/acc")["test/acc"][1] == 0.3
    alone = runs_of([foreign, {**failed, "data.num_classes": 20}])
    assert with_worst_values(alone, "test/acc")["test/acc"][1] == 1 / 20
    assert with_worst_values(runs_of([foreign, failed]), "test/acc").row(1, named=True)["worst"] is False
    records = [
        Result(run_id="r", status="finished", data={"guessing": 0.3}),
        Result(run_id="s", status="failed"),
    ]
    guessing = shared_guessing(reversed(records))
    assert counted_value(records[1], "test/acc", 20, guessing) == (0.3, "failed")
    assert counted_value(records[1], "test/acc", 20) == (1 / 20, "failed")


def test_the_worst_accuracy_is_that_of_the_most_common_class_and_the_worst_loss_is_infinite():
    diverged = Result(run_id="r", status="diverged", metrics={"test/acc": 0.7}, data={"guessing": 0.1135})
    assert counted_value(diverged, "test/acc", 10) == (0.1135, "diverged")
    assert counted_value(diverged, "test/loss") == (math.inf, "diverged")
    old = Result(run_id="r", status="failed")
    assert counted_value(old, "test/acc", 10) == (0.1, "failed")
    assert counted_value(old, "test/acc") == (None, None)
    assert guessing_accuracy({"guessing": "0.1"}) is None


@pytest.mark.parametrize("status", ["interrupted", "pruned"])
def test_a_run_that_is_not_over_is_no_worst_case(status):
    assert counted_value(Result(run_id="r", status=status), "test/acc", 10) == (None, None)


def test_an_exact_zero_under_a_logarithm_is_the_smallest_number_of_float32():
    assert log10_ratio(0.0) == math.log10(SMALLEST) == pytest.approx(-44.85, abs=0.01)
    assert log10_ratio(1e-3, 0.0) == pytest.approx(-3 + 44.85, abs=0.01)
    assert log10_ratio(1e-3, 10.0) == pytest.approx(-4)
    assert all(map(math.isnan, (log10_ratio(0.0, 0.0), log10_ratio(-1.0), log10_ratio(math.inf, math.inf))))


def test_how_many_they_are_is_said():
    assert describe_worst("test/acc", 0) == ""
    assert describe_worst("test/acc", 1, 0.1135) == (
        "1 run diverged or failed; each counts as always guessing the most common class (11.3%)"
    )
    assert "infinite" in describe_worst("val/loss", 2) and "not learned" in describe_worst("learned", 2)
