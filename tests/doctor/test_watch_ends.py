"""How a watch begins and ends: what is refused, what is left behind, what it says of itself."""

import copy
import gc
import io
import json
import pickle
import weakref

import pytest
import torch
from loops import batches, cnn, sgd, train
from torch import nn
from torch.nn import functional as F

import trainlab
from trainlab.doctor import backward_calls
from trainlab.errors import RequestError


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda: (nn.Linear, None), "the class Linear"),
        (lambda: (nn.ReLU(), sgd(cnn())), "no parameters"),
        (lambda: (cnn(), sgd(cnn())), "none of the"),
        (lambda: (cnn(), "adam"), "got str for the optimizer"),
        (lambda: (cnn(), []), "no optimizer"),
        (lambda: (nn.LazyLinear(3), sgd(cnn())), "has no shape yet"),
        (lambda: scripted(), "scripted"),
        (lambda: exported(), "exported"),
    ],
)
def test_what_cannot_be_watched_is_refused_in_one_line(arguments, message):
    with pytest.raises(RequestError, match=message) as refused:
        trainlab.watch(*arguments(), runs=None)
    assert "\n" not in str(refused.value)
    assert not backward_calls.is_listening()


def scripted() -> tuple[nn.Module, torch.optim.Optimizer]:
    with pytest.warns(FutureWarning, match="deprecated"):
        network = torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3))
    assert isinstance(network, nn.Module)
    return network, sgd(network)


def exported() -> tuple[nn.Module, torch.optim.Optimizer]:
    network = torch.export.export(nn.Linear(3, 2), (torch.ones(1, 3),)).module()
    return network, sgd(network)


def test_two_doctors_on_one_network_are_one_too_many(watch):
    network = cnn()
    optimizer = sgd(network)
    first = watch(network, optimizer)
    with pytest.raises(RequestError, match="watched already"):
        trainlab.watch(network, optimizer, runs=None)
    first.stop()
    watch(network, optimizer)


def test_a_layer_that_is_not_there_is_named_with_the_closest(watch):
    network = cnn()
    with pytest.raises(RequestError, match="no weight layer is called 'features"):
        trainlab.watch(network, sgd(network), layers="features.*", runs=None)
    doctor = watch(network, optimizer := sgd(network), layers=["6", "8"])
    train(network, optimizer)
    assert "2 weight layers" in " ".join(doctor.explain().notes)


def test_nothing_is_kept_alive(watch):
    network = cnn()
    optimizer = sgd(network)
    doctor = watch(network, optimizer)
    train(network, optimizer, steps=5)
    refs = weakref.ref(network), weakref.ref(optimizer)
    del network, optimizer
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert not doctor.explain()


@pytest.mark.parametrize("raises_at", [None, 0, 3])
def test_a_doctor_that_is_dropped_ends_by_itself(raises_at):
    """Whether the loop has ended, or an error has ended it between the network's call and the step."""
    network = cnn()
    optimizer = sgd(network)
    doctor = trainlab.watch(network, optimizer, runs=None, budget=100)
    for k, (x, y) in enumerate(batches(2 if raises_at is None else 4)):
        optimizer.zero_grad()
        output = network(x)
        if k == raises_at:
            break
        F.cross_entropy(output, y).backward()
        optimizer.step()
    refs = weakref.ref(network), weakref.ref(optimizer), weakref.ref(doctor)
    del network, optimizer, doctor, output
    gc.collect()
    assert [ref() for ref in refs] == [None] * 3
    assert not backward_calls.is_listening()
    assert not torch.nn.modules.module._has_any_global_hook()


def test_the_network_is_saved_pickled_and_copied_without_hooks(watch):
    network = cnn()
    optimizer = sgd(network)
    watch(network, optimizer)
    for x, y in batches(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), saved(network)):
            assert not any(m._forward_hooks or m._forward_pre_hooks for m in twin.modules())
            assert not any(p._backward_hooks for p in twin.parameters())
        copy.deepcopy(optimizer), pickle.dumps(optimizer)
        loss.backward()
        optimizer.step()


def saved(network: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def test_a_fault_of_its_own_ends_the_watch_and_not_the_training(watch, capsys):
    network = cnn()
    optimizer = sgd(network)

    def fails(finding):
        raise ValueError("my callback")

    doctor = watch(network, optimizer, on_finding=fails)
    train(network, optimizer, zero_grad=False)
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: my callback" in line and "the training goes on" in line
    assert not doctor.is_running and not backward_calls.is_listening()
    assert "gradients_add_up" in doctor.explain().causes


def test_the_report_is_text_json_and_html(watch):
    network = cnn()
    doctor = watch(network, optimizer := sgd(network))
    train(network, optimizer, zero_grad=False)
    assert "zero_grad" in str(doctor) and "zero_grad" in doctor.html() and "zero_grad" in doctor._repr_html_()
    (row,) = json.loads(doctor.json())["findings"]
    assert row["cause"] == "gradients_add_up" and row["since_step"] == 1


def test_the_budget_holds_after_the_first_steps(watch):
    network = cnn()
    optimizer = sgd(network)
    doctor = watch(network, optimizer, budget=0.01)
    train(network, optimizer, steps=40)
    assert doctor.measured_steps == 3


def test_a_planned_loop_is_measured_at_log_spaced_steps(watch):
    network = cnn()
    doctor = watch(network, optimizer := sgd(network), steps=40, measurements=8)
    train(network, optimizer, steps=40)
    assert doctor.measured_steps in (8, 9)
