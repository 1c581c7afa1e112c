"""torch.nn.BatchNorm2d against a twin written from the formula."""

import pytest
import torch
from reference_batchnorm import ReferenceBatchNorm
from torch import nn

SHAPE = (6, 3, 5, 4)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    torch_bn, reference = nn.BatchNorm2d(SHAPE[1]), ReferenceBatchNorm(SHAPE[1])
    with torch.no_grad():
        torch_bn.weight.uniform_(0.5, 2)
        torch_bn.bias.normal_()
    reference.gamma_C, reference.beta_C = torch_bn.weight.detach().clone(), torch_bn.bias.detach().clone()
    return torch_bn, reference


def run(torch_bn, reference, seed):
    torch.manual_seed(seed)
    x = (3 * torch.randn(SHAPE) + 2).requires_grad_()
    g = torch.randn(SHAPE)
    torch_bn.zero_grad()
    y = torch_bn(x)
    y.backward(g)
    torch.testing.assert_close(y.detach(), reference.forward(x.detach()))
    torch.testing.assert_close(
        (x.grad, torch_bn.weight.grad, torch_bn.bias.grad), reference.backward(g), rtol=1e-4, atol=1e-5
    )
    return x


def test_forward_backward_and_running_statistics_over_several_batches(pair):
    torch_bn, reference = pair
    for seed in range(3):
        run(torch_bn, reference, seed)
        torch.testing.assert_close(torch_bn.running_mean, reference.running_mean_C)
        torch.testing.assert_close(torch_bn.running_var, reference.running_var_C)


def test_eval_uses_and_keeps_the_running_statistics(pair):
    torch_bn, reference = pair
    run(torch_bn, reference, 0)
    before = torch_bn.running_mean.clone(), torch_bn.running_var.clone()
    torch_bn.eval()
    reference.training = False
    run(torch_bn, reference, 1)
    torch.testing.assert_close((torch_bn.running_mean, torch_bn.running_var), before, rtol=0, atol=0)


def test_the_gradient_of_the_input_sums_to_zero_per_channel(pair):
    x = run(*pair, seed=0)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.sum((0, 2, 3)), torch.zeros(SHAPE[1]), rtol=0, atol=1e-4)


def test_it_does_not_see_the_scale_of_the_weights_below(pair):
    """BN(aW·u) = BN(W·u), and its gradient for aW is 1/a of that for W (Ioffe & Szegedy 2015, 3.3)."""
    torch.manual_seed(0)
    bn = nn.BatchNorm2d(4, eps=1e-12).double()
    u = torch.randn(8, 3, 6, 6, dtype=torch.float64)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64)
    g = torch.randn(8, 4, 4, 4, dtype=torch.float64)
    outputs, gradients = [], []
    for a in (1.0, 7.0):
        w = (a * weight).requires_grad_()
        y = bn(nn.functional.conv2d(u, w))
        y.backward(g)
        outputs.append(y.detach())
        gradients.append(w.grad)
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(gradients[0] / 7, gradients[1])
