"""A stack and the single networks that it is made of, side by side: outputs, gradients, state."""

import copy

import torch
from model_options import network

RUNS, IMAGES = 3, 4


def networks(model, *, runs=RUNS, **options):
    """The same architecture with other random weights in each run, biases and norm layers too, in float64."""
    made = []
    for seed in range(runs):
        torch.manual_seed(seed)
        net = network(model, **options).double()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        made.append(net)
    return made


def batch(runs=RUNS, images=IMAGES, shape=(1, 32, 32), dtype=torch.float64):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(runs, images, *shape, generator=generator, dtype=dtype)


def in_memory_as(order, x_BNCHW):
    """The same numbers, which lie in memory in another order of the dimensions."""
    back = [order.index(dim) for dim in range(5)]
    return x_BNCHW.permute(order).contiguous().permute(back)


LAYOUTS = {
    "BNCHW": (0, 1, 2, 3, 4),
    "BNHWC": (0, 1, 3, 4, 2),
    "NBCHW": (1, 0, 2, 3, 4),
    "NHWBC": (1, 3, 4, 0, 2),
    "BCNHW": (0, 2, 1, 3, 4),
    "HWNBC": (3, 4, 1, 0, 2),
}
"""Orders of the dimensions in memory."""


def assert_equals_singles(stack, singles, x_BNCHW, *, training=True, atol=1e-9, rtol=0.0):
    """Outputs, gradients of parameters and input, and state of each run are those of the run alone."""
    singles = [copy.deepcopy(single).train(training) for single in singles]
    stack.train(training).zero_grad()
    seeds_B = [100 + run for run in range(len(singles))]
    stack.seed_dropout(seeds_B)
    x_BNCHW = x_BNCHW.clone().requires_grad_()
    y_BNK = stack(x_BNCHW)
    dy_BNK = torch.randn(y_BNK.shape, generator=torch.Generator().manual_seed(3), dtype=y_BNK.dtype)
    (y_BNK * dy_BNK).sum().backward()
    gradients = {name: p.grad for name, p in stack.named_parameters()}
    for run, single in enumerate(singles):
        x_NCHW = x_BNCHW[run].detach().clone().requires_grad_()
        torch.manual_seed(seeds_B[run])
        y_NK = single(x_NCHW)
        (y_NK * dy_BNK[run]).sum().backward()
        close = {"rtol": rtol, "atol": atol}
        torch.testing.assert_close(y_BNK[run], y_NK, **close)
        torch.testing.assert_close(x_BNCHW.grad[run], x_NCHW.grad, **close)
        assert gradients.keys() == {name for name, _ in single.named_parameters()}
        for name, parameter in single.named_parameters():
            if not parameter.requires_grad:  # fixed, in the stack as well
                assert gradients[name] is None and parameter.grad is None
                continue
            torch.testing.assert_close(gradients[name][run], parameter.grad, **close)
        state, expected = stack.state_of_run(run), single.state_dict()
        assert list(state) == list(expected)
        for name, tensor in expected.items():
            torch.testing.assert_close(state[name], tensor, **close)
