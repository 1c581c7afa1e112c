"""Every architecture × activation, norm layer, pooling of the catalogue: a stack against the runs alone."""

import pytest
import torch
from model_options import WITHOUT_POOLING, names
from stacks import assert_equals_singles, batch, networks

from trainlab.stacked import stack_networks

LESS = {"vgg": ("activation", "pool"), "resnet": ("activation",), "whitened_cnn": ("activation",)}
"""What is left to the slow tests: as in the other architectures, of the same blocks."""

CASES = [
    pytest.param(model, {axis: option}, marks=[pytest.mark.slow] if axis in LESS.get(model, ()) else [])
    for model in names("model")
    for axis in ("activation", "norm_layer", "pool")
    for option in names(axis)
    if not (option == "instancenorm" and model in ("mlp", "lenet5"))
    and not (axis == "pool" and model in WITHOUT_POOLING and option != "none")
    and not (axis == "pool" and model == "lenet5" and option == "none")
]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("model", "options"), CASES, ids=str)
def test_a_run_in_a_stack_is_the_run_alone(model, options, training):
    singles = networks(model, runs=2, **options)
    stack = stack_networks(singles)
    stack.order = "by_layer"
    assert_equals_singles(stack, singles, batch(2, 3), training=training)


@pytest.mark.parametrize("model", names("model"))
def test_a_run_that_passes_all_layers_by_itself_is_the_run_alone(model):
    singles = networks(model, norm_layer="batchnorm", activation="prelu")
    stack = stack_networks(singles)
    assert stack.order_on(torch.device("cpu")) == "by_run"
    for training in (True, False):
        assert_equals_singles(stack, singles, batch(), training=training)
        for single, x_NCHW in zip(singles, batch(), strict=True):
            single.train(training)(x_NCHW)


@pytest.mark.parametrize(
    ("model", "options"),
    [(model, {"bias": False}) for model in names("model") if model != "whitened_cnn"]
    + [
        ("resnet", {"shortcut": False}),
        ("mlp", {"depth": 0}),
        ("plain_cnn", {"head": "dense"}),
        ("locally_connected", {"head": "mean"}),
    ]
    + [("locally_connected", {"shared": True})],
    ids=str,
)
def test_options_of_the_model(model, options):
    singles = networks(model, runs=2, norm_layer="batchnorm_after_activation", **options)
    for order in ("by_layer", "by_run"):
        stack = stack_networks(singles)
        stack.order = order
        assert_equals_singles(stack, singles, batch(2, 3), training=True)


@pytest.mark.parametrize("model", names("model"))
def test_a_step_in_float32(model):
    singles = [single.float() for single in networks(model, norm_layer="layernorm", activation="gelu")]
    for order in ("by_layer", "by_run"):
        stack = stack_networks(singles)
        stack.order = order
        assert_equals_singles(stack, singles, batch(dtype=torch.float32), atol=1e-4, rtol=1e-5)
