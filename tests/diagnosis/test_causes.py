"""Each cause in networks that have it and in networks that do not, really trained, across data and models."""

import pytest
from zoo import SOUND, evidence

from trainlab.diagnosis.explain import EXACT_CHECKS, diagnose, rank_findings
from trainlab.diagnosis.run_causes import RUN_CAUSES

HAVE = {
    "one_class": ("one class D", "one class S", "one class B"),
    "constant_input": ("constant D", "constant S", "constant B"),
    "diverged": ("large weights mlp D", "large weights cnn B", "sgd 1e6 mlp D"),
    "symmetric_weights": ("zeros mlp D", "zeros sigmoid cnn S", "zeros resnet B", "constant weights cnn D"),
    "input_out_of_scale": ("raw mlp D", "raw sigmoid cnn S", "faint cnn B", "offset mlp D"),
    "saturation": (
        "saturated tanh mlp D", "saturated deep tanh mlp D", "saturated hardtanh cnn S",
        "saturated softsign cnn S",
    ),
    "dead_units": ("dead mlp D", "dead cnn S", "dead lenet D", "dead resnet B"),
    "collapsed_correlation": (
        "sigmoid 12 mlp D", "sigmoid 12 mlp D, adam", "sigmoid 6 cnn S, adam", "sigmoid vgg B, adam",
        "small weights cnn S, adam",
    ),
    "no_trainable_gradient": ("all frozen mlp D", "all frozen cnn S", "cut off resnet B"),
    "vanishing_gradient": (
        "small weights cnn B", "small weights cnn S", "glorot relu 24 mlp D", "small tanh 12 mlp D",
    ),
    "exploding_gradient": ("large weights mlp D", "large weights mlp D, adam", "large weights cnn B",
                           "resnet 15 without norm B"),
    "learning_rate_too_high": (
        "sgd 10 mlp D", "sgd 3 cnn S", "adam 1 mlp D", "adam 0.3 cnn B", "sgd 30 tanh lenet D",
    ),
    "batchnorm_statistics_lag": ("slow batchnorm mlp D", "slow batchnorm cnn B", "slow batchnorm resnet B"),
    "batch_too_small": ("two images batchnorm mlp S", "two images cnn S", "two images batchnorm cnn S"),
    "learning_rate_too_low": ("sgd 1e-5 mlp D", "adam 1e-7 cnn S", "sgd 1e-4 resnet B"),
    "labels_unlearnable": ("shuffled mlp D", "shuffled cnn S", "shuffled batchnorm resnet B"),
    "overfitting": ("by heart mlp D", "by heart cnn S", "by heart cnn B"),
    "too_few_steps": ("two steps mlp D", "short cnn S", "shuffled and short D"),
    "not_known": ("short sigmoid 3 mlp D", "short sigmoid 3 mlp D, seed 1", "short sigmoid 3 mlp D, seed 2"),
    "softmax_before_loss": ("softmax mlp D", "softmax cnn S", "softmax resnet B"),
    "activation_after_last_layer": (
        "relu at the end mlp D", "relu at the end cnn S", "relu at the end resnet B",
    ),
    "layers_not_registered": ("in a list mlp D", "in a list cnn S", "in a list resnet B"),
    "gradients_add_up": ("no zero_grad mlp D", "no zero_grad cnn S, adam", "no zero_grad cnn B"),
    "batchnorm_frozen": ("frozen batchnorm mlp D", "frozen batchnorm cnn S", "frozen batchnorm resnet B"),
    "gradient_clip_too_small": ("clipped mlp D", "clipped cnn S", "clipped resnet B"),
    "schedule_decays_too_early": ("fading mlp D", "fading cnn S", "fading resnet B"),
    "weight_decay_too_strong": ("decayed mlp D", "decayed cnn S", "decayed resnet B"),
    "image_axes_scrambled": ("viewed mlp S", "viewed cnn S", "viewed resnet S"),
    "test_classes_permuted": (
        "permuted test mlp D", "permuted test cnn B", "two classes swapped mlp D",
    ),
    "test_images_in_training": (
        "copies in the test mlp D", "copies in the test cnn B", "copies in the test dead mlp D",
    ),
    "rare_class": ("rare 3 mlp D", "rare 0 cnn B", "rare 9 mlp D"),
}  # fmt: skip
"""By cause, networks of which it is the first cause (or the first that explains a divergence)."""

