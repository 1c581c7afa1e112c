"""Which part of a tensor is looked at."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainlab.signals.tensor_sampling import as_NPF, evenly_spaced
from trainlab.signals.tensor_sampling import sample_NPF as sampled_NPF


@given(n=st.integers(1, 5000), wanted=st.integers(1, 300), row=st.integers(1, 64))
def test_spread_indices_are_valid_and_no_more_than_wanted(n, wanted, row):
    taken = range(n)[evenly_spaced(n, wanted, row)]
    assert 1 <= len(taken) <= wanted
    assert taken[0] == n - 1 - taken[-1] or taken[0] == n - 2 - taken[-1], "centred"


@given(side=st.integers(2, 40), wanted=st.integers(8, 64))
def test_positions_lie_in_many_columns(side, wanted):
    """Never the border alone, where zero padding takes variance away."""
    columns = {i % side for i in range(side * side)[evenly_spaced(side * side, wanted, side)]}
    assert len(columns) >= min(side, wanted) // 2


def test_maps_and_features_become_images_positions_units():
    x_NCHW = torch.arange(2 * 3 * 4 * 5).view(2, 3, 4, 5)
    x_NPF = as_NPF(x_NCHW, features_last=False)
    assert x_NPF.shape == (2, 20, 3) and x_NPF[1, 7, 2] == x_NCHW[1, 2, 1, 2]
    x_NTF = torch.arange(2 * 6 * 5).view(2, 6, 5)
    assert as_NPF(x_NTF, features_last=True).equal(x_NTF)
    x_NF = torch.arange(6).view(2, 3)
    assert as_NPF(x_NF, features_last=False).equal(x_NF[:, None])


def test_a_channels_last_map_is_not_copied():
    x_NCHW = torch.zeros(4, 8, 5, 5).to(memory_format=torch.channels_last)
    assert as_NPF(x_NCHW, features_last=False).data_ptr() == x_NCHW.data_ptr()


def test_a_sample_has_all_units_and_is_the_same_each_time():
    x_NCHW = torch.randn(128, 6, 28, 28)
    sample_NPF = sampled_NPF(x_NCHW, False, images=32, observations=640)
    assert sample_NPF.shape == (32, 20, 6)
    assert sample_NPF.equal(sampled_NPF(x_NCHW, False, images=32, observations=640))
    whole_NPF = sampled_NPF(x_NCHW[:3, :, :2, :2], False, images=32, observations=640)
    assert whole_NPF.equal(as_NPF(x_NCHW[:3, :, :2, :2], False)), "what is small is taken whole"
