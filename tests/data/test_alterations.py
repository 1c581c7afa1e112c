"""Pixels in another order and wrong labels: what changes, what stays, and who is told."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainlab.build.data import load_data
from trainlab.config import compose
from trainlab.data import load_images
from trainlab.data.alterations import mislabel, permute_pixels
from trainlab.errors import RequestError
from trainlab.serving.predict import read_image
from trainlab.serving.saved_model import ModelDescription
from trainlab.settings import RunSettings
from trainlab.training.reference_model import load_or_fit_reference


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return lambda **settings: load_images("digits", cache, cache, image_size=16, **settings)


def test_pixels_of_all_images_and_channels_move_alike():
    x_NHWC = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
    moved = permute_pixels(x_NHWC, 1)
    place = np.arange(42, dtype=np.uint8).reshape(1, 6, 7, 1)
    order = permute_pixels(place, 1).ravel()
    assert sorted(order) == list(range(42)) and (order != np.arange(42)).any()
    assert (moved.reshape(5, 42, 3) == x_NHWC.reshape(5, 42, 3)[:, order]).all()
    assert (permute_pixels(place, 1) == permute_pixels(place, 1)).all()
    assert (permute_pixels(place, 2) != permute_pixels(place, 1)).any()


def test_all_splits_have_their_pixels_in_the_same_order(digits):
    plain, permuted = digits(train_size=100), digits(train_size=100, pixel_order=7)
    for name in ("train", "val", "test"):
        own, other = getattr(plain, name), getattr(permuted, name)
        assert (other.index == own.index).all() and (other.y_N == own.y_N).all()
        assert (other.x_NHWC == permute_pixels(own.x_NHWC, 7)).all()
        assert (other.x_NHWC != own.x_NHWC).any()
    assert permuted.val.x_NHWC is permuted.train.x_NHWC
    assert (permuted.fingerprint, permuted.mean_C) == (plain.fingerprint, plain.mean_C)


@given(st.integers(2, 12), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_a_share_of_the_labels_is_wrong_and_a_larger_one_holds_it(classes, a, b, seed):
    labels_N = np.arange(97) % classes
    small, large = sorted((a, b))
    fewer, more = (mislabel(labels_N, share, classes, seed) for share in (small, large))
    assert (fewer != labels_N).sum() == round(small * 97)
    assert (more != labels_N).sum() == round(large * 97)
    changed = fewer != labels_N
    assert (more[changed] == fewer[changed]).all()
    assert set(more) <= set(range(classes))


def test_wrong_classes_are_equally_likely():
    labels_N = np.zeros(30_000, dtype=np.int64)
    counts = np.bincount(mislabel(labels_N, 0.5, 4, 0), minlength=4)
    assert counts[0] == 15_000
    assert abs(counts[1:] - 5000).max() < 4 * np.sqrt(5000 * 2 / 3)


def test_only_training_labels_are_wrong_and_the_split_seed_draws_them(digits):
    clean, noisy, again, other = (
        digits(train_size=500, split_seed=seed, label_noise=share)
        for seed, share in ((0, 0.0), (0, 0.2), (0, 0.2), (1, 0.2))
    )
    assert (noisy.train.index == clean.train.index).all()
    assert (noisy.train.labels_N != clean.train.labels_N).sum() == 100
    for name in ("val", "test"):
        assert (getattr(noisy, name).labels_N == getattr(clean, name).labels_N).all()
    assert (again.train.labels_N == noisy.train.labels_N).all()
    assert set(other.train.index[other.train.labels_N != digits().train.y_N[other.train.index]]) != set(
        noisy.train.index[noisy.train.labels_N != clean.train.labels_N]
    )


def settings_of(tmp_path, *overrides):
    paths = [f"paths.cache={tmp_path / 'cache'}", f"paths.runs={tmp_path / 'runs'}"]
    return compose(["data=digits", "data.image_size=16", "trainer=cpu", *paths, *overrides])


def test_settings_say_both_and_the_reference_model_follows(tmp_path):
    accuracies = {}
    for change in ("", "data.label_noise=0.6", "data.permute_pixels=0"):
        settings = settings_of(tmp_path, *change.split())
        images = load_data(settings)
        accuracies[change] = load_or_fit_reference(settings, images)["best_accuracy"]
    plain, noisy, permuted = accuracies.values()
    assert permuted == pytest.approx(plain, abs=1e-6)  # to a kernel on pixels their order is nothing
    assert noisy < plain
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.label_noise=1.2", "data.label_noise.*1.2.*less than or equal to 1"),
        ("data.label_noise=-0.1", "data.label_noise.*greater than or equal to 0"),
        ("data.permute_pixels=true", "data.permute_pixels.*integer"),
        ("data.permute_pixel=3", "did you mean.*permute_pixels"),
    ],
)
def test_what_is_out_of_range_is_refused(tmp_path, override, message):
    with pytest.raises(RequestError, match=message) as error:
        settings_of(tmp_path, override)
    assert "\n" not in str(error.value)


def test_an_image_from_outside_gets_the_order_of_the_run(tmp_path):
    page = np.zeros((16, 16), np.uint8)
    page[3:12, 7:9] = 255
    pixels = {}
    for order in ("null", "5"):
        settings = settings_of(tmp_path, f"data.permute_pixels={order}", "data.name=shapeset")
        description: ModelDescription = {
            "schema": 1,
            "run_id": "a",
            "settings": RunSettings.identified(settings, "a", "fingerprint", "copy", {}),
            "in_shape_CHW": [1, 16, 16],
            "classes": ["a", "b"],
            "depth": None,
        }
        rgba = np.dstack([page, page, page, np.full_like(page, 255)])
        pixels[order], steps = read_image(rgba, description)
        assert ("pixels put into the order of the run" in steps) is (order == "5")
    moved = permute_pixels(pixels["null"].permute(0, 2, 3, 1).numpy(), 5)
    assert torch.equal(pixels["5"], torch.from_numpy(moved).permute(0, 3, 1, 2))
