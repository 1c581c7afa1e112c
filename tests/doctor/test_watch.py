"""What a watch says of faults in a loop."""

import torch
from loops import batches, cnn, sgd, train
from torch import nn
from torch.nn import functional as F


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
