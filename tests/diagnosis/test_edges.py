"""What is odd gets a clear answer: nothing measured, nothing finite, half a record, one layer, no step."""

import math
from dataclasses import replace

import pytest
import torch
from planted import digits, train
from torch import nn
from zoo import ZOO, evidence

from trainlab.diagnosis.evidence import (
    Evidence,
    RecordedSignals,
    ReferenceScores,
    SettingsSummary,
    first_sustained_step,
    path_length,
)
from trainlab.diagnosis.explain import CHECKS, diagnose, rank_findings
from trainlab.diagnosis.presentation import summarize_layers
from trainlab.diagnosis.verdict import RULES_VERSION
from trainlab.runs import Verdict

AT_CHANCE = [[0, 10], [0, 10]]


def cause_of(known: Evidence) -> str:
    cause = diagnose(known).cause
    assert cause is not None
    return cause.cause


def test_nothing_known_gives_no_verdict():
    diagnosis = diagnose(Evidence())
    assert diagnosis.learned is None and diagnosis.findings == [] and diagnosis.remedies == {}
    assert diagnosis.to_verdict() == Verdict(version=RULES_VERSION)


def test_without_signals_the_losses_alone_can_still_speak():
    quiet = replace(evidence("dead mlp D"), signals=RecordedSignals())
    assert diagnose(quiet).learned is False and diagnose(quiet).findings == []
    jumped = replace(evidence("sgd 10 mlp D"), signals=RecordedSignals())
    assert [f.cause for f in diagnose(jumped).findings] == ["learning_rate_too_high"]
    diverged = replace(evidence("sgd 1e6 mlp D"), signals=RecordedSignals())
    assert diagnose(diverged).learned is False and cause_of(diverged) == "diverged"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["mlp D", "dead mlp D", "zeros resnet B"])
def test_numbers_that_are_not_finite_never_raise(name, bad):
    known = evidence(name)
    spoilt = RecordedSignals(
        {
            layer: {
                q: {s: bad if i else v for i, (s, v) in enumerate(series.items())} for q, series in of.items()
            }
            for layer, of in known.signals.table.items()
        }
    )
    everything = RecordedSignals(
        {
            layer: {q: dict.fromkeys(series, bad) for q, series in of.items()}
            for layer, of in spoilt.table.items()
        }
    )
    for signals in (spoilt, everything):
        losses = dict.fromkeys(known.losses, bad)
        found = diagnose(replace(known, signals=signals, losses=losses, confusion_KK=None))
        assert found.learned is False
        assert found.cause is not None and found.cause.cause == "diverged"
        assert summarize_layers(signals)


@pytest.mark.parametrize("look", CHECKS)
def test_no_look_needs_more_than_there_is(look):
    """Each quantity in turn is missing: a question that cannot be run finds less, and never fails."""
    known = evidence("sigmoid 12 mlp D, adam")
    quantities = {q for of in known.signals.table.values() for q in of}
    for missing in quantities:
        table = {
            layer: {q: series for q, series in of.items() if q != missing}
            for layer, of in known.signals.table.items()
        }
        look(replace(known, signals=RecordedSignals(table)))
    look(replace(known, setup=SettingsSummary(), metrics={}, losses={}))


def test_an_input_of_nan():
    x_NCHW, y_N = digits()
    broken = train(nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)),
                   (x_NCHW * math.nan, y_N), steps=5)  # fmt: skip
    assert [f.cause for f in diagnose(broken).findings][:2] == ["diverged", "input_out_of_scale"]


def test_a_network_of_one_layer_and_one_of_one_unit():
    images = digits()
    one_layer = train(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), images)
    assert diagnose(one_layer).learned is True and summarize_layers(one_layer.signals)[0].layer == "1"
    torch.manual_seed(0)
    narrow = train(nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Tanh(), nn.Linear(1, 10)), images)
    assert "symmetric_weights" not in [f.cause for f in rank_findings(narrow)]


def test_a_run_of_one_step():
    for name in ("mlp D", "dead mlp D", "zeros mlp D"):
        known = evidence(name)
        table = {
            layer: {q: {0: series[0]} for q, series in of.items() if 0 in series}
            for layer, of in known.signals.table.items()
        }
        found = rank_findings(replace(known, signals=RecordedSignals(table), losses={0: known.losses[0]}))
        assert "symmetric_weights" not in [f.cause for f in found], "one step shows no more than the start"


