"""The forecast: right on plain cases, clear on odd ones, and the network stays as it was."""

import copy
import gc
import random
import time
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from planted import digits
from torch import Tensor, nn

from trainlab.diagnosis import Forecast, preflight
from trainlab.diagnosis.known_causes import CAUSES
from trainlab.errors import RequestError
from trainlab.forecast.measurement import InitialMeasurer
from trainlab.models import MLP, PlainCNN, ResNet
from trainlab.nn.initializers import Kaiming, Normal, Zeros, initialize
from trainlab.nn.norm_layers import NormLayer

BATCHNORM = NormLayer("before_activation", nn.BatchNorm2d)
SGD = partial(torch.optim.SGD, lr=0.1)
ADAM = partial(torch.optim.Adam, lr=1e-3)


def images(count: int = 256) -> tuple[Tensor, Tensor]:
    x_NCHW, y_N = digits()
    return x_NCHW[:count], y_N[:count]


def mlp(depth: int = 3, activation=nn.ReLU, init=None, norm_layer=None, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = MLP(
        (1, 8, 8), 10, depth=depth, width=32, activation=activation, norm_layer=norm_layer or NormLayer()
    )
    initialize(network, init or Kaiming())
    return network


def foresee(network: nn.Module, optimizer=ADAM, steps: int = 200, batch=None, **more) -> Forecast:
    return preflight(network, [batch or images()], optimizer, steps, **more)


def sound(forecast: Forecast) -> Forecast:
    """What every forecast must be."""
    assert 0 <= forecast.learns <= 1 and forecast.says
    assert forecast.cause is None or forecast.cause in CAUSES
    assert (forecast.cause is None) == forecast.will_learn
    return forecast


class Everything(nn.Module):
    """What a forecast could disturb: statistics, dice, a frozen part, an unused one, modes that differ."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.activation = nn.PReLU()
        self.dropout = nn.Dropout(0.3)
        self.frozen = nn.Linear(8 * 36, 16).requires_grad_(False)
        self.unused = nn.Linear(3, 3)
        self.output = nn.Linear(16, 10)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        x = self.dropout(self.activation(self.norm(self.conv(x_NCHW))))
        return self.output(torch.relu(self.frozen(x.flatten(1))))


def test_nothing_that_was_measured_stays_in_memory():
    """A process that is asked for forecasts all day must not keep a copy of every network."""
    foresee(mlp())
    gc.collect()
    assert not [one for one in gc.get_objects() if type(one) is InitialMeasurer]


def test_the_network_and_the_dice_stay_as_they_were():
    network = Everything()
    network.norm.eval()
    seen = []
    network.conv.register_forward_hook(lambda *_: seen.append(1))
    network(images(8)[0]).sum().backward()
    before = copy.deepcopy(network.state_dict())
    grads = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    modes = [m.training for m in network.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    objects = [id(p) for p in network.parameters()]
    dice = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*images()), batch_size=32, shuffle=True
    )
    sound(preflight(network, loader, ADAM, 100))

    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    after = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert grads.keys() == after.keys()
    assert all(torch.equal(grads[name], after[name]) for name in grads)
    assert modes == [m.training for m in network.modules()]
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in network.modules()]
    assert objects == [id(p) for p in network.parameters()]
    assert torch.equal(dice[0], torch.get_rng_state()) and dice[2] == random.getstate()
    assert np.array_equal(dice[1], np.random.get_state()[1])


def test_the_same_question_has_the_same_answer():
    assert foresee(Everything().double().float()).features.keys() == foresee(mlp()).features.keys()
    network = mlp()
    assert foresee(network) == foresee(network)


@pytest.mark.parametrize(
    ("lr", "learns"), [(1e-9, False), (0.05, True), (1e3, False)], ids=["too low", "sane", "too high"]
)
def test_the_learning_rate_decides(lr, learns):
    forecast = sound(foresee(mlp(), partial(torch.optim.SGD, lr=lr)))
    assert forecast.will_learn is learns
    if not learns:
        assert forecast.cause == ("learning_rate_too_low" if lr < 1 else "learning_rate_too_high")


def test_the_optimizer_decides_where_the_scale_is_off():
    """Weights a hundred times too small: SGD gets no gradient worth the name, Adam does not care."""
    network = mlp(depth=3, activation=nn.Tanh, init=Normal(std=0.005))
    assert not sound(foresee(network, partial(torch.optim.SGD, lr=0.01))).will_learn
    assert sound(foresee(network, partial(torch.optim.Adam, lr=3e-3))).will_learn


def test_neither_scale_nor_optimizer_mends_a_collapsed_angle():
    """Deep sigmoid: Adam moves the weights far, and all images stay the same to the last layer."""
    network = mlp(depth=12, activation=nn.Sigmoid)
    forecast = sound(foresee(network, ADAM))
    assert not forecast.will_learn and forecast.features["difference"] < -5
    assert 10 ** forecast.features["moves"] > 0.1  # it is not that the steps were small
    rescued = sound(foresee(mlp(depth=12, activation=nn.Sigmoid, norm_layer=BATCHNORM), ADAM))
    assert rescued.learns > 3 * forecast.learns


def test_more_steps_never_look_worse_where_the_rate_is_small():
    network = mlp()
    chances = [
        foresee(network, partial(torch.optim.SGD, lr=1e-4), steps=n).learns for n in (10, 1000, 100_000)
    ]
    assert chances == sorted(chances) and chances[-1] > 2 * chances[0]


def test_zero_weights_will_not_learn():
    forecast = sound(foresee(mlp(init=Zeros())))
    assert not forecast.will_learn and forecast.learns < 0.2


def test_the_features_are_within_bounds_whatever_happens():
    for lr in (1e-12, 1e12):
        for init in (Normal(std=1e-12), Normal(std=100.0)):
            forecast = sound(foresee(mlp(init=init), partial(torch.optim.SGD, lr=lr)))
            assert all(np.isfinite(value) for value in forecast.features.values())


def test_images_that_are_not_numbers():
    x_NCHW, y_N = images()
    x_NCHW = x_NCHW.clone()
    x_NCHW[3, 0, 2, 2] = torch.nan
    forecast = sound(foresee(mlp(), batch=(x_NCHW, y_N)))
    assert forecast.learns == 0 and forecast.cause == "input_out_of_scale" and "not finite" in forecast.says


def test_images_that_are_all_the_same():
    _, y_N = images()
    forecast = sound(foresee(mlp(), batch=(torch.ones(256, 1, 8, 8), y_N)))
    assert forecast.learns == 0 and forecast.cause == "constant_input"


def test_one_class():
    x_NCHW, y_N = images()
    forecast = sound(foresee(mlp(), batch=(x_NCHW, torch.zeros_like(y_N))))
    assert forecast.learns == 0 and forecast.cause == "one_class"


def test_nothing_to_train():
    forecast = sound(foresee(mlp().requires_grad_(False)))
    assert forecast.learns == 0 and forecast.cause == "no_trainable_gradient"


def test_logits_that_overflow():
    forecast = sound(foresee(mlp(depth=6, init=Normal(std=1e12))))
    assert forecast.learns == 0 and forecast.cause == "diverged"


def test_a_frozen_layer_is_no_fault():
    network = mlp()
    network.hidden[0].requires_grad_(False)
    assert sound(foresee(network, partial(torch.optim.SGD, lr=0.05))).will_learn


def test_a_layer_without_gradient_is_no_crash():
    network = Everything()
    forecast = sound(foresee(network))
    assert "unused" not in [layer.name for layer in forecast.layers]


def test_a_residual_branch_that_starts_at_zero_is_no_fault():
    torch.manual_seed(0)
    network = ResNet((1, 8, 8), 10, depth=3, width=8, norm_layer=BATCHNORM)
    initialize(network, Kaiming())
    for name, module in network.named_modules():
        if name.endswith("second.conv"):
            nn.init.zeros_(module.get_parameter("weight"))
    assert sound(foresee(network, partial(torch.optim.Adam, lr=3e-3))).will_learn


def test_labels_that_do_not_follow_from_the_images_look_worse():
    x_NCHW, y_N = images()
    shuffled = y_N[torch.randperm(len(y_N), generator=torch.Generator().manual_seed(1))]
    network = mlp()
    true, wrong = foresee(network, SGD).learns, foresee(network, SGD, batch=(x_NCHW, shuffled)).learns
    assert wrong / (1 - wrong) < 0.2 * true / (1 - true)  # odds: the probability itself is near its ceiling


@pytest.mark.parametrize("count", [4, 9, 40])
def test_few_images_are_enough_for_an_answer(count):
    sound(foresee(mlp(norm_layer=BATCHNORM), batch=images(count)))


def test_what_is_known_of_the_run_makes_the_remedy_concrete():
    forecast = foresee(mlp(), partial(torch.optim.SGD, lr=1e-9), steps=100)
    assert forecast.remedy is not None and forecast.remedy.startswith("optimizer.lr=")
    assert 1e-6 < float(forecast.remedy.partition("=")[2]) <= 10


def test_a_schedule_that_never_gets_to_its_rate():
    def asleep(optimizer, steps):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-8)

    network = mlp()
    assert foresee(network, SGD).will_learn and not foresee(network, SGD, schedule=asleep).will_learn


def test_clipping_shortens_the_step():
    network, rate = mlp(), partial(torch.optim.SGD, lr=30.0)
    wild, tame = (foresee(network, rate, gradient_clip=clip).features for clip in (None, 1e-2))
    factor = 10 ** (tame["first_step"] - wild["first_step"])
    assert factor == pytest.approx(1e-2 / 10 ** wild["gradient_norm"], rel=0.1)  # which leaves out the biases


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"batches": []}, "0 images"),
        ({"batches": [torch.zeros(4, 1, 8, 8)]}, "x_NCHW, y_N"),
        ({"steps": 0}, "steps=0"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=-1.0)}, "optimizer"),
        ({"optimizer": lambda p: torch.optim.LBFGS(p)}, "optimizer"),
        ({"model": nn.Flatten()}, "trainable"),
        ({"model": nn.Conv2d(1, 10, 3)}, "(N, K)"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(64, 3))}, "3 logits"),
    ],
    ids=["no images", "no labels", "no steps", "no rate", "closure", "no weights", "maps", "classes"],
)
def test_wrong_requests_say_so(arguments, says):
    request: dict[str, Any] = {
        "model": mlp(),
        "batches": [images()],
        "optimizer": ADAM,
        "steps": 10,
        **arguments,
    }
    try:
        forecast = preflight(request["model"], request["batches"], request["optimizer"], request["steps"])
        assert says in forecast.says
    except RequestError as error:
        assert says in str(error) and "\n" not in str(error)


def sixteen_layers() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The default network at 32 × 32 with sixteen convolutions, and images for it."""
    torch.manual_seed(0)
    network = PlainCNN((1, 32, 32), 10, depth=16, norm_layer=BATCHNORM)
    initialize(network, Kaiming())
    return network, (torch.randn(512, 1, 32, 32), torch.arange(512) % 10)


def test_a_forecast_costs_a_few_dozen_training_steps():
    """In units of the machine as it is at this moment: a step is a pass forward and back of 64 images."""
    network, (x_NCHW, y_N) = sixteen_layers()

    def seconds(work) -> float:
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun

    def step() -> None:
        nn.functional.cross_entropy(network(x_NCHW[:64]), y_N[:64]).backward()

    foresee(mlp()), step()  # what is done once
    ratios = [seconds(partial(foresee, network, batch=(x_NCHW, y_N))) / seconds(step) for _ in range(3)]
    assert min(ratios) < 40


@pytest.mark.slow
def test_sixteen_layers_in_three_seconds():
    """On two idle cores it takes 1.5 s. Slow tests run alone: beside others it would measure them."""
    network, batch = sixteen_layers()
    foresee(mlp())
    begun = time.perf_counter()
    foresee(network, batch=batch)
    assert time.perf_counter() - begun < 3.0
