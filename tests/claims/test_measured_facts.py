"""Facts that are computed on the spot: the numbers that theory gives, and where they do not hold."""

import pytest
from pydantic import ValidationError

from trainlab.claims.measured_facts import _OF_A_LAYER, _OF_A_NETWORK, measured_fact
from trainlab.claims.sources import FACTS, FactSource
from trainlab.config import compose
from trainlab.errors import RequestError


def fact(name, layer=None, overrides=(), **arguments):
    frozen = ""
    if overrides:
        settings = compose(["data=digits", "data.image_size=16", "trainer=cpu", "logger=none", *overrides])
        frozen = settings.to_json()
    return measured_fact(name, arguments, layer, frozen)


def test_every_fact_of_the_list_is_computed():
    assert set(FACTS) == {*_OF_A_LAYER, *_OF_A_NETWORK}
    assert {name for name, spec in FACTS.items() if spec.needs_arm} == set(_OF_A_NETWORK)


@pytest.mark.parametrize(("momentum", "steps"), [(0.1, 0), (0.1, 1), (0.1, 10), (0.01, 50), (1.0, 1)])
def test_running_statistics_lag(momentum, steps):
    assert fact("running_statistics", momentum=momentum, steps=steps) == pytest.approx(
        1 - (1 - momentum) ** steps, abs=1e-12
    )


CNN = ("model=plain_cnn", "depth=3", "width=4", "model.stages=1")


def test_circular_convolutions_move_with_the_image():
    layer = "stages.1.conv3.activation"
    assert fact("equivariance", layer, (*CNN, "model.padding=circular"), shift=3) < 1e-12
    assert fact("equivariance", layer, CNN, shift=3) > 0.01
    assert fact("equivariance", "logits", (*CNN, "model.padding=circular")) < 1e-12
    assert fact("equivariance", "logits", (*CNN, "model.padding=circular", "model.head=dense")) > 0.01


def test_pooled_maps_move_by_whole_positions():
    pooled = ("model=plain_cnn", "depth=3", "width=4", "model.padding=circular")
    layer = "stages.3.conv1.activation"
    assert fact("equivariance", layer, pooled, shift=4) < 1e-12
    with pytest.raises(RequestError, match=r"a shift of 2 pixels is none of whole positions.*multiple of 4"):
        fact("equivariance", layer, pooled, shift=2)
    with pytest.raises(RequestError, match=r"did you mean 'stages\.3\.conv1'"):
        fact("equivariance", "stages.3.conv1.", pooled)


def test_per_image_normalization_does_not_see_contrast_and_brightness():
    seen = {
        name: fact("contrast_invariance", None, (*CNN, f"normalization={name}"), factor=0.3, offset=50)
        for name in ("per_image", "standardize")
    }
    assert seen["per_image"] < 1e-5 < 0.01 < seen["standardize"]
    with pytest.raises(RequestError, match="factor: got 0, expected more than 0"):
        fact("contrast_invariance", None, CNN, factor=0)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(RequestError, match="steps: got -1, expected at least 0"):
        fact("running_statistics", steps=-1)
    with pytest.raises(RequestError, match="momentum: got 2, expected 0 to 1"):
        fact("running_statistics", momentum=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fact": "equivarianc"}, "unknown fact .*did you mean 'equivariance'"),
        ({"fact": "running_statistics", "arguments": {"step": 3}}, "did you mean 'steps'"),
        ({"fact": "equivariance"}, "fact equivariance: expected a layer"),
        ({"fact": "running_statistics", "layer": "x"}, "fact running_statistics: expected no layer"),
    ],
)
def test_a_fact_is_checked_when_the_file_is_read(content, message):
    with pytest.raises(ValidationError, match=message):
        FactSource.model_validate(content)
