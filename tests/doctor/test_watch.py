"""What a watch says of faults in a loop, and how it begins and ends."""

import copy
import gc
import io
import json
import pickle
import weakref

import pytest
import torch
from loops import batches, cnn
from torch import nn
from torch.nn import functional as F

import trainlab
from trainlab.doctor import backward_calls
from trainlab.errors import RequestError


@pytest.fixture
def watch():
    """`trainlab.watch` without a record; all are stopped at the end."""
    watches = []

    def begin(network, optimizer, budget=100, **options):
        watches.append(trainlab.watch(network, optimizer, budget=budget, runs=None, **options))
        return watches[-1]

    yield begin
    for one in watches:
        one.stop()


def sgd(network: nn.Module, lr: float = 0.05, **options) -> torch.optim.Optimizer:
    return torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr, **options)


def train(network, optimizer, steps=4, loss=F.cross_entropy, zero_grad=True, backward=True, step=True):
    for x, y in batches(steps):
        if zero_grad:
            optimizer.zero_grad()
        value = loss(network(x), y)
        if backward:
            value.backward()
        if step:
            optimizer.step()


def causes_of(watch, network, optimizer, **options) -> tuple[str, ...]:
    told = []
    doctor = watch(network, optimizer, on_finding=lambda finding: told.append(finding.cause))
    train(network, optimizer, **options)
    found = doctor.explain().causes
    assert set(told) <= set(found) | {"no_optimizer_step"}
    return found


# faults


def test_a_sound_loop_has_none(watch):
    network = cnn()
    assert causes_of(watch, network, sgd(network)) == ()


def test_zero_grad_is_missing(watch):
    network = cnn()
    assert causes_of(watch, network, sgd(network), zero_grad=False) == ("gradients_add_up",)


def test_backward_is_missing(watch):
    network = cnn()
    assert causes_of(watch, network, sgd(network), backward=False) == ("no_backward",)


def test_what_follows_from_the_fault_is_not_told_beside_it(watch):
    for cause, options in (
        ("no_backward", {"backward": False}),
        ("gradients_add_up", {"zero_grad": False}),
        ("one_output_unit", {"loss": lambda z, y: F.cross_entropy(z[:, :1], y * 0)}),
    ):
        network = cnn()
        assert causes_of(watch, network, sgd(network), steps=70, **options) == (cause,)


def test_step_is_missing(watch):
    network = cnn()
    assert causes_of(watch, network, sgd(network), step=False) == ("no_optimizer_step",)


def test_step_stands_before_backward(watch):
    network, told = cnn(), []
    optimizer = sgd(network)
    doctor = watch(network, optimizer, on_finding=told.append)
    for x, y in batches(4):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(x), y)
        optimizer.step()
        loss.backward()
    (finding,) = doctor.explain().findings
    assert finding.cause == "no_backward" and "loss.backward()\noptimizer.step()" in finding.remedy_code
    assert [one.cause for one in told] == ["no_backward"] and told[0].since_step == 0


def test_a_loss_of_something_else(watch):
    network = cnn()
    weight = nn.Parameter(torch.ones(()))
    detached = lambda z, y: F.cross_entropy(z.detach() * weight, y)  # noqa: E731
    assert causes_of(watch, network, sgd(network), loss=detached, steps=70) == ("loss_detached",)


def test_a_part_is_not_in_the_optimizer(watch):
    network = cnn()
    optimizer = torch.optim.SGD(network[:6].parameters(), lr=0.05)
    doctor = watch(network, optimizer)
    train(network, optimizer)
    (finding,) = doctor.explain().findings
    assert finding.cause == "parameters_not_in_optimizer" and finding.layer == "6 (Linear 150→16)"


def test_an_optimizer_that_is_not_watched_may_train_the_rest(watch):
    network = cnn()
    head, body = sgd(network[6:]), sgd(network[:6])
    doctor = watch(network, body)
    for x, y in batches(4):
        network.zero_grad()
        F.cross_entropy(network(x), y).backward()
        body.step()
        head.step()
    assert not doctor.explain()


def test_a_head_that_is_replaced_after_the_optimizer_was_made(watch):
    network = cnn()
    optimizer = sgd(network)
    network[8] = nn.Linear(16, 5)
    doctor = watch(network, optimizer)
    train(network, optimizer)
    (finding,) = doctor.explain().findings
    assert finding.cause == "parameters_not_in_optimizer" and finding.layer == "8 (Linear 16→5)"
    assert finding.numbers["optimizer_strangers"] == 2 and "replaced" in finding.description


