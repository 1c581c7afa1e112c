"""Stopping early: never what would learn, soon what cannot."""

from dataclasses import replace

import pytest
from zoo import SOUND, evidence

from trainlab.diagnosis.evidence import Evidence, RecordedSignals
from trainlab.diagnosis.explain import diagnose
from trainlab.training.pruning import FEWEST_STEPS, reason_to_stop

HOPELESS = {
    "dead mlp D": "dead_units", "dead cnn S": "dead_units", "zeros mlp D": "symmetric_weights",
    "zeros resnet B": "symmetric_weights", "all frozen mlp D": "no_trainable_gradient",
    "constant S": "constant_input", "sigmoid 12 mlp D": "collapsed_correlation",
}  # fmt: skip


def so_far(name: str, steps: int) -> Evidence:
    """What was known after the first `steps` steps: no test, no later measurement."""
    whole = evidence(name)
    table = {
        layer: {
            quantity: {step: value for step, value in series.items() if step < steps}
            for quantity, series in of.items()
        }
        for layer, of in whole.signals.table.items()
    }
    losses = {step: loss for step, loss in whole.losses.items() if step < steps}
    return replace(whole, signals=RecordedSignals(table), losses=losses, confusion_KK=None, metrics={})


@pytest.mark.parametrize(("name", "cause"), HOPELESS.items())
def test_what_cannot_learn_is_stopped_with_its_reason(name, cause):
    reason = reason_to_stop(so_far(name, 55), step=55, total_steps=200)
    assert reason and reason.startswith(f"{cause} at step 55: ")


@pytest.mark.parametrize("name", (*SOUND, "glorot relu 24 mlp D, adam", "raw mlp D"))
def test_nothing_that_learned_is_stopped_at_any_step(name):
    whole = evidence(name)
    if diagnose(whole).learned:
        for steps in range(FEWEST_STEPS, whole.steps + 1, 5):
            assert reason_to_stop(so_far(name, steps), steps, whole.steps) is None


@pytest.mark.parametrize("name", ["short sigmoid 3 mlp D", "shuffled mlp D", "sgd 1e-5 mlp D", "faint cnn B"])
def test_what_may_only_be_slow_goes_on(name):
    assert reason_to_stop(so_far(name, 60), step=60, total_steps=200) is None


def test_no_run_is_judged_before_its_fair_share():
    known = so_far("dead mlp D", 60)
    assert reason_to_stop(known, step=FEWEST_STEPS - 1, total_steps=60) is None
    assert reason_to_stop(known, step=60, total_steps=301) is None
    assert reason_to_stop(known, step=60, total_steps=300) is not None


def test_without_signals_or_losses_there_is_no_reason():
    known = so_far("dead mlp D", 60)
    assert reason_to_stop(replace(known, signals=RecordedSignals()), 60, 100) is None
    assert reason_to_stop(replace(known, losses={}), 60, 100) is None
    assert reason_to_stop(so_far("sgd 1e6 mlp D", 20), 60, 100) is None, "it ends by itself"
