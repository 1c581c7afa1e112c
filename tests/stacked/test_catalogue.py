"""Every architecture × activation, norm layer, pooling of the catalogue: a stack against the runs alone."""

import pytest
from model_options import WITHOUT_POOLING, names
from stacks import assert_equals_singles, batch, networks

from trainlab.stacked import stack_networks

CASES = [
    (model, {axis: option})
    for model in names("model")
    for axis in ("activation", "norm_layer", "pool")
    for option in names(axis)
    if not (option == "instancenorm" and model in ("mlp", "lenet5"))
    and not (axis == "pool" and model in WITHOUT_POOLING and option != "none")
    and not (axis == "pool" and model == "lenet5" and option == "none")
]


@pytest.mark.parametrize(("model", "options"), CASES, ids=str)
def test_a_run_in_a_stack_is_the_run_alone(model, options):
    singles = networks(model, runs=2, **options)
    stack = stack_networks(singles)
    x_BNCHW = batch(2)
    assert_equals_singles(stack, singles, x_BNCHW, training=True)
    stack = stack_networks(singles)
    assert_equals_singles(stack, singles, x_BNCHW, training=False)
