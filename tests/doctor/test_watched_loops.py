"""A watched loop is the loop itself: its losses and weights are the same to the bit, whatever the loop is."""

import pytest
import torch
from loops import ARCHITECTURES, LOOPS

import trainlab
from trainlab.doctor import backward_calls

FINDINGS = {("unfrozen_on_the_way", "cnn"): ("frozen_batchnorm_moves",)}
"""What is true of these loops."""


def train(architecture: str, loop: str, *, watched: bool) -> tuple[list[float], dict, torch.Tensor, list]:
    torch.manual_seed(0)
    network, watches = ARCHITECTURES[architecture](), []

    def watch(network, optimizer):
        if watched:
            watches.append(trainlab.watch(network, optimizer, runs=None, budget=100))

    losses = LOOPS[loop](network, watch)
    return losses, network.state_dict(), torch.get_rng_state(), watches


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("loop", LOOPS)
def test_losses_and_weights_are_the_same_to_the_bit(loop, architecture, capsys):
    losses, weights, state, _ = train(architecture, loop, watched=False)
    seen, watched_weights, watched_state, watches = train(architecture, loop, watched=True)
    (watch,) = watches
    told, expected = capsys.readouterr().err.splitlines(), FINDINGS.get((loop, architecture), ())
    assert len(told) == len(expected), told
    assert all(cause.replace("_", " ") in line for line, cause in zip(told, expected, strict=True))
    assert watch.is_running and watch.measured_steps >= 3
    assert seen == losses
    assert all(torch.equal(weights[name], watched_weights[name]) for name in weights)
    assert torch.equal(state, watched_state), "no random number is drawn"
    report = watch.explain()
    assert set(report.causes) <= set(expected), report
    watch.stop()
    assert not backward_calls.is_listening()
    assert_no_hook()


def assert_no_hook() -> None:
    module = torch.nn.modules.module
    assert not module._has_any_global_hook()


@pytest.mark.parametrize("loop", LOOPS)
def test_the_losses_of_the_loop_are_recorded(loop):
    losses, _, _, (watch,) = train("cnn", loop, watched=True)
    recorded = list(watch.losses.values())
    watch.stop()
    if loop == "accumulated":
        losses = [sum(losses[k : k + 2]) for k in range(0, len(losses), 2)]
    elif loop == "evaluated_between":
        losses = losses[1::2]
    elif loop == "gradients_by_hand":
        losses = []  # no backward pass shows a loss
    elif loop == "two_losses":
        assert len(recorded) == len(losses) and all(a > b for a, b in zip(recorded, losses, strict=True))
        return
    assert recorded == pytest.approx(losses, rel=1e-6)
