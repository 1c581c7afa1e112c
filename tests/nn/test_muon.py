"""Muon: orthogonal within its known band, batched as one by one, SGD where there is no matrix."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainlab.errors import RequestError
from trainlab.nn.muon import FIVE_STEPS_BAND, Muon, orthogonalize, orthogonalize_all
from trainlab.nn.scaled_bias_sgd import ScaledBiasSGD


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), seed=st.integers(0, 1000))
def test_singular_values_come_near_one_and_their_vectors_stay(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    n = min(rows, columns)
    u, _ = torch.linalg.qr(torch.randn(rows, n, generator=generator, dtype=torch.float64))
    v, _ = torch.linalg.qr(torch.randn(columns, n, generator=generator, dtype=torch.float64))
    values = 0.05 + torch.rand(n, generator=generator, dtype=torch.float64)
    out = orthogonalize(((u * values) @ v.T)[None], steps=5)[0]
    turned = u.T @ out @ v
    lowest, highest = FIVE_STEPS_BAND
    assert ((turned.diagonal() > lowest) & (turned.diagonal() < highest)).all()
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-9
    assert torch.allclose(u @ turned @ v.T, out)


def test_the_band_is_that_of_the_polynomial_on_its_range():
    """One by one, without any matrix: p applied five times to every value of the range."""
    x = torch.linspace(0.01, 1, 20_000, dtype=torch.float64)
    for _ in range(5):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    lowest, highest = FIVE_STEPS_BAND
    assert lowest < x.min() < lowest + 0.02 and highest - 0.02 < x.max() < highest


def test_batched_is_one_by_one_and_shapes_come_back():
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 3, 3, 3), (4, 5), (8, 27), (8, 3, 3, 3), (5, 4), (1, 7)]
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    together = orthogonalize_all(tensors)
    for tensor, done in zip(tensors, together, strict=True):
        alone = orthogonalize(tensor.flatten(1)[None])[0].reshape(tensor.shape)
        assert done.shape == tensor.shape and torch.allclose(done, alone, atol=1e-12)


def test_a_matrix_of_zeros_stays_zero_and_scale_does_not_matter():
    assert not orthogonalize(torch.zeros(2, 3, 4)).any()
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.allclose(orthogonalize(x), orthogonalize(1e-3 * x), atol=1e-3)


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(0)
    shapes = [(6, 3, 3, 3), (6,), (6, 6, 3, 3), (6,), (10, 6), (10,)]
    return [nn.Parameter(torch.randn(shape, dtype=torch.float64)) for shape in shapes]


def steps(optimizer, own, count=4):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        for parameter in own:
            parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        optimizer.step()


def test_output_layer_and_vectors_are_stepped_as_torch_steps_them():
    own, theirs = parameters(), parameters()
    steps(Muon(own, output_lr=0.1, vector_lr=0.3, sgd_momentum=0.8, sgd_decay_per_step=0.01), own)
    groups = [
        {"params": [theirs[4]], "lr": 0.1, "weight_decay": 0.1},
        {"params": [theirs[i] for i in (1, 3, 5)], "lr": 0.3, "weight_decay": 0.01 / 0.3},
    ]
    steps(torch.optim.SGD(groups, momentum=0.8, nesterov=True), theirs)
    for i in (1, 3, 4, 5):
        assert torch.allclose(own[i], theirs[i], rtol=1e-12)
    assert not torch.allclose(own[0], theirs[0])


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
def test_hidden_matrices_are_stepped_as_torch_steps_them():
    torch.manual_seed(0)
    start = [torch.randn(12, 5), torch.randn(5, 12), torch.randn(3, 5)]
    own, theirs = ([nn.Parameter(t.clone()) for t in start] for _ in range(2))
    steps_of = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    ours = Muon(own, **steps_of)
    torchs = torch.optim.Muon(theirs[:2], **steps_of)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        for a, b in zip(own, theirs, strict=True):
            a.grad = b.grad = torch.randn(a.shape, generator=generator)
        ours.step()
        torchs.step()
    moved = [(a - s).norm() for a, s in zip(own, start, strict=True)]
    # torch keeps a running mean of the gradients, which orthogonalization makes equal, in bfloat16
    for a, b, size in zip(own[:2], theirs[:2], moved[:2], strict=True):
        assert (a - b).norm() < 0.05 * size


def test_weights_can_be_brought_to_one_norm():
    own = parameters()
    optimizer = Muon(own, lr=1e-9, normalize_weights=True)
    steps(optimizer, own, count=1)
    assert own[0].norm().item() == pytest.approx(6**0.5) and own[2].norm().item() == pytest.approx(6**0.5)


def test_its_state_goes_on_where_it_was_saved():
    whole, halves = parameters(), parameters()
    uninterrupted, first, second = Muon(whole), Muon(halves), Muon(halves)
    steps(uninterrupted, whole, 2)
    steps(uninterrupted, whole, 2)
    steps(first, halves, 2)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(second, halves, 2)
    assert all(torch.equal(a, b) for a, b in zip(whole, halves, strict=True))


@pytest.mark.parametrize(
    "wrong", [{"lr": 0.0}, {"vector_lr": -1.0}, {"momentum": 1.0}, {"newton_schulz_steps": 0}]
)
def test_a_value_out_of_range_is_refused(wrong):
    with pytest.raises(RequestError, match=f"optimizer.{next(iter(wrong))}"):
        Muon(parameters(), **wrong)


def test_scaled_biases_are_sgd_with_two_rates():
    own, theirs = parameters(), parameters()
    steps(ScaledBiasSGD(own, 0.01, 0.8, nesterov=True, weight_decay=0.1, vector_lr_factor=8), own)
    groups = [
        {"params": [theirs[i] for i in (0, 2, 4)], "lr": 0.01, "weight_decay": 0.1},
        {"params": [theirs[i] for i in (1, 3, 5)], "lr": 0.08, "weight_decay": 0.1 / 8},
    ]
    steps(torch.optim.SGD(groups, momentum=0.8, nesterov=True), theirs)
    assert all(torch.allclose(a, b) for a, b in zip(own, theirs, strict=True))
    with pytest.raises(RequestError, match="vector_lr_factor"):
        ScaledBiasSGD(parameters(), vector_lr_factor=0)
