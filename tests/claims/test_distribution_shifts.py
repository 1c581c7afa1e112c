"""What a trained network is shown, against slow twins."""

import numpy as np
import pytest
import torch
from torch import nn

from trainlab.claims import distribution_shifts
from trainlab.claims.network_facts import LayerFacts, NetworkFacts, size_formula_failures
from trainlab.claims.sources import SHIFTS
from trainlab.data.images import Split
from trainlab.errors import RequestError
from trainlab.nn.normalization import PerImage, Standardize


@pytest.fixture
def x_NCHW():
    return torch.randint(0, 256, (6, 2, 7, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


NO_IMAGES = Split(np.zeros((0, 7, 5, 2), np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))


def train_split(n=40):
    generator = np.random.default_rng(1)
    return Split(generator.integers(0, 256, (n, 7, 5, 2), np.uint8), np.zeros(n, np.int64), np.arange(n))


class Net(nn.Module):
    """Input normalization, BatchNorm and one dense layer."""

    def __init__(self, normalization: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.normalization = normalization
        self.norm = nn.BatchNorm2d(2)
        self.dense = nn.Linear(70, 3)

    def forward(self, x_NCHW):
        return self.dense(self.norm(self.normalization(x_NCHW)).flatten(1))


@pytest.mark.parametrize(("down", "right"), [(2, 0), (-2, 0), (0, 3), (0, -3), (1, -1)])
def test_a_moved_image_is_what_a_loop_over_pixels_makes(x_NCHW, down, right):
    slow = np.zeros(x_NCHW.shape, np.uint8)
    for i in range(7):
        for j in range(5):
            if 0 <= i - down < 7 and 0 <= j - right < 5:
                slow[:, :, i, j] = x_NCHW[:, :, i - down, j - right]
    assert (distribution_shifts.translate(x_NCHW, down, right).numpy() == slow).all()


def test_translation_is_the_four_directions(x_NCHW):
    versions = distribution_shifts.pixel_shift("translation", 2)(x_NCHW)
    expected = [distribution_shifts.translate(x_NCHW, *by) for by in ((2, 0), (-2, 0), (0, 2), (0, -2))]
    assert all(torch.equal(a, b) for a, b in zip(versions, expected, strict=True))


def test_brightness_and_contrast_are_a_x_plus_b(x_NCHW):
    slow = x_NCHW.double().numpy()
    (brighter,) = distribution_shifts.pixel_shift("brightness", 40)(x_NCHW)
    (fainter,) = distribution_shifts.pixel_shift("contrast", 0.5)(x_NCHW)
    assert np.allclose(brighter.numpy(), slow + 40)
    assert np.allclose(fainter.numpy(), 127.5 + 0.5 * (slow - 127.5))


def test_per_image_normalization_does_not_see_brightness_and_contrast(x_NCHW):
    model = Net(PerImage()).eval()
    clean_N = distribution_shifts.predict_classes(model, x_NCHW)
    y_N = torch.arange(6) % 3
    for name, amount in (("brightness", 60), ("contrast", 0.4)):
        assert (
            distribution_shifts.measure_shift(model, x_NCHW, y_N, name, amount, clean_N, NO_IMAGES, 8)[
                "agreement"
            ]
            == 1.0
        )


def test_measured_numbers_are_those_of_a_plain_loop(x_NCHW):
    model = Net(Standardize((0.5, 0.5), (0.2, 0.2))).eval()
    y_N = torch.tensor([0, 1, 2, 0, 1, 2])
    clean_N = distribution_shifts.predict_classes(model, x_NCHW)
    measured = distribution_shifts.measure_shift(model, x_NCHW, y_N, "brightness", 90, clean_N, NO_IMAGES, 8)
    with torch.no_grad():
        logits_NK = model(x_NCHW.float() + 90)
    assert measured["accuracy"] == pytest.approx((logits_NK.argmax(1) == y_N).float().mean().item())
    assert measured["agreement"] == pytest.approx((logits_NK.argmax(1) == clean_N).float().mean().item())
    assert measured["loss"] == pytest.approx(nn.functional.cross_entropy(logits_NK, y_N).item(), rel=1e-5)


def test_wrong_statistics_are_another_normalization_and_the_model_stays_as_it_was(x_NCHW):
    model = Net(Standardize((0.5, 0.5), (0.2, 0.2))).eval()
    wrong, _ = distribution_shifts.model_shift(model, "statistics", {"mean": 0.13, "std": 0.38}, NO_IMAGES, 8)
    twin = Net(Standardize((0.13, 0.13), (0.38, 0.38))).eval()
    with torch.no_grad():
        assert torch.allclose(wrong(x_NCHW), twin(x_NCHW), atol=1e-6)
    assert model.normalization.get_buffer("mean_C").tolist() == [0.5, 0.5]


def test_batch_statistics_are_those_of_a_network_in_training_and_leave_no_trace(x_NCHW):
    model = Net(Standardize((0.5, 0.5), (0.2, 0.2))).eval()
    shifted, batch_size = distribution_shifts.model_shift(model, "batch_statistics", 6, NO_IMAGES, 8)
    u = (x_NCHW.double() / 255 - 0.5) / 0.2
    mean = u.mean((0, 2, 3), keepdim=True)
    std = (u.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    with torch.no_grad():
        slow = model.dense(((u - mean) / std).float().flatten(1))
        assert torch.allclose(shifted(x_NCHW), slow, atol=1e-4)
    assert batch_size == 6
    assert model.norm.get_buffer("running_mean").tolist() == [0.0, 0.0]


def test_a_shift_that_would_do_nothing_is_refused():
    with pytest.raises(RequestError, match="PerImage uses none"):
        distribution_shifts.model_shift(Net(PerImage()), "statistics", {"mean": 0, "std": 1}, NO_IMAGES, 8)
    with pytest.raises(RequestError, match="no BatchNorm"):
        distribution_shifts.model_shift(nn.Linear(2, 2), "batch_statistics", 8, NO_IMAGES, 8)


def test_a_camera_clips_and_rounds(x_NCHW):
    slow = x_NCHW.double().numpy()
    (brighter,) = distribution_shifts.pixel_shift("clipped_brightness", 40.6)(x_NCHW)
    (stronger,) = distribution_shifts.pixel_shift("clipped_contrast", 2.0)(x_NCHW)
    assert (brighter.numpy() == np.clip(np.round(slow + 40.6), 0, 255)).all()
    assert np.allclose(stronger.numpy(), np.clip(127.5 + 2 * (slow - 127.5), 0, 255), atol=0.5)
    assert brighter.max() == stronger.max() == 255 and stronger.min() == 0


def test_white_paper_and_images_of_zero_to_one(x_NCHW):
    slow = x_NCHW.double().numpy()
    for name, amount, expected in (
        ("inversion", 1, 255 - slow),
        ("inversion", 0.5, 127.5 + 0 * slow),
        ("pixel_scale", 1 / 255, slow / 255),
    ):
        (changed,) = distribution_shifts.pixel_shift(name, amount)(x_NCHW)
        assert np.allclose(changed.numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_blur_is_a_gaussian_over_a_continued_border(x_NCHW, sigma):
    (blurred,) = distribution_shifts.pixel_shift("blur", sigma)(x_NCHW)
    reach = 30
    weights = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    slow = np.zeros((7, 5))
    for i in range(7):
        for j in range(5):
            for a, wa in zip(range(i - reach, i + reach + 1), weights, strict=True):
                row = x_NCHW[0, 1, min(max(a, 0), 6)]
                for b, wb in zip(range(j - reach, j + reach + 1), weights, strict=True):
                    slow[i, j] += wa * wb * row[min(max(b, 0), 4)].item()
    assert np.allclose(blurred[0, 1].numpy(), slow, atol=0.05)
    assert blurred.shape == x_NCHW.shape


def norm_after(model, images, train, batch_size):
    changed, _ = distribution_shifts.model_shift(model, "recalibrated_statistics", images, train, batch_size)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), changed.parameters(), strict=True))
    norm = changed.norm
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    return norm, norm.running_mean, norm.running_var


def test_recalibrated_statistics_are_the_mean_over_batches_and_leave_no_trace():
    model = Net(Standardize((0.5, 0.5), (0.2, 0.2))).eval()
    train = train_split(20)
    norm, mean, variance = norm_after(model, 20, train, 20)
    u_NCHW = (train.x_NHWC.transpose(0, 3, 1, 2) / 255 - 0.5) / 0.2
    assert mean.numpy() == pytest.approx(u_NCHW.mean((0, 2, 3)), abs=1e-5)
    assert variance.numpy() == pytest.approx(u_NCHW.var((0, 2, 3), ddof=1), rel=1e-5)
    assert not norm.training and norm.momentum == 0.1
    assert model.norm.get_buffer("running_mean").tolist() == [0.0, 0.0]
    in_batches, mean_of_batches, variance_of_batches = norm_after(model, 20, train, 5)
    assert torch.allclose(mean_of_batches, mean, atol=1e-5)
    assert not torch.equal(variance_of_batches, variance)
    assert in_batches.num_batches_tracked == 4
    assert norm_after(model, 11, train, 5)[0].num_batches_tracked == 2


def test_recalibration_needs_batchnorm_and_images_that_are_there():
    model = Net(Standardize((0.5, 0.5), (0.2, 0.2))).eval()
    with pytest.raises(RequestError, match="got 41 images, expected 2 to 40"):
        distribution_shifts.recalibrated(model, train_split(), 41, 8)
    with pytest.raises(RequestError, match="recalibrated_statistics: the network has no BatchNorm"):
        distribution_shifts.recalibrated(nn.Linear(2, 2), train_split(), 8, 8)
    with pytest.raises(RequestError, match="shift blur: got 0, expected more than 0"):
        distribution_shifts.pixel_shift("blur", 0)(torch.zeros(1, 1, 3, 3))


def test_every_shift_of_the_list_changes_something(x_NCHW):
    model = Net(Standardize((0.5, 0.5), (0.2, 0.2))).eval()
    y_N = torch.arange(6) % 3
    clean_N = distribution_shifts.predict_classes(model, x_NCHW)
    run = model, x_NCHW, y_N
    plain = distribution_shifts.measure_shift(*run, "brightness", 0.0, clean_N, train_split(), 8)
    for name in SHIFTS:
        amount = {"mean": 0.1, "std": 0.3} if name == "statistics" else 20 if "recal" in name else 3
        shifted = distribution_shifts.measure_shift(*run, name, amount, clean_N, train_split(), 8)
        assert shifted["loss"] != plain["loss"], name


def network(*layers: LayerFacts) -> NetworkFacts:
    return NetworkFacts((1, 28, 28), layers)


def layer(out_shape, kernel=None, stride=None, padding=None) -> LayerFacts:
    return LayerFacts("layer", kernel, stride, padding, out_shape, parameters=0, multiply_adds=0)


def test_the_size_formula_counts_layers_that_break_it():
    convolution, pool = layer((6, 28, 28), (5, 5), (1, 1), (2, 2)), layer((6, 14, 14), (2, 2), (2, 2), (0, 0))
    assert size_formula_failures(network(convolution, pool, layer((1176,)))) == 0
    assert size_formula_failures(network(layer((6, 27, 28), (5, 5), (1, 1), (2, 2)))) == 1
