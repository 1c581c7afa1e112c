"""Remedies: concrete overrides that the platform takes, different from what the run has."""

import pytest

from trainlab.config import compose
from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.diagnosis.remedy import RESNET_STEP, VGG_DEPTHS, suggest_remedy
from trainlab.diagnosis.run_causes import RUN_CAUSES
from trainlab.errors import RequestError
from trainlab.models.resnet import ResNet
from trainlab.models.vgg import VGG
from trainlab.settings import Settings

RUNS = {
    "default": [],
    "batchnorm": ["norm_layer=batchnorm", "init=glorot", "optimizer=sgd", "optimizer.lr=0.3"],
    "vgg": ["model=vgg", "depth=16", "trainer.gradient_clip=1.0", "trainer.max_steps=100"],
    "resnet": ["model=resnet", "depth=9", "activation=leaky_relu", "data.batch_size=4"],
    "lenet5": ["model=lenet5", "norm_layer=layernorm", "data.batch_size=256", "init=orthogonal"],
    "shallow": ["model=mlp", "depth=1", "normalization=raw", "activation=sigmoid"],
}


@pytest.fixture(scope="module", params=RUNS)
def overrides(request):
    return RUNS[request.param]


def test_every_remedy_composes_and_changes_the_run(overrides):
    before = compose(overrides)
    for cause in RUN_CAUSES:
        change = suggest_remedy(cause, SettingsSummary.from_settings(before))
        if change is None:
            continue
        after = compose([*overrides, *change.split()])
        for override in change.split():
            key = override.partition("=")[0]
            assert _at(before, key) != _at(after, key), f"{cause}: {override} changes nothing"


def _at(settings: Settings, key: str):
    if key in settings.axes:
        return settings.axes[key]
    value = settings.to_plain()
    for part in key.split("."):
        value = value[part]
    return value


def test_the_first_remedy_that_applies():
    plain = SettingsSummary.from_settings(compose())
    assert suggest_remedy("vanishing_gradient", plain) == "norm_layer=batchnorm"
    normed = SettingsSummary.from_settings(compose(["norm_layer=batchnorm", "activation=tanh"]))
    assert suggest_remedy("vanishing_gradient", normed) == "activation=relu", "kaiming it has already"
    normed = SettingsSummary.from_settings(compose(["norm_layer=batchnorm"]))
    assert suggest_remedy("vanishing_gradient", normed) == "depth=2"
    lenet = SettingsSummary.from_settings(compose(["model=lenet5", "norm_layer=batchnorm"]))
    assert suggest_remedy("vanishing_gradient", lenet) is None, "it has no depth"


@pytest.mark.parametrize(
    ("model", "depth", "half"), [("vgg", 16, 13), ("vgg", 11, None), ("resnet", 9, 3), ("resnet", 3, None),
                                 ("mlp", 5, 2), ("mlp", 1, None)]
)  # fmt: skip
def test_half_a_depth_is_one_that_the_architecture_has(model, depth, half):
    setup = SettingsSummary(
        axes={"model": model, "norm_layer": "batchnorm", "init": "orthogonal"}, depth=depth
    )
    assert suggest_remedy("collapsed_correlation", setup) == (f"depth={half}" if half else None)


def test_the_learning_rate_follows_the_evidence():
    setup = SettingsSummary(lr=10.0)
    assert suggest_remedy("learning_rate_too_high", setup) == "optimizer.lr=1"
    assert suggest_remedy("learning_rate_too_high", setup, lr_factor=1e-3) == "optimizer.lr=0.01"


def test_batchnorm_is_no_remedy_for_a_handful_of_images():
    assert (
        suggest_remedy("vanishing_gradient", SettingsSummary(axes={"activation": "tanh"}, batch_size=2))
        != "norm_layer=batchnorm"
    )


def test_an_unknown_setup_and_an_unknown_cause():
    for cause in RUN_CAUSES:
        change = suggest_remedy(cause, SettingsSummary())
        assert change is None or "{" not in change
    with pytest.raises(RequestError, match="did you mean 'saturation'"):
        suggest_remedy("saturaton", SettingsSummary())


def test_depths_are_those_of_the_models():
    assert list(VGG.depths()) == list(VGG_DEPTHS)
    assert all(depth % RESNET_STEP == 0 for depth in ResNet.depths()) and RESNET_STEP in ResNet.depths()
