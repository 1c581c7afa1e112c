"""What a user hands over is left as it was, to the bit, whatever happens: networks, optimizers, failures."""

import copy
import random
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import pytest
import torch
from planted import digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from trainlab.diagnosis import Forecast, preflight
from trainlab.errors import RequestError


def images(count: int = 48) -> tuple[Tensor, Tensor]:
    x_NCHW, y_N = digits()
    return x_NCHW[:count].clone(), y_N[:count].clone()


class Odd(nn.Module):
    """What a forecast could disturb: images changed in place, attributes, counters, its own dice, modes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.frozen = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(144, 16)
        self.drop, self.unused, self.head = nn.Dropout(0.3), nn.Linear(3, 3), nn.Linear(16, 10)
        self.frozen.requires_grad_(False)
        self.norm.eval()
        self.register_buffer("calls", torch.zeros(1))
        self.seen: list[int] = []
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.1
        self.calls += 1
        self.seen.append(len(x))
        self.last = torch.relu(self.norm(self.conv(x))) + random.random() * np.random.rand() * 1e-3
        return self.head(torch.relu(self.frozen(self.drop(self.last.flatten(1)))))


class Failing(Odd):
    """Fails in its n-th pass, having set what it could for the whole process."""

    def __init__(self, after: int, error: type[BaseException]) -> None:
        super().__init__()
        self.after, self.error = after, error

    def forward(self, x: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)
        try:
            if len(self.seen) >= self.after:
                raise self.error("in the middle")
            with torch.enable_grad():
                return super().forward(x)
        finally:
            torch.set_grad_enabled(True)


def sequential(*more: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), *more, nn.Linear(16, 10))


def weight_normed() -> nn.Module:
    network = sequential()
    network[1] = nn.utils.spectral_norm(network[1])
    network(images(4)[0])  # leaves a tensor with its graph in the module
    return network


def compiled(network: nn.Module) -> nn.Module:
    return cast(nn.Module, torch.compile(network))


def with_lock() -> nn.Module:
    import threading

    network = sequential()
    network.lock = threading.Lock()  # pyrefly: ignore[bad-argument-type]  # cannot be copied
    return network


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "odd": Odd,
    "eval": lambda: Odd().eval(),
    "mixed": lambda: sequential(nn.BatchNorm1d(16).eval(), nn.Dropout(0.5)),
    "old norms": weight_normed,
    "a lock": with_lock,
    "compiled": lambda: compiled(sequential()),
    "compiled inside": lambda: nn.Sequential(nn.Flatten(), compiled(nn.Linear(64, 10))),
    "parallel": lambda: nn.DataParallel(sequential()),
    "double": lambda: sequential().double(),
    "nothing to train": lambda: sequential().requires_grad_(False),
    "wrong shape": lambda: nn.Sequential(nn.Flatten(), nn.Linear(65, 10)),
    "fails at once": partial(Failing, 0, ValueError),
    "fails late": partial(Failing, 9, ZeroDivisionError),
    "interrupted": partial(Failing, 5, KeyboardInterrupt),
    "out of memory": partial(Failing, 5, torch.OutOfMemoryError),
}
MOMENTUM = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-2)


def trained(network: nn.Module) -> torch.optim.Optimizer:
    """An optimizer in use, in two groups, with state, under a scheduler."""
    own = [p for p in network.parameters() if p.requires_grad] or [nn.Parameter(torch.zeros(2))]
    groups = [{"params": own[:1], "lr": 0.02}, {"params": own[1:], "weight_decay": 0.1}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=1e-3, amsgrad=True)
    torch.optim.lr_scheduler.StepLR(optimizer, 10)
    for p in own:
        p.grad = torch.randn_like(p)
    optimizer.step()
    return optimizer


OPTIMIZERS = {
    "a function": lambda network, mine: MOMENTUM,
    "an instance": lambda network, mine: mine,
    "a function that gives mine": lambda network, mine: lambda p: mine,
    "a function over mine": lambda network, mine: lambda p: MOMENTUM(network.parameters()),
    "a class": lambda network, mine: torch.optim.SGD,
    "others'": lambda network, mine: MOMENTUM([nn.Parameter(torch.ones(3))]),
    "no optimizer": lambda network, mine: lambda p: None,
    "one that fails": lambda network, mine: lambda p: 1 / 0,
}


def frozen_view(value):
    """A value to compare by: tensors as bytes, modules left to their state."""
    if isinstance(value, Tensor):
        return value.detach().clone().double().numpy().tobytes(), value.requires_grad, value.dtype
    if isinstance(value, dict):
        return {key: frozen_view(part) for key, part in value.items() if not isinstance(key, Tensor)}
    return [frozen_view(part) for part in value] if isinstance(value, list | tuple) else copy.copy(value)


def everything_of(network: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> dict:
    modules = list(network.modules())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    plain = [
        {k: v for k, v in vars(m).items() if isinstance(v, int | float | str | list | Tensor)}
        for m in modules
    ]
    return {
        "state": frozen_view(dict(network.state_dict())),
        "objects": [id(p) for p in (*network.parameters(), *network.buffers())],
        "grads": [None if p.grad is None else frozen_view(p.grad) for p in network.parameters()],
        "requires_grad": [p.requires_grad for p in network.parameters()],
        "modes": [m.training for m in modules],
        "hooks": [len(getattr(m, name)) for m in modules for name in hooks],
        "attributes": frozen_view(plain),
        "forwards": [vars(m).get("forward") for m in modules],
        "optimizer": frozen_view(optimizer.state_dict()),
        "groups": [[id(p) for p in group["params"]] for group in optimizer.param_groups],
        "batch": frozen_view(list(batch)),
        "dice": (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()),
        "flags": (
            torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
            torch.are_deterministic_algorithms_enabled(), torch.is_anomaly_enabled(),
            torch.get_num_threads(), torch.get_float32_matmul_precision(),
        ),
    }  # fmt: skip


def ask(network, batches, optimizer, **more) -> Forecast | None:
    try:
        return preflight(network, batches, optimizer, 20, **more)
    except (RequestError, KeyboardInterrupt, torch.OutOfMemoryError) as error:
        assert "\n" not in str(error)
        return None


PAIRS = [(n, "a function") for n in NETWORKS] + [("odd", o) for o in list(OPTIMIZERS)[1:]]
PAIRS += [(n, "an instance") for n in ("mixed", "interrupted", "compiled", "parallel", "a lock")]


def cases() -> list:
    """torch's compiler takes seconds to be imported."""
    return [
        pytest.param(*pair, id=" | ".join(pair), marks=[pytest.mark.slow] if "compiled" in pair[0] else [])
        for pair in PAIRS
    ]


