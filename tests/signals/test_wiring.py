"""How a network is wired and fed: each fault of that kind shows in one quantity, and in no sound network."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainlab.signals import label_probe
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.recorder import SignalRecorder


def network(*end: nn.Module, channels: int = 1) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), *end
    )


def batch(n: int = 32, channels: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    y_N = torch.arange(n) % 5
    prototypes = torch.randn(5, channels, 8, 8, generator=generator)
    return prototypes[y_N] + 0.5 * torch.randn(n, channels, 8, 8, generator=generator), y_N


def measured(
    model: nn.Module, x: Tensor, y: Tensor, steps: int = 1, zero_grad: bool = True
) -> dict[str, float]:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    recorder = SignalRecorder(model)
    rows = []
    for _ in range(steps):
        if zero_grad:
            optimizer.zero_grad()
        recorder.start()
        loss = cross_entropy(model(x), y)
        loss.backward()
        recorder.before_update()
        optimizer.step()
        rows = recorder.finish(loss).rows
    return {quantity: value for layer, quantity, value in rows if layer == NETWORK}


def test_a_sound_network_shows_none():
    values = measured(network(), *batch(), steps=3)
    assert values["outputs_probabilities"] == values["batchnorm_frozen"] == 0
    assert values["gradient_left_over"] < 1e-6 and values["outputs_negative"] > 0
    assert "unregistered_layers" not in values and "neighbours" not in values


def test_outputs_that_are_probabilities_and_outputs_that_are_cut_at_zero():
    assert measured(network(nn.Softmax(1)), *batch())["outputs_probabilities"] == 1
    cut = measured(network(nn.ReLU()), *batch())
    assert cut["outputs_negative"] == 0 and cut["outputs_zero"] > 0.2


def test_a_loop_without_zero_grad_adds_up():
    assert measured(network(), *batch(), steps=5, zero_grad=False)["gradient_left_over"] > 2


class InAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(64, 64), nn.Linear(64, 64)]
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.head(x)


def test_layers_in_a_plain_list_are_counted_and_modules_carry_no_hook_afterwards():
    assert measured(InAList(), *batch())["unregistered_layers"] == 2
    assert not torch.nn.modules.module._global_forward_hooks


def test_batchnorm_in_evaluation_mode_is_frozen_only_at_its_first_statistics():
    model = network().train()
    model[1].eval()
    assert measured(model, *batch())["batchnorm_frozen"] == 1
    model[1].get_buffer("running_mean").add_(1)
    assert measured(model, *batch())["batchnorm_frozen"] == 0


def test_frozen_layers_are_told_from_those_that_train():
    model = network()
    model[0].weight.requires_grad_(False)
    x, y = batch()
    recorder = SignalRecorder(model)
    recorder.start()
    cross_entropy(model(x), y).backward()
    recorder.before_update()
    trainable = {layer: value for layer, quantity, value in recorder.finish().rows if quantity == "trainable"}
    assert list(trainable.values()) == [0, 1]


def smooth(n: int, size: int) -> Tensor:
    """Images whose pixels are like their neighbours, (N, H, W, C)."""
    coarse = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    return (
        nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").permute(0, 2, 3, 1).contiguous()
    )


def test_axes_that_were_viewed_and_not_permuted_show_in_neighbours():
    x_NHWC, y = smooth(16, 16), torch.arange(16) % 5
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 5))
    right = measured(model, x_NHWC.permute(0, 3, 1, 2), y)
    assert right["neighbours"] > right["neighbours_reordered"] + 0.2
    wrong = measured(model, x_NHWC.reshape(16, 3, 16, 16), y)
    assert wrong["neighbours_reordered"] > wrong["neighbours"] + 0.2
    other = x_NHWC.permute(0, 3, 1, 2).contiguous().reshape(16, 16, 16, 3).permute(0, 3, 1, 2)
    found = measured(model, other, y)
    assert found["neighbours_reordered"] > found["neighbours"] + 0.2


def test_the_probe_tells_labels_of_the_images_from_labels_of_others():
    x, y = batch(64)
    told = measured(network(), x, y)
    assert told["probe_images"] == 64 and told["probe_accuracy"] > 0.9 > 0.4 > told["probe_permuted"]
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    assert measured(network(), x, y[order])["probe_accuracy"] < 0.4


def test_labels_are_read_from_the_gradient_of_a_cross_entropy_alone():
    logits = torch.randn(8, 5, requires_grad=True, generator=torch.Generator().manual_seed(4))
    y = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    (grad,) = torch.autograd.grad(cross_entropy(logits, y), logits)
    found = label_probe.labels_from_gradient(grad, logits)
    assert found is not None and found.tolist() == y.tolist()
    (grad,) = torch.autograd.grad(nn.functional.mse_loss(logits, torch.eye(5)[y]), logits)
    assert label_probe.labels_from_gradient(grad, logits) is None
    assert label_probe.labels_from_gradient(torch.full((8, 5), torch.nan), logits) is None


@pytest.mark.parametrize("x", [torch.zeros(32, 1, 8, 8), torch.full((32, 1, 8, 8), torch.nan)])
def test_odd_images_raise_nothing(x):
    assert "loss" in measured(network(), x, torch.arange(32) % 5)


def test_torchs_random_numbers_are_left_alone():
    x, y = batch()
    model = network()
    recorder = SignalRecorder(model)
    state = torch.get_rng_state()
    recorder.start()
    cross_entropy(model(x), y).backward()
    recorder.finish()
    assert torch.get_rng_state().equal(state)
