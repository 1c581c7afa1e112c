"""The Triton kernels of 2 × 2 pooling against torch's, to the bit.

The kernels need a GPU, or Triton's interpreter, which must be asked for before they are imported: without a
GPU this file runs itself in a process of its own with TRITON_INTERPRET=1.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytest.importorskip("triton")

from trainlab.stacked import triton_pooling  # after the check for triton
from trainlab.stacked.layers import StackedPool
from trainlab.stacked.triton_pooling import memory_block, pool_2x2, why_not_pooled

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
    "HWBNC": (3, 4, 0, 1, 2),
}
SHAPES = {
    "even": (2, 3, 4, 6, 8),
    "odd": (3, 2, 5, 7, 5),
    "small": (2, 1, 1, 2, 3),
    "blocks": (2, 3, 16, 8, 12),
}
FUNCTIONS = {"max": F.max_pool2d, "mean": F.avg_pool2d}


def laid(x, order):
    """x in memory as `order` says."""
    dims = ORDERS[order]
    return x.permute(dims).contiguous().permute([dims.index(d) for d in range(5)])


def planted(shape, order, dtype=torch.float32):
    """Few different numbers, so that windows hold equal ones; some infinite, some NaN."""
    generator = torch.Generator().manual_seed(1)
    few = torch.tensor([0, 1, -1, 2, 3, float("nan"), float("-inf"), float("inf")])
    x = few[torch.randint(len(few), shape, generator=generator)]
    return laid(x.to(DEVICE, dtype), order).requires_grad_()


def assert_bits(got, expected):
    assert torch.equal(got.isnan(), expected.isnan())
    assert torch.equal(got.nan_to_num(), expected.nan_to_num())


@needs_kernels
@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_torch(shape, order, kind):
    for dtype in (torch.float32, torch.float16):
        x = planted(SHAPES[shape], order, dtype)
        assert why_not_pooled(x, kind) is None
        y = pool_2x2(x, kind)
        expected = FUNCTIONS[kind](x.flatten(0, 1), 2).unflatten(0, x.shape[:2])
        assert_bits(y, expected)
        dy = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).to(y)
        assert memory_block(y) is None or memory_block(y)[3] == memory_block(x)[3], "in x's order of memory"
        for gradient in (dy, laid(dy, order), dy[:1, :1, :1].expand_as(dy)):
            got, right = (torch.autograd.grad(out, [x], gradient, retain_graph=True) for out in (y, expected))
            assert got[0].stride() == x.stride()
            assert_bits(got[0], right[0])


@needs_kernels
@pytest.mark.parametrize("kind", FUNCTIONS)
def test_second_derivatives_are_those_of_torch(kind):
    x = torch.randn(2, 2, 3, 5, 4, generator=torch.Generator().manual_seed(1)).to(DEVICE).requires_grad_()
    outcomes = []
    for y in (pool_2x2(x, kind), FUNCTIONS[kind](x.flatten(0, 1), 2)):
        (slope,) = torch.autograd.grad(y.pow(3).sum(), [x], create_graph=True)
        outcomes.append(torch.autograd.grad(slope.square().sum(), [x])[0])
    torch.testing.assert_close(*outcomes)


@needs_kernels
def test_kernels_that_differ_from_torch_are_left_out(monkeypatch):
    monkeypatch.setattr(triton_pooling, "_differences", {})
    wrong = lambda x, kind: F.avg_pool2d(x.flatten(0, 1), 2).unflatten(0, x.shape[:2])  # noqa: E731
    monkeypatch.setattr(triton_pooling, "pool_2x2", wrong)
    x = planted(SHAPES["even"], "NBCHW")
    assert why_not_pooled(x, "max") == "y of a pooling differs from torch's"
    monkeypatch.undo()
    assert why_not_pooled(x, "max") is None


def test_memory_is_seen_as_pixels_of_planes():
    x = torch.zeros(2, 3, 4, 6, 8)
    assert memory_block(laid(x, "NBCHW")) == (24, 6, 8, 1)
    assert memory_block(laid(x, "BNHWC")) == (6, 6, 8, 4)
    assert memory_block(laid(x, "NHWBC")) == (3, 6, 8, 8)
    assert memory_block(x[..., :7]) is None, "gaps"
    assert memory_block(x.transpose(3, 4)) is None, "columns before rows"
    assert memory_block(x[..., :1]) is None, "no whole window"
    assert memory_block(x[:0]) is None


def test_what_the_kernels_do_not_pool_is_said():
    x = torch.zeros(2, 3, 4, 6, 8)
    assert why_not_pooled(x.double(), "max") == "dtype torch.float64"
    assert why_not_pooled(x[..., ::2], "max") == "strides (576, 192, 48, 8, 2) of shape (2, 3, 4, 6, 4)"


@pytest.mark.parametrize(
    ("pool", "kind"),
    [
        (nn.MaxPool2d(2), "max"),
        (nn.AvgPool2d((2, 2), stride=(2, 2)), "mean"),
        (nn.MaxPool2d(3, 2), None),
        (nn.MaxPool2d(2, 1), None),
        (nn.MaxPool2d(2, padding=1), None),
        (nn.MaxPool2d(2, dilation=2), None),
        (nn.MaxPool2d(2, ceil_mode=True), None),
        (nn.MaxPool2d(2, return_indices=True), None),
        (nn.AvgPool2d(2, divisor_override=3), None),
    ],
)
def test_which_pools_are_2_by_2(pool, kind):
    stacked = StackedPool([pool, pool])
    assert stacked.pooled == kind
    if not getattr(pool, "return_indices", False):
        x = torch.randn(2, 3, 4, 6, 8)
        assert torch.equal(stacked(x), pool(x.flatten(0, 1)).unflatten(0, (2, 3)))
        assert stacked.why_not == ("not on a GPU" if kind else "no 2 × 2 windows side by side")


@pytest.mark.skipif(INTERPRETED or DEVICE == "cuda", reason="the tests above run the kernels here")
def test_the_kernels_by_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", __file__]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 skipped" in done.stdout  # this test