def test_the_network_is_replaced_on_the_way(watch):
    network, told = cnn(), []
    optimizer = sgd(network)
    doctor = watch(network, optimizer, on_finding=told.append)
    train(network, optimizer)
    other = cnn()
    for x, y in batches(20):
        optimizer.zero_grad()
        F.cross_entropy(other(x), y).backward()
        optimizer.step()
    assert "optimizer_of_other_model" in doctor.explain().causes
    assert "optimizer_of_other_model" in [finding.cause for finding in told]


def test_frozen_layers_as_they_were_drawn(watch):
    network = cnn()
    network[6].get_parameter("weight").requires_grad_(False)
    assert causes_of(watch, network, sgd(network)) == ("frozen_at_initialization",)


def test_pretrained_layers_may_be_frozen(watch):
    network = cnn()
    with torch.no_grad():
        weight = network[6].get_parameter("weight")
        weight.mul_(1 + 20 * weight.abs())
    weight.requires_grad_(False)
    assert causes_of(watch, network, sgd(network)) == ()


def test_evaluation_mode_is_left_on(watch):
    network = cnn()
    network.eval()
    assert "eval_mode_in_training" in causes_of(watch, network, sgd(network))


def test_evaluation_mode_since_a_step(watch):
    network = cnn()
    optimizer = sgd(network)
    doctor = watch(network, optimizer)
    train(network, optimizer)
    network.eval()
    train(network, optimizer, steps=20)
    (finding,) = [f for f in doctor.explain() if f.cause == "eval_mode_in_training"]
    assert finding.since_step == 4


def test_dropout_leaves_nothing(watch):
    network = cnn()
    network[4] = nn.Dropout(1.0)
    assert "dropout_leaves_nothing" in causes_of(watch, network, sgd(network))


def test_one_batch_is_repeated(watch):
    network = cnn()
    optimizer = sgd(network)
    doctor = watch(network, optimizer)
    ((x, y),) = batches(1)
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    assert doctor.explain().causes == ("batches_identical",)


def test_softmax_before_a_cross_entropy_and_not_before_its_own_logarithm(watch):
    network = nn.Sequential(*cnn(), nn.Softmax(1))
    assert causes_of(watch, network, sgd(network)) == ("softmax_before_loss",)
    network = nn.Sequential(*cnn(), nn.Softmax(1))
    logarithm = lambda p, y: F.nll_loss(p.log(), y)  # noqa: E731
    assert causes_of(watch, network, sgd(network), loss=logarithm) == ()


def test_losses_that_do_not_fit_their_outputs(watch):
    for loss, cause in (
        (F.nll_loss, "nll_without_log_softmax"),
        (lambda z, y: F.nll_loss(F.log_softmax(z, 0), y), "softmax_over_batch"),
        (lambda z, y: F.cross_entropy(z[:, :1], y * 0), "one_output_unit"),
        (
            lambda z, y: F.binary_cross_entropy_with_logits(z.sigmoid(), F.one_hot(y, 5).float()),
            "sigmoid_before_loss",
        ),
    ):
        network = cnn()
        assert cause in causes_of(watch, network, sgd(network), loss=loss), cause


def test_outputs_of_a_regression_are_no_probabilities(watch):
    network = nn.Sequential(*cnn(), nn.ReLU())
    doctor = watch(network, optimizer := sgd(network))
    train(network, optimizer, loss=lambda z, y: F.mse_loss(z, F.one_hot(y, 5).float()))
    report = doctor.explain()
    assert not report and "mean squared error" in " ".join(report.notes)


def test_a_rate_of_zero(watch):
    network = cnn()
    assert "learning_rate_zero" in causes_of(watch, network, sgd(network, lr=0.0), steps=20)


def test_weights_go_on_after_the_last_measured_step(watch):
    """The budget allows the first three steps alone; the loss cannot fall, and no step is too short."""
    network = cnn()
    doctor = watch(network, optimizer := torch.optim.Adam(network.parameters(), lr=3e-4), budget=0.01)
    for (x, _), (_, y) in zip(batches(100), list(batches(200))[100:], strict=True):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    assert doctor.measured_steps == 3
    assert not {"learning_rate_too_low", "vanishing_gradient"} & set(doctor.explain().causes)


def test_steps_that_are_too_short_are_told_of_a_loop_that_was_measured_at_its_beginning_alone(watch):
    network = cnn()
    doctor = watch(network, optimizer := sgd(network, lr=1e-7), budget=0.01)
    train(network, optimizer, steps=100)
    assert doctor.measured_steps == 3 and doctor.explain().causes == ("learning_rate_too_low",)


def test_a_loss_that_is_not_finite_is_told_at_once(watch):
    network, told = cnn(), []
    optimizer = sgd(network)
    watch(network, optimizer, on_finding=told.append)
    train(network, optimizer, loss=lambda z, y: F.cross_entropy(z / 0, y))
    assert told[0].cause == "diverged"


# beginning and end


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
