"""`trainlab claims check`: layers that are not there, shifts beyond the image, BatchNorm without a layer."""

import pytest
from tiny import ACCURACY, QUICK, claim, put

from trainlab.build import networks
from trainlab.claims import design_check, registry
from trainlab.claims.source_check import source_faults
from trainlab.errors import RequestError

NORMALIZED = {"A": ["norm_layer=batchnorm"], "B": ["norm_layer=batchnorm", "optimizer.lr=0.1"]}


class Here:
    """A server that calls what it is asked to in this process."""

    def call(self, function, *arguments):
        return function(*arguments)


def bound(**source):
    return {"kind": "bound", "says": "so", "arm": "A", "at_least": 0.0, "of": source}


def faults_of(folder, source, **changes):
    """Of the minimal claim, with a second expectation on a source."""
    more = {**claim()["expectations"][0], "primary": True}
    put(folder, "mine", claim(**{"expectations": [more, bound(**source)], **changes}))
    return source_faults(registry.load_claims(folder), Here())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (
            {"signal": "preactivation_std", "layer": "stages.1.conv2.conv"},
            "unknown layer of signal preactivation_std 'stages.1.conv2.conv': did you mean "
            "'stages.1.conv1.conv'? available: head.linear, stages.1.conv1.conv",
        ),
        (
            {"metric": "test/acc", "over": {"signal": "saturated", "layer": "stages.1.conv1"}},
            "unknown layer of signal saturated 'stages.1.conv1': did you mean 'stages.1.conv1.conv'?",
        ),
        ({"probe": {"layer": "inputs"}}, "unknown layer of probe 'inputs': did you mean 'input'?"),
        ({"theory": "scale", "layer": "conv9", "minus": ACCURACY}, "unknown layer of theory scale 'conv9'"),
        (
            {"anatomy": "parameters", "layer": "stages.2.conv1.conv", "over": ACCURACY},
            "unknown layer of anatomy parameters 'stages.2.conv1.conv': did you mean 'stages.1.conv1.conv'?",
        ),
        ({"shift": {"translation": 16}}, "translation: got 16, expected whole pixels under 16, the side of"),
        ({"shift": {"translation": 1.5}}, "shift translation: got 1.5, expected whole pixels"),
        ({"shift": {"blur": 0}}, "shift blur: got 0, expected more than 0 pixels"),
        (
            {"shift": {"recalibrated_statistics": 100}},
            "shift recalibrated_statistics: got 100 images, expected 2 to 64, the training split",
        ),
        ({"shift": {"batch_statistics": 1}}, "shift batch_statistics: got 1, expected 2 images or more"),
        ({"batchnorm": "lag"}, "batchnorm: the network has no BatchNorm"),
        ({"shift": {"batch_statistics": 8}}, "shift: the network has no BatchNorm"),
    ],
)
def test_what_is_not_there_is_refused_with_the_closest(tmp_path, source, fault):
    found = faults_of(tmp_path, source)
    assert {one.partition(": ")[0] for one in found} == {  # both profiles are alike
        "claim mine, arm 'A', profile quick", "claim mine, arm 'A', profile gpu"
    }  # fmt: skip
    assert fault in found[0] and "\n" not in found[0]


@pytest.mark.parametrize(
    "source",
    [
        {"signal": "preactivation_std", "layer": "stages.1.conv1.conv"},
        {"signal": "preactivation_std", "layer": "last"},
        {"signal": "loss"},
        {"probe": {"layer": "stages.1.conv1"}, "minus": {"probe": {"layer": "logits"}}},
        {"shift": {"translation": 15}, "minus": {"shift": {"batch_statistics": 8}}},
        {"batchnorm": "lag"},
    ],
)
def test_what_is_there_is_not(tmp_path, source):
    assert faults_of(tmp_path, source, arms=NORMALIZED) == []


def test_facts_and_layers_of_a_number_each_and_figures_are_looked_at(tmp_path):
    by_layer = {
        "kind": "near", "says": "so", "arm": "A", "of": {"signal": "weight_norm", "layer": "first"},
        "equals": {"head.linear": 1.0, "heads": 2.0}, "within": 0.1,
    }  # fmt: skip
    fact = {"fact": "equivariance", "layer": "stages.9", "arguments": {"shift": 16}}
    facts = {"kind": "exact", "says": "so", "arm": "B", "of": fact, "equals": 0}
    rows = {"a": {"probe": {"layer": "nowhere"}}}
    figure = {"kind": "sources", "title": "t", "rows": rows, "arms": ["B"]}
    found = "; ".join(faults_of(tmp_path, ACCURACY, expectations=[by_layer, facts], figure=figure))
    for words in ("weight_norm 'heads'", "equivariance 'stages.9'", "probe 'nowhere'", "shift: got 16"):
        assert words in found


def test_a_network_that_cannot_be_built_is_a_fault(tmp_path, monkeypatch):
    def build_network(*_):
        raise RequestError("model=plain_cnn: no room for so many poolings")

    monkeypatch.setattr(networks, "build_network", build_network)
    found = faults_of(tmp_path, {"probe": {"layer": "input"}})
    assert found[0].endswith("arm 'A', profile quick: model=plain_cnn: no room for so many poolings")


def test_each_distinct_network_is_built_once(tmp_path, monkeypatch):
    built = []
    original = networks.build_network
    monkeypatch.setattr(networks, "build_network", lambda *a: built.append(a) or original(*a))
    probes = [bound(probe={"layer": "input"}), {**bound(probe={"layer": "logits"}), "arm": "B"}]
    assert faults_of(tmp_path, ACCURACY, expectations=[{**probes[0], "primary": True}, probes[1]]) == []
    assert len(built) == 1  # the arms differ in their rates


def test_a_profile_that_is_not_run_is_not_looked_at_and_one_with_smaller_images_is(tmp_path):
    gpu = {"overrides": [*QUICK, "data.image_size=8"], "scale": "tiny"}
    profiles = {"quick": {"not_testable": "too large"}, "gpu": gpu}
    [fault] = faults_of(tmp_path, {"shift": {"translation": 9}}, profiles=profiles)
    assert "profile gpu" in fault and "under 8" in fault


def test_the_check_refuses_it_in_one_line(tmp_path):
    more = {**claim()["expectations"][0], "primary": True}
    put(tmp_path, "mine", claim(expectations=[more, bound(shift={"translation": 40})]))
    with pytest.raises(RequestError) as told:
        design_check.check_designs(registry.load_claims(tmp_path), Here())  # type: ignore[arg-type]
    assert "got 40, expected whole pixels under 16" in str(told.value) and "\n" not in str(told.value)
