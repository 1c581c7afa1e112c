"""A source becomes numbers: from records as a run writes them."""

import math
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from tiny import claim

from trainlab.claims.expectations import Threshold
from trainlab.claims.registry import ClaimFile, parse_claim
from trainlab.claims.runner import judge_claim
from trainlab.claims.source_evaluator import SourceEvaluator
from trainlab.claims.sources import StepsSource
from trainlab.claims.steps_to_goal import first_step
from trainlab.errors import RequestError
from trainlab.runs import Result, RunFolder

SIGNALS = [
    (0, "conv1", "weight_grad_norm", 0.01),
    (0, "conv2", "weight_grad_norm", 0.1),
    (0, "head", "weight_grad_norm", 1.0),
    (7, "conv1", "weight_grad_norm", 0.5),
    (7, "head", "weight_grad_norm", 0.25),
]


def source(**content):
    bound = {"kind": "bound", "says": "so", "arm": "A", "of": content, "at_least": 0.0}
    figure = {"kind": "curves", "title": "t", "arms": ["A", "B"]}
    (expectation,) = parse_claim(claim(expectations=[bound], figure=figure), "c").expectations
    assert isinstance(expectation, Threshold)
    return expectation.of


def write_signals(folder, rows):
    """In the place of those that were recorded."""
    (folder / "signals.parquet").unlink()
    pl.DataFrame(rows, schema=["step", "layer", "quantity", "value"], orient="row").write_parquet(
        folder / "signals.parquet"
    )


class NoServer:
    """Nothing here may need torch."""

    def call(self, *_):
        raise AssertionError


@pytest.fixture
def evidence(tmp_path):
    """Arm A: two finished runs and a diverged one."""
    statuses = {0: "finished", 1: "finished", 2: "diverged"}
    for seed, status in statuses.items():
        folder = RunFolder(tmp_path / f"run{seed}").create()
        with folder.signals_log() as log:
            log.append(SIGNALS)
        metrics = {"train/acc": 0.9, "test/acc": 0.8 - 0.1 * seed, "train/loss": 0.2 + seed}
        metrics = metrics if status == "finished" else {}
        folder.finish(
            Result(run_id=f"run{seed}", status=status, metrics=metrics, seed=seed, parameters=61_706)
        )
    runs = {"A": {seed: tmp_path / f"run{seed}" for seed in statuses}}
    settings = SimpleNamespace(data=SimpleNamespace(num_classes=10))
    return SourceEvaluator(runs, {"A": settings}, NoServer())  # type: ignore[arg-type]


def test_a_metric_is_the_records_and_a_diverged_run_guesses(evidence):
    assert evidence.values(source(metric="test/acc"), ["A"]) == {"A": {0: 0.8, 1: pytest.approx(0.7), 2: 0.1}}


def test_the_loss_of_a_run_that_diverged_is_infinite_and_counted(evidence):
    of = source(metric="train/loss")
    assert evidence.values(of, ["A"]) == {"A": {0: 0.2, 1: 1.2, 2: math.inf}}
    assert evidence.worst_note([of], ["A"]) == "with the worst value: 1 of 3 A: diverged"


def test_a_metric_that_a_finished_run_lacks_is_an_error(evidence):
    with pytest.raises(RequestError, match="no val/acc was recorded"):
        evidence.values(source(metric="val/acc"), ["A"])


def test_what_every_run_has_is_no_worst_value(evidence):
    assert evidence.worst_note([source(metric="parameters")], ["A"]) == ""
    assert evidence.worst_note([source(signal="weight_grad_norm", layer="first")], ["A"]) == ""


def test_a_gap_is_one_metric_minus_another(evidence):
    gap = source(metric="train/acc", minus={"metric": "test/acc"})
    diverged = pytest.approx(
        math.nan, nan_ok=True
    )  # not guessing − guessing = 0, which would be no loss at all
    gaps = evidence.values(gap, ["A"])["A"]
    assert gaps == {0: pytest.approx(0.1), 1: pytest.approx(0.2), 2: diverged}


def test_other_columns_of_the_record_are_metrics_too(evidence):
    assert evidence.values(source(metric="parameters"), ["A"])["A"][0] == 61_706


def test_a_signal_is_of_the_first_last_or_named_layer(evidence):
    for layer, value in (("first", 0.01), ("last", 1.0), ("conv2", 0.1)):
        of = source(signal="weight_grad_norm", layer=layer)
        assert evidence.values(of, ["A"])["A"][0] == value


@pytest.mark.parametrize(("step", "value"), [(0, 0.01), (3, 0.01), (5, 0.5), (100, 0.5), (-1, 0.5)])
def test_a_signal_is_of_the_nearest_measured_step(evidence, step, value):
    of = source(signal="weight_grad_norm", layer="conv1", step=step)
    assert evidence.values(of, ["A"])["A"][0] == value


