"""The run in closed form, against every step by hand with the whole Jacobian."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tiny_network import flat, loss_of, measured, unflat

from trainlab.forecast.line_probe import evaluate_logits


@pytest.mark.parametrize("steps", [1, 10, 60])
def test_the_linear_run_is_that_of_the_whole_jacobian(tiny, sample, steps):
    """Every step by hand, in all 27 weights, with the Jacobian of every logit."""
    lr = 0.3
    found = measured(tiny, sample, partial(torch.optim.SGD, lr=lr), steps).linearized
    theta = flat(tiny.weights)

    def jacobian(x_NCHW):
        return torch.autograd.functional.jacobian(
            lambda vector: tiny.forward(x_NCHW, unflat(vector, tiny.weights)), theta
        ).flatten(0, 1)

    x_A = torch.cat([sample.first.x_NCHW, sample.second.x_NCHW])
    y_A = torch.cat([sample.first.y_N, sample.second.y_N])
    J_A, J_B = jacobian(x_A), jacobian(sample.held_out.x_NCHW)
    f_A, f_B = tiny.forward(x_A), tiny.forward(sample.held_out.x_NCHW)
    moved_by = torch.zeros_like(theta)
    for _ in range(steps):
        logits_AK = f_A + (J_A @ moved_by).view_as(f_A)
        pull_AK = logits_AK.softmax(1) - F.one_hot(y_A, 3)
        moved_by = moved_by - lr * J_A.T @ pull_AK.flatten() / len(y_A)
    end_AK, end_BK = f_A + (J_A @ moved_by).view_as(f_A), f_B + (J_B @ moved_by).view_as(f_B)
    expected = evaluate_logits(steps, end_BK, f_B, sample.held_out.y_N)
    assert found is not None
    assert found.fit_loss == pytest.approx(float(F.cross_entropy(end_AK, y_A)), abs=0.01)
    assert found.end.loss == pytest.approx(expected.loss, abs=0.02)
    assert found.end.change_rms == pytest.approx(expected.change_rms, rel=0.05)
    largest = float(torch.linalg.eigvalsh(J_A @ J_A.T)[-1]) * lr / len(y_A)
    assert 0.8 * largest < found.kernel <= largest * (1 + 1e-6)


def test_a_long_linear_run_takes_longer_strides(tiny, sample):
    """A thousand strides for ten thousand steps come to the same as ten thousand steps."""
    rate = partial(torch.optim.SGD, lr=0.003)
    long = measured(tiny, sample, rate, 10_000).linearized
    quick = measured(tiny, sample, partial(torch.optim.SGD, lr=0.03), 1000).linearized
    assert long is not None and quick is not None
    assert long.fit_loss == pytest.approx(quick.fit_loss, abs=2e-3)
    assert long.end.change_rms == pytest.approx(quick.end.change_rms, rel=0.02)


def test_adam_is_linear_with_steps_of_its_own_size(tiny, sample):
    """With D = lr/|g| the first step moves the logits by J D g, with |g| over both parts."""
    lr = 1e-4
    found = measured(tiny, sample, partial(torch.optim.Adam, lr=lr), 1).linearized
    theta, parts = flat(tiny.weights), (sample.first, sample.second)
    g = [torch.autograd.functional.jacobian(loss_of(tiny, part), theta) for part in parts]
    D = lr / ((g[0] ** 2 + g[1] ** 2) / 2).sqrt()
    step = -D * (g[0] + g[1]) / 2
    change = torch.autograd.functional.jvp(
        lambda vector: tiny.forward(sample.held_out.x_NCHW, unflat(vector, tiny.weights)), theta, step
    )[1]
    assert found is not None
    assert found.end.change_rms == pytest.approx(
        float((change - change.mean(0)).square().mean().sqrt()), rel=0.01
    )