@pytest.mark.parametrize(("kind", "by"), cases())
def test_all_that_is_handed_over_stays_as_it_was(kind, by):
    torch.manual_seed(0)
    network, batch = NETWORKS[kind](), images()
    mine = trained(network)
    for module in network.modules():
        module.register_forward_hook(lambda *_: None)
    optimizer = OPTIMIZERS[by](network, mine)
    before = everything_of(network, mine, batch)
    ask(network, [batch], optimizer)
    after = everything_of(network, mine, batch)
    for what in before:
        assert before[what] == after[what], what


def test_answers_that_should_not_depend_on_how_it_is_handed_over():
    """A new optimizer, as a function, as itself or as a class, is one and the same question."""
    torch.manual_seed(0)
    network, batch = sequential(), images(64)
    make = partial(torch.optim.SGD, lr=1e-3)
    ways = {"a function": make, "an instance": make(network.parameters()), "a class": torch.optim.SGD}
    one, *others = [preflight(network, [batch], way, 50).features for way in ways.values()]
    assert others == [one, one]


def test_modes_of_the_caller_do_not_change_the_answer():
    torch.manual_seed(0)
    network, batch = sequential(), images(64)
    plain = preflight(network, [batch], MOMENTUM, 50)
    for mode in (torch.no_grad(), torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16)):
        with mode:
            assert preflight(network, [batch], MOMENTUM, 50).features == plain.features
    assert preflight(nn.DataParallel(network), [batch], MOMENTUM, 50).features == plain.features