HAVE_NOT = {
    "one_class": ("rare class D", "mlp D", "dead cnn S"),
    "constant_input": ("offset mlp D", "faint cnn B", "dead mlp D"),
    "diverged": ("large weights mlp D, adam", "sgd 10 mlp D", "adam 0.3 cnn B"),
    "symmetric_weights": ("zero branches resnet B", "dead mlp D", "sigmoid 12 mlp D"),
    "input_out_of_scale": ("raw batchnorm cnn D", "unit scale mlp D", "large weights mlp D, adam"),
    "saturation": ("sigmoid 12 mlp D", "tanh lenet D", "dead mlp D"),
    "dead_units": ("sigmoid 12 mlp D", "one image mlp D", "constant D"),
    "collapsed_correlation": ("glorot relu 24 mlp D", "offset mlp D", "saturated tanh mlp D"),
    "no_trainable_gradient": ("zero branches resnet B", "sgd 1e-5 mlp D", "sigmoid 12 mlp D"),
    "vanishing_gradient": (
        "glorot relu 24 mlp D, adam",
        "sgd 1e-5 mlp D",
        "sigmoid 6 cnn S, adam",
        "small weights cnn S, adam",
    ),
    "exploding_gradient": ("sigmoid 12 mlp D", "sgd 10 mlp D", "faint cnn B"),
    "learning_rate_too_high": ("zero branches resnet B", "sigmoid 12 mlp D", "shuffled mlp D"),
    "batchnorm_statistics_lag": ("shuffled batchnorm resnet B", "raw batchnorm cnn D", "sigmoid 12 mlp D"),
    "batch_too_small": ("eight images mlp B", "shuffled mlp D", "short cnn S"),
    "learning_rate_too_low": ("glorot relu 24 mlp D", "dead mlp D", "all frozen mlp D"),
    "labels_unlearnable": (
        "shuffled and short D",
        "sigmoid 12 mlp D",
        "sgd 1e-5 mlp D",
        "short sigmoid 3 mlp D",
        "adam cnn S",
        "short cnn S",
        "permuted test mlp D",
        "by heart mlp D",
    ),
    "overfitting": ("by heart, validated mlp D", "mlp D", "shuffled mlp D", "permuted test mlp D"),
    "too_few_steps": ("shuffled mlp D", "dead cnn S", "sgd 3 cnn S"),
    "not_known": ("shuffled mlp D", "two steps mlp D", "dead cnn S"),
    "softmax_before_loss": ("mlp D", "relu at the end mlp D", "in a list mlp D"),
    "activation_after_last_layer": ("mlp D", "softmax mlp D", "dead mlp D"),
    "layers_not_registered": ("mlp D", "frozen first layer mlp D", "resnet 15 without norm B"),
    "gradients_add_up": ("mlp D", "sgd 10 mlp D", "large weights mlp D"),
    "batchnorm_frozen": ("batchnorm cnn D", "slow batchnorm mlp D", "all frozen mlp D"),
    "gradient_clip_too_small": ("clipped at 1 mlp D", "clipped mlp D, adam", "sgd 1e-5 mlp D"),
    "schedule_decays_too_early": ("cosine mlp D", "sgd 1e-5 mlp D", "dead mlp D", "sgd 10 mlp D"),
    "weight_decay_too_strong": ("decayed a little mlp D", "dead mlp D", "sgd 1e-5 mlp D"),
    "image_axes_scrambled": ("coloured cnn S", "cnn B", "batchnorm resnet B"),
    "test_classes_permuted": ("mlp D", "dead mlp D", "shuffled mlp D", "slow batchnorm cnn B"),
    "test_images_in_training": ("a few copies mlp D", "mlp D", "permuted test mlp D"),
    "rare_class": ("rare and found mlp D", "rare class D", "mlp D"),
}
"""By cause, networks that come near it: the same fault repaired, or another fault with the same look."""


