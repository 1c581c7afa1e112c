"""What simple models make of a run's images: once a data set and split, and no run depends on it."""

import numpy as np
import pytest

from trainlab.data.images import ImageData, Split
from trainlab.training import reference_model as module
from trainlab.training.reference_model import fit_reference, load_or_fit_reference


def images(n: int = 400, shuffled: bool = False, copies: int = 0, rare: int | None = None) -> ImageData:
    """Ten classes of noisy prototypes; half of the images train, a quarter validates, a quarter tests."""
    generator = np.random.default_rng(0)
    y_N = np.arange(n) % 10
    prototypes = generator.integers(0, 256, (10, 8, 8, 1))
    x_NHWC = (prototypes[y_N] + generator.normal(0, 60, (n, 8, 8, 1))).clip(0, 255).astype(np.uint8)
    y_N = generator.permutation(y_N) if shuffled else y_N
    train, val, test = np.arange(n // 2), np.arange(n // 2, 3 * n // 4), np.arange(3 * n // 4, n)
    x_NHWC[test[:copies]] = x_NHWC[train[:copies]]
    if rare is not None:
        train = train[(y_N[train] != rare) | (train < 10)]
    first, second, third = (Split(x_NHWC, y_N, rows) for rows in (train, val, test))
    return ImageData(first, second, third, (0.5,), (0.3,), tuple("abcdefghij"), "fingerprint", "made")


@pytest.fixture
def run_settings(settings, tmp_path):
    return settings(f"paths.cache={tmp_path / 'cache'}")


def test_labels_that_follow_and_labels_that_do_not(run_settings):
    sound = fit_reference(run_settings, images())
    assert sound["accuracy"] > 0.9 and sound["best_accuracy"] > 0.9 > 0.3 > sound["permuted_accuracy"]
    mixed = fit_reference(run_settings, images(shuffled=True))
    assert mixed["best_accuracy"] < 0.25 and mixed["accuracy"] < 0.25
    assert (sound["images"], sound["held_images"], sound["classes"]) == (200, 100, 10)


def test_copies_and_a_rare_class_are_counted(run_settings):
    assert fit_reference(run_settings, images())["test_in_training"] == 0
    assert fit_reference(run_settings, images(copies=25))["test_in_training"] == 0.25
    rare = fit_reference(run_settings, images(rare=3))
    assert (rare["rarest_class"], rare["rarest_name"]) == (3, "d") and rare["rarest_share"] < 0.01


def test_it_is_fitted_once_and_by_what_decides_it(run_settings, settings, tmp_path, monkeypatch):
    first = load_or_fit_reference(run_settings, images())
    count = []
    monkeypatch.setattr(module, "fit_reference", lambda *given: count.append(1) or {"accuracy": 0.0})
    assert load_or_fit_reference(run_settings, images()) == first and not count
    other = settings(f"paths.cache={tmp_path / 'cache'}", "data.split_seed=1")
    assert load_or_fit_reference(other, images()) == {"accuracy": 0.0} and count == [1]


def test_no_run_depends_on_it(run_settings, monkeypatch, caplog, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "references").write_text("in the way")
    assert load_or_fit_reference(run_settings, images())["accuracy"] > 0.9 and "not kept" in caplog.text

    def odd(*given):
        raise ValueError("odd images")

    monkeypatch.setattr(module, "fit_reference", odd)
    assert load_or_fit_reference(run_settings, images()) is None and "odd images" in caplog.text
