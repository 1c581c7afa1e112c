"""Other statistics before the same network."""

import pytest
import torch
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.normalization import Center, NormalizedNetwork, PerImage, Standardize, with_statistics


def model(normalization):
    torch.manual_seed(0)
    return NormalizedNetwork(normalization, nn.Sequential(nn.Flatten(), nn.Linear(2 * 16, 3))).eval()


@pytest.mark.parametrize(("mean", "std"), [((0.1, 0.2), (0.3, 0.4)), ((0.1,), (0.3,))])
@pytest.mark.parametrize("kind", [Standardize, Center])
def test_it_is_the_model_that_would_have_been_built_so(kind, mean, std):
    own = model(kind((0.5, 0.6), (0.2, 0.3)))
    x_NCHW = torch.randint(0, 256, (4, 2, 4, 4), dtype=torch.uint8)
    before = own(x_NCHW)
    other = with_statistics(own, mean, std)
    twin = model(kind(mean * (2 // len(mean)), std * (2 // len(std))))
    assert torch.allclose(other(x_NCHW), twin(x_NCHW)) and not other.training
    assert torch.equal(own(x_NCHW), before) and other.network is own.network


def test_what_would_do_nothing_or_divide_by_nothing_is_refused():
    with pytest.raises(RequestError, match="PerImage uses none"):
        with_statistics(model(PerImage((0.0, 0.0), (1.0, 1.0))), (0.1,), (0.2,))
    with pytest.raises(RequestError, match="expected above 0"):
        with_statistics(model(Standardize((0.0, 0.0), (1.0, 1.0))), (0.1,), (0.0,))
    with pytest.raises(RequestError, match="expected 2 or 1 each"):
        with_statistics(model(Standardize((0.0, 0.0), (1.0, 1.0))), (0.1,) * 3, (0.2,))