SAID_OF_LEARNERS = {look.__name__ for look in EXACT_CHECKS} | {
    "layers_not_registered",
    "weight_decay_too_strong",
}
"""What is counted is said whatever the network came to; the rest explains why it did not learn."""


def causes(name: str) -> list[str]:
    return [finding.cause for finding in rank_findings(evidence(name))]


def test_every_cause_is_planted_at_least_three_times_and_left_out_as_often():
    assert set(HAVE) == set(HAVE_NOT) == set(RUN_CAUSES)
    assert all(len(names) >= 3 for table in (HAVE, HAVE_NOT) for names in table.values())


@pytest.mark.parametrize(("cause", "name"), [(c, n) for c, names in HAVE.items() for n in names])
def test_networks_that_have_it(cause, name):
    diagnosis = diagnose(evidence(name))
    assert diagnosis.learned is False or cause in SAID_OF_LEARNERS
    found = [f.cause for f in diagnosis.findings]
    assert (found[1] if found[0] == "diverged" != cause else found[0]) == cause, found


@pytest.mark.parametrize(("cause", "name"), [(c, n) for c, names in HAVE_NOT.items() for n in names])
def test_networks_that_do_not_have_it(cause, name):
    assert cause not in causes(name), [f.description for f in rank_findings(evidence(name))]


@pytest.mark.parametrize("name", SOUND)
def test_sound_networks_have_none(name):
    assert set(causes(name)) <= {"too_few_steps", "not_known"}
    diagnosis = diagnose(evidence(name))
    assert diagnosis.cause is None or diagnosis.level in ("not", "barely"), (
        "of a run that learned none is sought"
    )


def test_what_was_planted_is_what_keeps_them_from_learning():
    learned = [name for name in SOUND if diagnose(evidence(name)).learned]
    assert len(learned) >= len(SOUND) - 2, learned


@pytest.mark.parametrize("name", [name for names in HAVE.values() for name in names])
def test_every_finding_says_where_since_when_and_in_numbers(name):
    told = evidence(name)
    for finding in rank_findings(told):
        assert finding.numbers and finding.description and "nan" not in finding.description
        assert finding.layer is None or finding.layer in told.signals.layers
        assert finding.since_step is None or 0 <= finding.since_step < told.steps


def test_the_layer_is_the_one_that_was_spoilt():
    """Digits through a sigmoid net collapse layer by layer; the dead layer of a dead net is its first."""
    (dead,) = [f for f in rank_findings(evidence("dead mlp D")) if f.cause == "dead_units"]
    assert dead.layer == "hidden.1.linear" and dead.since_step == 0 and dead.numbers["dead"] == 1
    collapse = rank_findings(evidence("sigmoid 12 mlp D"))[0]
    assert collapse.layer is not None
    correlation = evidence("sigmoid 12 mlp D").signals.by_layer("correlation")
    before = evidence("sigmoid 12 mlp D").signals.layers.index(collapse.layer) - 1
    assert 1 - list(correlation.values())[before][0] > 1e-3 > 1 - correlation[collapse.layer][0]


def test_units_that_die_of_large_steps_stand_behind_the_steps():
    found = rank_findings(evidence("sgd 10 mlp D"))
    assert found[0].cause == "learning_rate_too_high"
    assert {f.cause for f in found[1:]} == {"dead_units", "collapsed_correlation"}
    steps = [f.since_step for f in found if f.since_step is not None]
    assert len(steps) == len(found)
    assert steps[0] == 0 < steps[1] and steps == sorted(steps)


def test_a_frozen_layer_is_named_last_and_only_where_the_network_did_not_learn():
    assert diagnose(evidence("frozen first layer mlp D")).learned is True
    found = diagnose(evidence("frozen and shuffled mlp D")).findings
    assert found[-1].cause == "no_trainable_gradient" and found[-1].layer == "hidden.1.linear"
