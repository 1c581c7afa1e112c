"""The Triton kernels of stacked convolutions against torch's convolution of each run.

The kernels need a GPU, or Triton's interpreter, which must be asked for before they are imported: without a
GPU this file runs itself in a process of its own with TRITON_INTERPRET=1.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch.nn import functional as F

pytest.importorskip("triton")

from trainlab.stacked.triton_convolution import is_supported, stacked_conv2d  # after the check for triton

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"
needs_kernels = pytest.mark.skipif(
    DEVICE == "cpu" and not INTERPRETED, reason="neither a GPU nor the interpreter"
)

ORDERS = {
    "BNCHW": (0, 1, 2, 3, 4),
    "NBCHW": (1, 0, 2, 3, 4),
    "BCNHW": (0, 2, 1, 3, 4),
    "BNHWC": (0, 1, 3, 4, 2),
    "NHWBC": (1, 3, 4, 0, 2),
}
# B, N, C, H, W, O, kernel, stride, padding
SHAPES = {
    "LeNet-5 C1": (2, 3, 1, 7, 6, 6, 5, 1, 2),
    "one run, LeNet-5 C3": (1, 2, 6, 9, 8, 5, 5, 1, 0),
    "color": (3, 2, 3, 8, 9, 16, 3, 1, 1),
    "16 channels": (3, 2, 16, 6, 5, 32, 3, 1, 1),
    "odd channels, stride 2": (2, 2, 17, 6, 5, 20, 3, 2, 1),
    "many maps, stride 2": (2, 1, 32, 5, 5, 70, 3, 2, 1),
    "few channels, stride 2": (2, 3, 4, 9, 7, 1, 3, 2, 0),
    "1 × 1": (2, 2, 8, 7, 7, 4, 1, 2, 0),
    "wide padding": (2, 2, 2, 5, 6, 3, 3, 1, 3),
    "even kernel": (1, 3, 1, 8, 8, 1, 2, 1, 1),
    "one position": (2, 3, 16, 5, 5, 12, 5, 1, 0),
    "one pixel": (1, 1, 5, 1, 1, 3, 1, 1, 0),
}
QUICK = [
    ("LeNet-5 C1", "BNCHW"), ("one run, LeNet-5 C3", "NBCHW"), ("16 channels", "NBCHW"),
    ("odd channels, stride 2", "BNHWC"), ("wide padding", "BCNHW"), ("one position", "NBCHW"),
]  # fmt: skip
ALL = [(shape, order) for shape in SHAPES for order in ORDERS if (shape, order) not in QUICK]


@pytest.fixture(autouse=True)
def float32_whole():
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def laid(x, order):
    """x in memory as `order` says."""
    dims = ORDERS[order]
    return x.permute(dims).contiguous().permute([dims.index(d) for d in range(5)])


def planted(shape, order="BNCHW", dtype=torch.float32):
    """(x, weight, bias) of a stack, and (stride, padding)."""
    B, N, C, H, W, O, k, stride, padding = SHAPES[shape]  # noqa: E741
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(B, N, C, H, W, generator=generator)
    weight = torch.randn(B, O, C, k, k, generator=generator) / (C * k * k) ** 0.5
    bias = torch.randn(B, O, generator=generator)
    tensors = [t.to(DEVICE, dtype) for t in (x, weight, bias)]
    tensors[0] = laid(tensors[0], order)
    return [t.requires_grad_() for t in tensors], ((stride, stride), (padding, padding))


def run_by_run(x, weight, bias, stride, padding):
    biases = [None] * len(x) if bias is None else bias
    return torch.stack([F.conv2d(*run, stride, padding) for run in zip(x, weight, biases, strict=True)])


def convolved(tensors, geometry):
    x, weight, bias = tensors
    return stacked_conv2d(x, weight, bias, *geometry)


def assert_near(got, expected, relative=1e-5):
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= relative * b.abs().max() + 1e-7


def assert_equal_to_single_runs(shape, order):
    (x, weight, bias), geometry = planted(shape, order)
    assert is_supported(x, weight, *geometry)
    y = stacked_conv2d(x, weight, bias, *geometry)
    expected = run_by_run(x, weight, bias, *geometry)
    dy = laid(torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE), order)
    assert_near([y], [expected])
    wanted = [x, weight, bias]
    assert_near(torch.autograd.grad(y, wanted, dy), torch.autograd.grad(expected, wanted, dy))


@needs_kernels
@pytest.mark.parametrize(("shape", "order"), QUICK)
def test_values_and_gradients_are_those_of_each_run(shape, order):
    assert_equal_to_single_runs(shape, order)


@needs_kernels
@pytest.mark.slow
@pytest.mark.parametrize(("shape", "order"), ALL)
def test_values_and_gradients_in_every_layout(shape, order):
    assert_equal_to_single_runs(shape, order)


@needs_kernels
def test_without_bias_and_with_a_gradient_that_is_one_number_expanded():
    (x, weight, _), geometry = planted("color", "NBCHW")
    x = x.detach()
    (got,) = torch.autograd.grad(stacked_conv2d(x, weight, None, *geometry).sum(), [weight])
    (expected,) = torch.autograd.grad(run_by_run(x, weight, None, *geometry).sum(), [weight])
    assert_near([got], [expected])


@needs_kernels
def test_channels_last_is_the_memory_of_the_result_and_the_same_numbers():
    (x, weight, bias), geometry = planted("16 channels", "NBCHW")
    y = stacked_conv2d(x, weight, bias, *geometry, channels_last=True)
    assert y.stride(2) == 1
    expected = run_by_run(x, weight, bias, *geometry)
    assert_near([y], [expected])
    assert_near(torch.autograd.grad(y.square().sum(), [x]), torch.autograd.grad(expected.square().sum(), [x]))


@needs_kernels
def test_a_neighbour_of_nan_changes_no_bit():
    (x, weight, bias), geometry = planted("color", "NBCHW")
    outcomes = []
    for broken in (False, True):
        tensors = [t.detach().clone() for t in (x, weight, bias)]
        if broken:
            for t in tensors:
                t[1] = float("nan")
        tensors = [t.requires_grad_() for t in tensors]
        y = convolved(tensors, geometry)
        outcomes.append([y, *torch.autograd.grad(y.square().sum(), tensors)])
    for whole, beside_nan in zip(*outcomes, strict=True):
        assert torch.equal(whole[[0, 2]], beside_nan[[0, 2]])
        assert beside_nan[1].isnan().all()


@needs_kernels
def test_the_place_in_the_stack_changes_no_bit():
    tensors, geometry = planted("16 channels", "BNHWC")
    turned = [t.detach().roll(1, 0).requires_grad_() for t in tensors]
    turned[0] = laid(turned[0].detach(), "BNHWC").requires_grad_()
    outcomes = []
    for stack in (tensors, turned):
        y = convolved(stack, geometry)
        outcomes.append([y, *torch.autograd.grad(y.square().sum(), stack)])
    for as_planted, moved in zip(*outcomes, strict=True):
        assert torch.equal(as_planted.roll(1, 0), moved)


@needs_kernels
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float16,
        pytest.param(torch.bfloat16, marks=pytest.mark.skipif(INTERPRETED, reason="numpy has none")),
    ],
)
def test_half_precision_sums_in_float32(dtype):
    tensors, geometry = planted("16 channels", "BNHWC", dtype)
    y = convolved(tensors, geometry)
    exact = [t.detach().float().requires_grad_() for t in tensors]
    expected = run_by_run(exact[0], exact[1], exact[2], *geometry)
    dy = torch.ones_like(y)
    assert y.dtype == dtype
    assert_near([y.float()], [expected], relative=torch.finfo(dtype).eps)
    got = [g.float() for g in torch.autograd.grad(y, tensors, dy)]
    assert_near(got, torch.autograd.grad(expected, exact, dy.float()), relative=torch.finfo(dtype).eps)


@needs_kernels
def test_second_derivatives_are_those_of_torch():
    (x, weight, bias), geometry = planted("one run, LeNet-5 C3")
    outcomes = []
    for function in (stacked_conv2d, run_by_run):
        y = function(x, weight, bias, *geometry)
        (slope,) = torch.autograd.grad(y.pow(3).sum(), [weight], create_graph=True)
        outcomes.append(torch.autograd.grad(slope.square().sum(), [x, weight]))
    assert_near(*outcomes)


def test_what_the_kernels_do_not_compute_is_said():
    (x, weight, _), (stride, padding) = planted("color")
    assert is_supported(x, weight, stride, padding)
    assert not is_supported(x.double(), weight.double(), stride, padding)
    assert not is_supported(x, weight.bfloat16(), stride, padding)
    assert not is_supported(x, weight, (3, 3), padding)
    assert not is_supported(x[:, :, :1], weight, stride, padding)
    assert not is_supported(x[..., :2, :2], weight, stride, (0, 0))


@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="the tests above run the kernels here")
def test_the_kernels_by_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "2 skipped" in done.stdout  # this test and bfloat16


@needs_kernels
@pytest.mark.parametrize(
    ("shape", "order"), [("LeNet-5 C1", "BNCHW"), ("color", "BNHWC"), ("even kernel", "NBCHW")]
)
def test_without_matrix_units_the_numbers_are_the_same(monkeypatch, shape, order):
    """The options for a first layer, which on a GPU are chosen where they are the fastest."""
    taken = []

    def take_direct(key, options, launch, x):
        direct = [blocks for blocks in options if blocks.is_direct]
        taken.append(len(direct))
        return launch((direct or options)[0])

    monkeypatch.setattr("trainlab.stacked.triton_convolution.run_fastest", take_direct)
    (x, weight, bias), geometry = planted(shape, order)
    x = x.detach()
    y = stacked_conv2d(x, weight, bias, *geometry)
    expected = run_by_run(x, weight, bias, *geometry)
    dy = torch.randn(expected.shape, generator=torch.Generator().manual_seed(2)).to(DEVICE)
    found = torch.autograd.grad(y, (weight, bias), laid(dy, order))
    wanted = torch.autograd.grad(expected, (weight, bias), dy)
    torch.testing.assert_close((y, *found), (expected, *wanted), rtol=1e-4, atol=1e-5)
    assert taken == [1, 1]