def test_a_ratio_of_layers_in_decades(evidence):
    last = {"signal": "weight_grad_norm", "layer": "last"}
    ratio = source(signal="weight_grad_norm", layer="first", over=last, log10=True)
    assert evidence.values(ratio, ["A"])["A"][0] == pytest.approx(math.log10(0.01 / 1.0))


def test_a_gradient_that_vanished_altogether_is_the_smallest_number(evidence):
    """It was left out, with its partners in other arms: the clearest case."""
    zero = [(0, "conv1", "weight_grad_norm", 0.0), (0, "head", "weight_grad_norm", 1.0)]
    write_signals(evidence.runs["A"][1], zero)
    last = {"signal": "weight_grad_norm", "layer": "last"}
    ratio = source(signal="weight_grad_norm", layer="first", over=last, log10=True)
    values = evidence.values(ratio, ["A"])["A"]
    assert values == {0: pytest.approx(-2), 1: pytest.approx(-149 * math.log10(2)), 2: pytest.approx(-2)}
    assert evidence.worst_note([ratio], ["A"]) == "with the worst value: 1 of 3 A: exact zero"


def test_the_ratio_of_two_gradients_that_vanished_is_not_a_number(evidence):
    write_signals(evidence.runs["A"][1], [(0, layer, "weight_grad_norm", 0.0) for layer in ("conv1", "head")])
    last = {"signal": "weight_grad_norm", "layer": "last"}
    ratio = source(signal="weight_grad_norm", layer="first", over=last, log10=True)
    assert math.isnan(evidence.values(ratio, ["A"])["A"][1])
    assert "1 of 3 A: exact zero" in evidence.worst_note([ratio], ["A"])


def test_a_fact_of_the_network_over_a_metric_has_one_logarithm(evidence, monkeypatch):
    """It was taken twice: of the fact by itself, and of the quotient."""
    monkeypatch.setattr(
        evidence, "number", lambda fact, arm: math.log10(6_170_600) if fact.log10 else 6_170_600.0
    )
    ratio = source(anatomy="parameters", over={"metric": "parameters"}, log10=True)
    assert evidence.values(ratio, ["A"])["A"][0] == pytest.approx(2)


def test_a_layer_that_is_not_there_is_named_with_those_that_are(evidence):
    with pytest.raises(RequestError, match="no layer 'conv3'; its layers: conv1, conv2, head"):
        evidence.values(source(signal="weight_grad_norm", layer="conv3"), ["A"])


def test_a_signal_that_was_not_recorded_is_an_error(evidence):
    with pytest.raises(RequestError, match="no dead was recorded"):
        evidence.values(source(signal="dead", layer="first"), ["A"])


def test_diverged_runs_are_counted_in_one_form_for_every_kind_of_expectation(evidence):
    """Counts of runs said nothing of them, nor did numbers layer by layer."""
    write_signals(evidence.runs["A"][0], [(0, "conv1", "weight_grad_norm", 1.0)])
    write_signals(evidence.runs["A"][1], [(0, "conv1", "weight_grad_norm", 0.0)])
    write_signals(evidence.runs["A"][2], [(0, "conv1", "weight_grad_norm", 1.0)])
    last = {"signal": "weight_grad_norm", "layer": "last"}
    expected = [
        {"kind": "learns", "says": "l", "arm": "A", "primary": True},
        {"kind": "chance", "says": "c", "arm": "A"},
        {"kind": "bound", "says": "b", "arm": "A", "of": {"metric": "train/loss"}, "at_least": 0.0},
        {"kind": "near", "says": "n", "arm": "A", "equals": {"conv1": 1.0}, "within": 0.1,
         "of": {"signal": "weight_grad_norm", "layer": "first", "log10": True, "over": last}},
    ]  # fmt: skip
    figure = {"kind": "curves", "title": "t", "arms": ["A", "B"]}
    entry = ClaimFile("c", Path(), parse_claim(claim(expectations=expected, figure=figure), "c"))
    results = judge_claim(entry, evidence, {})
    diverged = "with the worst value: 1 of 3 A: diverged"
    assert [one.observed.count(diverged) for one in results] == [1, 1, 1, 0]
    assert "with the worst value: 1 of 3 A: exact zero" in results[3].observed


def test_of_many_arms_the_worst_values_are_one_sum(evidence):
    cells = {f"cell {i}": evidence.runs["A"] for i in range(5)}
    grid = SourceEvaluator(cells, dict.fromkeys(cells, evidence.settings["A"]), NoServer())  # type: ignore[arg-type]
    note = grid.worst_note([source(metric="learned")], list(cells))
    assert note == "with the worst value: 5 of 15 runs: diverged"


