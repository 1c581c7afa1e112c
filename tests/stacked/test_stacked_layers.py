"""Each stacked layer alone, in every layout of memory, in both modes: the numbers of the single layer."""

import copy
import math
from functools import partial

import pytest
import torch
from stacks import LAYOUTS, RUNS, assert_equals_singles, batch, in_memory_as
from torch import nn

from trainlab.errors import RequestError
from trainlab.stacked import stack_networks

LAYERS = [
    partial(nn.BatchNorm2d, 4),
    partial(nn.BatchNorm2d, 4, affine=False),
    partial(nn.BatchNorm2d, 4, momentum=None),
    partial(nn.BatchNorm2d, 4, track_running_stats=False),
    partial(nn.GroupNorm, 2, 4),
    partial(nn.GroupNorm, 1, 4, affine=False),
    partial(nn.InstanceNorm2d, 4, affine=True),
    partial(nn.InstanceNorm2d, 4, track_running_stats=True),
    partial(nn.PReLU),
    partial(nn.PReLU, 4),
    partial(nn.MaxPool2d, 2),
    partial(nn.MaxPool2d, 3, stride=2, padding=1, ceil_mode=True),
    partial(nn.AvgPool2d, 2),
    partial(nn.AdaptiveAvgPool2d, 1),
    partial(nn.AdaptiveAvgPool2d, (2, 3)),
    partial(nn.ReLU, inplace=True),
    partial(nn.Flatten),
    partial(nn.Flatten, 2),
    partial(nn.Flatten, 1, -2),
]


def layer_networks(layer, *, first=None):
    """A layer behind a scaling of its channels, with random parameters and buffers in each run."""
    singles = []
    for seed in range(RUNS):
        torch.manual_seed(seed)
        single = nn.Sequential(nn.Conv2d(4, 4, 1, groups=4), layer()).double()
        with torch.no_grad():
            for parameter in single.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for buffer in single.buffers():
                buffer.add_(torch.randint(1, 4, buffer.shape))
        singles.append(single)
    return singles


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: repr(layer()))
def test_it_takes_maps_in_any_order_of_memory(layer, layout, training):
    singles = layer_networks(layer)
    stack = stack_networks(singles)
    stack.order = "by_layer"
    # what the layer itself gets in this layout: one factor for each map, in the place of the convolution
    stack.get_submodule("0").forward = partial(scale, stack.get_submodule("0"))
    x_BNCHW = in_memory_as(LAYOUTS[layout], batch(shape=(4, 6, 6)))
    assert_equals_singles(stack, singles, x_BNCHW, training=training)


def scale(layer, x_BNCHW):
    """A convolution of one tap and one channel a group, elementwise: it leaves the layout as it is."""
    return x_BNCHW * layer.weight[:, None, :, 0] + layer.bias[:, None, :, None, None]


@pytest.mark.parametrize("shape", [(9,), (4, 6, 6)], ids=str)
def test_dropout_draws_what_the_run_alone_draws(shape):
    linear = nn.Linear(math.prod(shape), 5)
    singles = [nn.Sequential(nn.Dropout(0.3), nn.Flatten(), linear, nn.Dropout(0.6))] * 3
    for order in ("by_layer", "by_run"):
        stack = stack_networks([copy.deepcopy(single.double()) for single in singles])
        stack.order = order
        assert_equals_singles(stack, singles, batch(shape=shape))


def test_dropout_goes_on_from_where_a_run_s_stream_was():
    stack = stack_networks([nn.Sequential(nn.Linear(9, 9), nn.Dropout())] * 3)
    assert stack.random_state_of_run(0) is None
    stack.seed_dropout([1, 2, 3])
    generators = list(stack.streams.generators)
    stack(batch(shape=(9,), dtype=torch.float32))
    state = stack.random_state_of_run(2)
    assert state is not None
    then = stack(batch(shape=(9,), dtype=torch.float32))[2]
    stack.seed_dropout([1, 2, 3])
    stack.load_random_state_of_run(2, state)
    assert torch.equal(stack(batch(shape=(9,), dtype=torch.float32))[2], then)
    # what a graph was told of is what is seeded again
    assert all(one is other for one, other in zip(stack.streams.generators, generators, strict=True))
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), _seeded(stack, 3))


def _seeded(stack, seed):
    stack.seed_dropout([0, seed, 0])
    return stack.random_state_of_run(1)


def test_dropout_without_a_seed_is_refused():
    stack = stack_networks([nn.Sequential(nn.Linear(3, 3), nn.Dropout())] * 2)
    stack.order = "by_layer"
    with pytest.raises(RequestError, match="seed_dropout"):
        stack(torch.ones(2, 5, 3))
    assert stack.eval()(torch.ones(2, 5, 3)).isfinite().all()
    with pytest.raises(RequestError, match="got 1, expected 2"):
        stack.seed_dropout([1])
