"""What holds of every cause: it can be found, its remedy is a command that exists, and no rate is absurd."""

import pytest
from test_causes import HAVE
from zoo import SOUND, evidence

from trainlab.config import compose
from trainlab.config.options import catalogue
from trainlab.diagnosis.causes.step_size import (
    HIGHEST_RATE_FACTOR,
    HIGHEST_UNKNOWN_RATE,
    USUAL_RATES,
    higher_rate,
)
from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.diagnosis.explain import CHECKS, EXACT_CHECKS, FALLBACK_CHECKS, diagnose
from trainlab.diagnosis.remedy import suggest_remedy
from trainlab.diagnosis.run_causes import RUN_CAUSES

LAST = {"labels_unlearnable", "overfitting", "too_few_steps", "not_known"}


@pytest.mark.parametrize("cause", RUN_CAUSES)
def test_each_cause_is_found_on_some_evidence_and_on_no_sound_run(cause):
    assert any(cause in [f.cause for f in diagnose(evidence(name)).findings] for name in HAVE[cause])
    if cause not in (
        "too_few_steps",
        "not_known",
    ):  # that a sound run was short, or why it was slow, may be said
        assert not any(cause in [f.cause for f in diagnose(evidence(name)).findings] for name in SOUND)


def test_every_cause_is_asked_for_once_and_what_is_exact_is_part_of_the_story():
    asked = [look.__name__ for look in (*CHECKS, *FALLBACK_CHECKS)]
    assert len(asked) == len(set(asked)) and set(EXACT_CHECKS) <= set(CHECKS)
    assert {look.__name__ for look in FALLBACK_CHECKS} == LAST
    assert set(asked) - {"some_without_gradient"} == set(RUN_CAUSES)


SETUPS = {
    "plain": [],
    "slow sgd": ["optimizer=sgd", "optimizer.lr=1e-7"],
    "fast sgd": ["optimizer=sgd", "optimizer.lr=0.5", "trainer.gradient_clip=1e-4"],
    "batchnorm that lags": ["norm_layer=batchnorm", "norm_layer.layer.momentum=0.01", "data.batch_size=2"],
    "decayed": ["optimizer=adamw", "optimizer.weight_decay=0.5", "scheduler=step", "trainer.max_steps=100"],
    "lenet5": ["model=lenet5", "scheduler=cosine", "optimizer=rmsprop", "augment=flip_crop"],
}


@pytest.mark.parametrize("overrides", SETUPS.values(), ids=SETUPS)
def test_remedies_compose_and_never_ask_for_an_absurd_rate(overrides):
    setup = SettingsSummary.from_settings(compose(overrides))
    assert setup.lr is not None
    for name in RUN_CAUSES:
        change = suggest_remedy(name, setup, steps_factor=3.4)
        if change is None:
            continue
        after = compose([*overrides, *change.split()])
        usual = USUAL_RATES[after.axes["optimizer"]]
        assert after.optimizer.lr <= max(setup.lr, HIGHEST_RATE_FACTOR * usual), change


@pytest.mark.parametrize("optimizer", USUAL_RATES)
def test_the_usual_rates_are_those_of_the_options(optimizer):
    assert optimizer in catalogue("optimizer")
    assert compose([f"optimizer={optimizer}"]).optimizer.lr == USUAL_RATES[optimizer]


def test_a_rate_that_is_as_high_as_its_optimizer_bears_is_not_raised():
    of = lambda lr, name="sgd": higher_rate(SettingsSummary(axes={"optimizer": name}, lr=lr))  # noqa: E731
    assert (of(1e-7), of(1e-3), of(0.02), of(0.06), of(5.0)) == (0.01, 0.01, 0.1, None, None)
    assert of(1e-6, "adam") == 1e-3 and of(0.1, "adam") is None
    assert (
        higher_rate(SettingsSummary(lr=1e-9), factor=1e12) == HIGHEST_UNKNOWN_RATE
        and higher_rate(SettingsSummary()) is None
    )


@pytest.mark.parametrize(
    ("cause", "overrides", "expected"),
    [
        ("gradient_clip_too_small", ["trainer.gradient_clip=1e-4"], "trainer.gradient_clip=1.0"),
        ("schedule_decays_too_early", ["scheduler=step"], "scheduler=constant"),
        ("weight_decay_too_strong", ["optimizer.weight_decay=0.1"], "optimizer.weight_decay=0.0"),
        (
            "batchnorm_statistics_lag", ["norm_layer=batchnorm", "norm_layer.layer.momentum=0.01"],
            "norm_layer.layer.momentum=0.1",
        ),
        ("collapsed_correlation", ["norm_layer=batchnorm"], "init=orthogonal"),
        ("batchnorm_frozen", ["norm_layer=batchnorm"], None),
        ("labels_unlearnable", [], None),
    ],
)  # fmt: skip
def test_the_remedy_is_of_the_cause(cause, overrides, expected):
    assert suggest_remedy(cause, SettingsSummary.from_settings(compose(overrides))) == expected


def test_frozen_layers_have_no_setting_that_thaws_them():
    found = diagnose(evidence("all frozen mlp D"))
    assert found.cause is not None
    assert (
        found.cause.numbers["layers_frozen"] == 4
        and "frozen" in found.cause.description
        and found.remedies == {}
    )
