"""What people type and the grammar of overrides does not have: one plain line, with the right way."""

import pytest

from trainlab.config import AXIS_DESCRIPTIONS, catalogue, compose, synonyms
from trainlab.config.overrides import check_overrides
from trainlab.errors import RequestError

PLAIN = {
    "activation=sigmoid, relu": "expected activation=sigmoid,relu",
    "activation=sigmoid ,relu": "expected activation=sigmoid,relu",
    "activation = relu": "expected activation=relu",
    "activation= relu": "expected activation=relu",
    "activation =relu": "expected activation=relu",
    "--seed 3": "seed=3",
    "--lr=0.1": "optimizer.lr=0.1",
    "--epochs 3 depth=2": "trainer.max_epochs=3",
    "--activation relu": "activation=relu",
    "-x": "without dashes",
    "relu": "as in activation=relu",
    "lenet5": "as in model=lenet5",
    "something": "expected name=value",
    "=3": "got no name",
    "activation=3": "unknown activation '3'",
    "norm_layer=null": "norm_layer=none",
    "activation=[relu,tanh]": "-m activation=relu,tanh",
    "~activation": "trainlab options activation",
}


@pytest.mark.parametrize("typed", PLAIN)
def test_what_is_no_override_is_said_plainly(typed):
    with pytest.raises(RequestError) as refused:
        check_overrides(typed.split())
    assert PLAIN[typed] in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "typed",
    [
        "activation=relu init=glorot", "activation=sigmoid,relu seed=range(3)", "experiment=null",
        "+init.extra=3", "~trainer.threads", "group='a, b'", "optimizer={lr: 3}", "pool=none",
        "seed=1 depth=2",
    ],
)  # fmt: skip
def test_what_is_right_passes(typed):
    check_overrides([typed] if "'" in typed or "{" in typed else typed.split())


@pytest.mark.parametrize(
    "typed,expected",
    [
        ("activation==relu", "expected one =, as in activation=relu"),
        ("activation=sigmoid,,relu", "expected activation=sigmoid,relu"),
        ("seed=choice(1,2", "not closed"),
        ("a:b=3", "name of a setting"),
    ],
)
def test_what_does_not_parse_is_said_plainly(typed, expected):
    with pytest.raises(RequestError, match=expected) as refused:
        compose([typed])
    assert "EOF" not in str(refused.value)


OTHER_NAMES = {
    "lr=0.1": "optimizer.lr=0.1",
    "epochs=3": "trainer.max_epochs=3",
    "batch=64": "data.batch_size=64",
    "batch_size=64": "data.batch_size=64",
    "wd=1e-4": "optimizer.weight_decay=1e-4",
    "momentum=0.9": "optimizer.momentum=0.9? those that have one: optimizer=",
    "bn=true": "norm_layer=batchnorm",
    "batchnorm=true": "norm_layer=batchnorm",
    "dataset=cifar": "data=cifar10",
    "initializer=he": "init=kaiming",
    "trainer.epochs=3": "trainer.max_epochs=3",
    "workers=2": "hydra.launcher.slots=2",
    "optimizer.momentum=0.9": "optimizer=muon, rmsprop, sgd",
    "init=he": "init=kaiming",
    "init=xavier": "init=glorot",
    "init=He-Uniform": "init=kaiming_uniform",
    "norm_layer=bn": "norm_layer=batchnorm",
    "norm_layer=LayerNorm": "norm_layer=layernorm",
    "norm_layer=gn": "norm_layer=groupnorm",
    "model=cnn": "model=plain_cnn",
    "model=vgg16": "model=vgg depth=16",
    "data=cifar": "data=cifar10",
    "data=CIFAR-10": "data=cifar10",
    "activation=swish": "activation=silu",
    "activation=LeakyReLU": "activation=leaky_relu",
    "model=relu": "activation=relu",
}


@pytest.mark.parametrize("typed", OTHER_NAMES)
def test_a_name_of_the_field_leads_to_ours(typed):
    with pytest.raises(RequestError) as refused:
        compose([typed])
    assert f"did you mean {OTHER_NAMES[typed]}" in str(refused.value) or (
        typed.startswith("optimizer.") and OTHER_NAMES[typed] in str(refused.value)
    )


def test_every_synonym_leads_to_what_there_is():
    from trainlab.config.hydra_messages import setting_names

    known = {
        *setting_names(),
        *AXIS_DESCRIPTIONS,
        "optimizer.momentum",
        "init.sigma_w2",
        "init.sigma_b2",
        "init.std",
    }
    for other, ours in synonyms.SETTING_SYNONYMS.items():
        assert ours in known or ours.startswith("hydra.launcher."), other
    for other, override in synonyms.OVERRIDE_SYNONYMS.items():
        axis, _, name = override.partition("=")
        assert name in catalogue(axis), other
    for axis, names in synonyms.OPTION_SYNONYMS.items():
        options = catalogue(axis)
        for other, ours in names.items():
            assert ours in options and other not in options, (axis, other)