@pytest.mark.slow
def test_a_compiled_network_is_the_network():
    torch.manual_seed(0)
    network, batch = sequential(), images(64)
    plain = preflight(network, [batch], MOMENTUM, 50)
    assert preflight(compiled(network), [batch], MOMENTUM, 50) == plain


def test_an_instance_in_use_is_asked_with_its_groups_and_state():
    torch.manual_seed(0)
    network, batch = sequential(), images(64)
    optimizer = torch.optim.SGD(
        [{"params": network[1].parameters(), "lr": 1e-6}, {"params": network[3].parameters()}], lr=0.5
    )
    moves = {layer.name: layer.moves for layer in preflight(network, [batch], optimizer, 20).layers}
    assert moves["1"] < 1e-3 < 1e-1 < moves["3"]


def test_a_class_says_the_rate_that_it_was_given():
    found = preflight(sequential(), [images()], torch.optim.SGD, 20)
    assert any("lr=0.001" in note for note in found.notes)
    assert not preflight(sequential(), [images()], MOMENTUM, 20).notes


def test_an_optimizer_of_others_is_refused_in_one_line():
    others = MOMENTUM(sequential().parameters())
    for optimizer in (others, lambda p: others):
        with pytest.raises(
            RequestError, match=r"none of the .* parameters is a trainable one of the network"
        ) as e:
            preflight(sequential(), [images()], optimizer, 20)
        assert "\n" not in str(e.value)


def test_a_loader_and_its_own_dice_stay_where_they_are():
    data, generator = TensorDataset(*images()), torch.Generator().manual_seed(3)
    loaders = [
        DataLoader(data, batch_size=8, shuffle=True, generator=generator),
        DataLoader(data, batch_size=8, sampler=RandomSampler(data, generator=generator)),
        DataLoader(data, batch_size=8, shuffle=True),
    ]
    network = sequential()
    for loader in loaders:
        state, dice, attributes = generator.get_state(), torch.get_rng_state(), dict(vars(loader))
        ask(network, loader, MOMENTUM)
        assert torch.equal(state, generator.get_state()) and torch.equal(dice, torch.get_rng_state())
        assert vars(loader) == attributes


@pytest.mark.slow
def test_workers_that_a_loader_keeps_stay_in_their_epoch():
    loader = DataLoader(TensorDataset(*images()), batch_size=8, num_workers=1, persistent_workers=True)
    epoch = iter(loader)
    first = next(epoch)[0]
    ask(sequential(), loader, MOMENTUM)
    rest = [first, *(x for x, _ in epoch)]
    assert torch.equal(torch.cat(rest), images()[0]) and loader._iterator is epoch


SCHEDULES = {
    "a function of both": lambda o: (
        lambda optimizer, n: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n)
    ),
    "of the optimizer": lambda o: lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1),
    "a class": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR,
    "an instance": lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.1),
    "a function that gives mine": lambda o: lambda optimizer, n: torch.optim.lr_scheduler.StepLR(o, 1, 0.1),
    "absolute rates": lambda o: partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.5, total_steps=100),
    "no scheduler": lambda o: lambda optimizer, n: 3,
    "text": lambda o: "cosine",
    "one that fails": lambda o: lambda optimizer, n: 1 / 0,
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_schedule_leaves_optimizer_and_scheduler_as_they_were(kind):
    torch.manual_seed(0)
    network = sequential()
    optimizer = MOMENTUM(network.parameters())
    schedule = SCHEDULES[kind](optimizer)
    before = frozen_view(optimizer.state_dict())
    last = getattr(schedule, "last_epoch", None)
    ask(network, [images()], optimizer, schedule=schedule)
    assert getattr(schedule, "last_epoch", None) == last
    if kind != "a function that gives mine":  # which makes a scheduler of the user's own when it is called
        assert frozen_view(optimizer.state_dict()) == before
    assert optimizer.param_groups[0]["lr"] == 0.05