def test_copies_that_part_by_rounding_late_in_the_run_are_copies():
    """As a hidden layer of zeros does under large steps: 1e-7 apart at step 49, by half at step 299."""
    known = evidence("zeros mlp D")
    layer = known.signals.layers[0]

    def told(spread: dict[int, float]) -> list[str]:
        table = {**known.signals.table, layer: {**known.signals.table[layer], "unit_spread": spread}}
        others = {name: {q: s for q, s in of.items() if q != "unit_spread"} for name, of in table.items()}
        others[layer] = table[layer]
        return [f.cause for f in rank_findings(replace(known, signals=RecordedSignals(others)))]

    assert "symmetric_weights" in told({0: 0.0, 1: 0.0, 49: 1.7e-7, 121: 9e-4, 299: 0.45})
    assert "symmetric_weights" not in told({0: 0.0, 1: 0.3, 49: 0.4, 299: 0.45}), (
        "a branch that starts at zero"
    )
    assert "symmetric_weights" not in told({0: 0.0, 8: 1e-7, 121: 9e-4, 299: 0.45}), (
        "a few steps are no part of it"
    )


def test_a_run_that_goes_on_well_has_no_causes_yet():
    going = replace(evidence("mlp D"), confusion_KK=None)
    assert diagnose(going).learned is None and diagnose(going).findings == []
    stuck = replace(evidence("dead mlp D"), confusion_KK=None)
    assert diagnose(stuck).learned is None and cause_of(stuck) == "dead_units"


def test_a_class_that_is_predicted_always_is_no_learning_however_common():
    assert diagnose(Evidence(confusion_KK=[[0, 5], [0, 95]])).learned is False
    assert diagnose(Evidence(confusion_KK=[[90, 10], [10, 90]])).learned is True
    assert diagnose(Evidence(confusion_KK=AT_CHANCE)).numbers["commonest_class"] == 0.5


def test_the_remedy_of_a_divergence_is_that_of_its_reason():
    told = evidence("large weights mlp D")
    told = replace(told, setup=replace(told.setup, axes={"norm_layer": "none"}))
    diagnosis = diagnose(told)
    assert [f.cause for f in diagnosis.findings][:2] == ["diverged", "exploding_gradient"]
    assert diagnosis.to_verdict().remedy == "norm_layer=batchnorm"
    assert diagnosis.to_verdict().evidence["since_step"] == told.diverged_step


def test_since_is_the_start_of_what_holds_to_the_end():
    assert first_sustained_step({0: 1.0, 1: 9.0, 4: 9.0}, lambda v: v > 5) == 1
    assert first_sustained_step({0: 9.0, 1: 1.0, 4: 9.0}, lambda v: v > 5) == 4
    assert (
        first_sustained_step({0: 9.0, 1: 1.0}, lambda v: v > 5) is None
        and first_sustained_step({}, bool) is None
    )


def test_path_length_is_the_sum_over_all_steps():
    assert path_length(dict.fromkeys((0, 1, 5, 9), 0.1)) == pytest.approx(10 * 0.1)
    rising = {step: float(step) for step in (0, 2, 7)}
    assert path_length(rising) == pytest.approx(sum(range(8)))
    assert path_length({0: math.inf, 1: 0.5, 2: 0.5}) == pytest.approx(1.0)
    assert math.isnan(path_length({}))


def test_the_chance_loss_is_the_entropy_of_the_classes():
    assert Evidence(setup=SettingsSummary(num_classes=10)).chance_loss == pytest.approx(math.log(10))
    told = Evidence(confusion_KK=[[3, 1], [6, 2]])
    assert told.chance_loss == pytest.approx(-(1 / 3 * math.log(1 / 3) + 2 / 3 * math.log(2 / 3)))
    assert math.isnan(Evidence().chance_loss)


def test_a_verdict_is_quick():
    import time

    whole = [evidence(name) for name in ("mlp D", "resnet 15 without norm B") if name in ZOO]
    start = time.process_time()
    for known in whole:
        rank_findings(known)
    assert time.process_time() - start < 0.05 * len(whole)


def test_a_reference_of_a_damaged_record_is_known_as_far_as_it_holds_numbers():
    record = {"accuracy": "high", "best_accuracy": 0.5, "images": True, "held_images": 20, "rarest_name": 3}
    scores = ReferenceScores.from_record(record)
    assert scores == ReferenceScores(best_accuracy=0.5, held_images=20, rarest_name="3")
    assert ReferenceScores.from_record(None) is None
