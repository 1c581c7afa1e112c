"""Norm layers: where they stand, what they do to features, and which cannot work there."""

from functools import partial

import pytest
import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.norm_layers import FeatureNorm, NormLayer, group_norm, layer_norm


def test_position_decides_on_which_side_and_on_the_bias():
    before = NormLayer("before_activation", nn.BatchNorm2d)
    after = NormLayer("after_activation", nn.BatchNorm2d)
    none = NormLayer()
    shape = (8, 4, 4)
    assert [list(n.before(shape)) for n in (before, after, none)] == [["norm"], [], []]
    assert [list(n.after(shape)) for n in (before, after, none)] == [[], ["norm"], []]
    assert [n.keeps_bias for n in (before, after, none)] == [False, True, True]


def test_unknown_position_names_the_nearest():
    with pytest.raises(RequestError, match="did you mean 'before_activation'"):
        NormLayer("before_activaton", nn.BatchNorm2d)


@pytest.mark.parametrize(("features", "groups"), [(64, 8), (6, 6), (100, 5), (7, 7), (11, 1), (12, 6)])
def test_group_norm_takes_the_largest_divisor(features, groups):
    assert group_norm(features, groups=8).num_groups == groups


def test_group_norm_without_groups_is_refused():
    with pytest.raises(RequestError, match="groups: got 0"):
        group_norm(8, groups=0)


def test_layer_norm_of_maps_is_torch_layer_norm_over_channels_and_positions():
    x = 3 * torch.randn(4, 5, 6, 7) + 1
    expected = nn.functional.layer_norm(x, x.shape[1:])
    torch.testing.assert_close(layer_norm(5)(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("build", "twin"),
    [
        (nn.BatchNorm2d, nn.BatchNorm1d(12)),
        (partial(nn.BatchNorm2d, affine=False), nn.BatchNorm1d(12)),
        (layer_norm, nn.LayerNorm(12)),
        (partial(group_norm, groups=4), nn.GroupNorm(4, 12)),
    ],
)
def test_features_are_normalized_as_maps_of_one_position(build, twin):
    norm = NormLayer("before_activation", build).before((12,))["norm"]
    x = 3 * torch.randn(16, 12) + 1
    assert isinstance(norm, FeatureNorm)
    torch.testing.assert_close(norm(x), twin(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(8,), (8, 1, 1)])
@pytest.mark.parametrize(
    ("build", "kind"), [(nn.InstanceNorm2d, "InstanceNorm2d"), (partial(group_norm, groups=8), "GroupNorm")]
)
def test_what_forgets_its_input_is_refused_by_name(build, kind, shape):
    with pytest.raises(RequestError, match=f"{kind} cannot normalize 8 features of one position"):
        NormLayer("before_activation", build).before(shape)


@pytest.mark.parametrize("build", [nn.BatchNorm2d, layer_norm, partial(group_norm, groups=2)])
@pytest.mark.parametrize("features", [4, 6, 100])
def test_what_works_on_one_position_is_taken(build, features):
    assert NormLayer("after_activation", build).after((features, 1, 1))


def test_the_check_of_a_norm_layer_leaves_the_random_state():
    class Noisy(nn.BatchNorm2d):
        def __init__(self, num_features):
            super().__init__(num_features)
            torch.rand(1)

    torch.manual_seed(0)
    Noisy(4)
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    NormLayer("before_activation", Noisy).before((4,))
    assert torch.equal(torch.get_rng_state(), expected)
