"""Input normalization: the formulas, the invariance of per_image, and what a checkpoint carries."""

from functools import partial

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trainlab.errors import RequestError
from trainlab.nn.normalization import Center, PerImage, Raw, Shifted, Standardize, Symmetric, Unit

MEAN, STD = (0.3, 0.5, 0.7), (0.1, 0.2, 0.3)


@pytest.fixture
def x_NCHW():
    torch.manual_seed(0)
    return torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("option", "formula"),
    [
        (Standardize, lambda u, mean, std: (u - mean) / std),
        (partial(Shifted, to_mean=2.0, to_std=0.5), lambda u, mean, std: 2 + (u - mean) / (2 * std)),
        (Center, lambda u, mean, std: u - mean),
        (Unit, lambda u, mean, std: u),
        (Symmetric, lambda u, mean, std: 2 * u - 1),
        (Raw, lambda u, mean, std: 255 * u),
    ],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_formula(option, formula, dtype, x_NCHW):
    y = option(mean_C=MEAN, std_C=STD)(x_NCHW.to(dtype))
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (MEAN, STD))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), formula(x_NCHW.double() / 255, mean, std), rtol=1e-6, atol=2e-6)


def test_standardized_training_split_has_mean_0_and_std_1(x_NCHW):
    u = x_NCHW.double() / 255
    option = Standardize(u.mean((0, 2, 3)).tolist(), u.std((0, 2, 3), correction=0).tolist())
    y = option(x_NCHW)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(y.std((0, 2, 3), correction=0), torch.ones(3), rtol=0, atol=1e-6)


images = st.lists(st.integers(0, 255), min_size=12, max_size=12).map(
    lambda pixels: torch.tensor(pixels, dtype=torch.float64).reshape(1, 3, 2, 2)
)


@settings(deadline=None)
@given(x=images, a=st.floats(1e-3, 1e3), b=st.floats(-1e3, 1e3))
def test_per_image_is_invariant_to_contrast_and_brightness(x, a, b):
    assume(x.std(correction=0) >= 1)
    torch.testing.assert_close(PerImage()(a * x + b), PerImage()(x), rtol=0, atol=1e-5)


@settings(deadline=None)
@given(x=images, a=st.floats(0.1, 1), data=st.data())
def test_per_image_is_invariant_in_float32_pixels_too(x, a, data):
    """Both images have a std of one grey level and stay within 0..255, as float32 pixels."""
    b = data.draw(st.floats(0, 255 * (1 - a)))
    assume(a * x.std(correction=0) >= 1)
    torch.testing.assert_close(PerImage()((a * x + b).float()), PerImage()(x.byte()), rtol=0, atol=1e-5)


def test_per_image_of_a_faint_bright_image_against_exact_arithmetic():
    x = torch.full((1, 1, 32, 32), 254.0)
    x[0, 0, ::2] = 252.0
    expected = torch.ones(1, 1, 32, 32)
    expected[0, 0, ::2] = -1.0
    torch.testing.assert_close(PerImage()(x), expected, rtol=0, atol=1e-6)


@given(value=st.floats(0, 255, width=32), channels=st.sampled_from([1, 3]))
def test_per_image_makes_a_constant_image_exactly_zero(value, channels):
    x = torch.full((2, channels, 7, 5), value)
    x[1, 0, 0, 0] = 0 if value else 1  # a neighbour in the batch that is not constant
    y = PerImage()(x)
    assert (y[0] == 0).all()
    assert y.isfinite().all()
    assert (y[1] != 0).any()


@pytest.mark.parametrize("option", [Standardize, Center, Unit, Symmetric, Raw, PerImage])
def test_a_checkpoint_carries_the_statistics(option, x_NCHW):
    trained, loaded = option(mean_C=MEAN, std_C=STD), option(mean_C=(0.0,) * 3, std_C=(1.0,) * 3)
    loaded.load_state_dict(trained.state_dict())
    assert set(trained.state_dict()) == {"mean_C", "std_C"}
    assert torch.equal(loaded(x_NCHW), trained(x_NCHW))


def test_channels_last_memory_is_kept(x_NCHW):
    x_NCHW = x_NCHW.to(memory_format=torch.channels_last)
    for option in (Standardize, Center, Unit, Symmetric, Raw):
        assert option(MEAN, STD)(x_NCHW).is_contiguous(memory_format=torch.channels_last)


def test_what_cannot_be_normalized_is_refused():
    with pytest.raises(RequestError, match=r"std above 0.*0\.0"):
        Standardize((0.5, 0.5), (0.1, 0.0))
    with pytest.raises(RequestError, match="2 means and 1 std"):
        Center((0.5, 0.5), (0.1,))


@pytest.mark.parametrize("to_std", [0.0, -1.0, float("nan")])
def test_shifted_refuses_a_std_that_is_not_above_0(to_std):
    with pytest.raises(RequestError, match=r"normalization\.to_std: got .*, expected above 0"):
        Shifted(MEAN, STD, to_std=to_std)