@pytest.mark.parametrize(("step", "value"), [(0, 0.01), (3, 0.01), (7, 0.5), (8, math.nan), (-1, math.nan)])
def test_a_run_that_diverged_has_no_signal_after_its_end(evidence, step, value):
    """Its last measured one stood for that of the last step of runs that went on."""
    of = source(signal="weight_grad_norm", layer="conv1", step=step)
    assert evidence.values(of, ["A"])["A"][2] == pytest.approx(value, nan_ok=True)
    note = "with the worst value: 1 of 3 A: diverged" if math.isnan(value) else ""
    assert evidence.worst_note([of], ["A"]) == note


def test_a_lag_is_of_runs_that_ended(evidence, monkeypatch):
    """The checkpoint of one that failed was looked for."""
    (evidence.runs["A"][1] / "result.json").unlink()
    RunFolder(evidence.runs["A"][1]).finish(Result(run_id="run1", status="failed"))
    asked: list = []
    monkeypatch.setattr(
        evidence, "server", SimpleNamespace(call=lambda _, paths: asked.extend(paths) or [0.5])
    )
    of = source(batchnorm="lag")
    assert evidence.values(of, ["A"])["A"] == pytest.approx({0: 0.5, 1: math.nan, 2: math.nan}, nan_ok=True)
    assert asked == [evidence.runs["A"][0]]


# Steps to a goal


def curves(losses, accuracies):
    rows = [(step, 0, "train/loss_step", loss) for step, loss in enumerate(losses)]
    rows += [(step, 0, "val/acc", value) for step, value in accuracies]
    return pl.DataFrame(rows, schema=["step", "epoch", "name", "value"], orient="row")


def goal(**content):
    steps_to = source(steps_to=content)
    assert isinstance(steps_to, StepsSource)
    return steps_to.steps_to


def test_the_first_step_at_which_a_curve_passes():
    metrics = curves([3.0, 2.0, 1.0, 0.5, 0.2, 0.1], [(2, 0.2), (4, 0.6), (6, 0.5)])
    assert first_step(metrics, goal(metric="train/loss", below=1.0, window=1)) == 4
    # means over three steps: -, -, 2.0, 1.17, 0.57, 0.27
    assert first_step(metrics, goal(metric="train/loss", below=1.0, window=3)) == 5
    assert first_step(metrics, goal(metric="train/loss", below=1.0, window=7)) is None
    assert first_step(metrics, goal(metric="val/acc", above=0.55)) == 4
    assert first_step(metrics, goal(metric="val/acc", above=0.7)) is None
    assert first_step(curves([math.nan] * 3, []), goal(metric="train/loss", below=9, window=1)) is None


def test_runs_that_do_not_get_there_count_with_the_longest(tmp_path):
    lengths = {"A": [40, 60], "B": [60, 20, 30]}
    runs = {}
    for arm, steps in lengths.items():
        for seed, count in enumerate(steps):
            folder = RunFolder(tmp_path / f"{arm}{seed}").create()
            losses = [2.0 - (0.1 if arm == "A" else 0.0) * step for step in range(count)]
            with folder.metrics_log() as log:
                log.append((step, 0, "train/loss_step", loss) for step, loss in enumerate(losses))
            status = "diverged" if arm == "B" and seed == 1 else "finished"
            folder.finish(Result(run_id=f"{arm}{seed}", status=status, metrics={}, seed=seed, steps=count))
            runs.setdefault(arm, {})[seed] = folder.path
    evaluator = SourceEvaluator(runs, {}, NoServer())  # type: ignore[arg-type]
    of = source(steps_to={"metric": "train/loss", "below": 1.05, "window": 1})
    assert evaluator.values(of, ["A", "B"]) == {"A": {0: 11, 1: 11}, "B": {0: 60, 1: 60, 2: 60}}
    note = "with the worst value: 2 of 3 B: not reached, 1 of 3 B: diverged"
    assert evaluator.worst_note([of], ["A", "B"]) == note
    assert evaluator.reached([of], ["A", "B"]) == {
        "A": {0: True, 1: True}, "B": {0: False, 1: False, 2: False}
    }  # fmt: skip
    declared = {"metric": "train/loss", "below": 1.05, "window": 1, "not_reached": "longest_run"}
    assert evaluator.reached([source(steps_to=declared)], ["A", "B"]) == {}
    assert evaluator.reached([source(metric="steps", over={"steps_to": declared})], ["A"]) == {}
    assert evaluator.reached([source(metric="steps", over=of.model_dump(exclude_none=True))], ["A"])["A"] == {
        0: True, 1: True
    }  # fmt: skip
    decades = source(steps_to={"metric": "train/loss", "below": 1.05, "window": 1}, log10=True)
    assert evaluator.values(decades, ["B"])["B"][0] == pytest.approx(math.log10(60))
    assert decades.unit() == "decades"


@pytest.mark.parametrize(
    "wrong", [{}, {"below": 1.0, "above": 2.0}, {"below": 1.0, "window": 0}, {"below": 1.0, "last": 3}]
)
def test_a_goal_has_one_side(wrong):
    with pytest.raises(RequestError, match="steps_to"):
        source(steps_to={"metric": "train/loss", **wrong})
