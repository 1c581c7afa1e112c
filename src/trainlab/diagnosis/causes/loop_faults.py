"""Causes that lie in a training loop of one's own, as `trainlab.watch` records it.

Exact, but for frozen weights: whether they are as an initializer draws them is judged by their distribution.

The platform's own loop has none of these rows. They are facts of single steps: one that is seen at two looks
in a row is no accident of a step.
"""

from collections.abc import Callable

from trainlab.diagnosis.evidence import Evidence, Series, first_sustained_step
from trainlab.diagnosis.known_causes import Finding

LOOKS = 2
"""Looks in a row at which a fact must hold."""

SURE_RATE_LOOKS, SURE_RATE_STEPS = 3, 8
"""The same for a rate of zero, with which a warmup begins, and the steps that must have been made."""

MOST_DROPPED = 0.9
"""Share of the units that dropout sets to zero, from which on hardly any signal is left: keeping was
meant."""

MUCH_UNREACHED = 0.1
"""Share of the trainable numbers without a gradient from which on they are a part of the network."""

MISSING = {
    1.0: (
        "no_backward",
        "the optimizer steps and no parameter has a gradient: backward() is not called before step()",
        None,
    ),
    2.0: (
        "no_backward",
        "backward() is called, but no gradient is left when the optimizer steps: zero_grad() stands between "
        "them, or step() before backward()",
        "optimizer.zero_grad()\nloss.backward()\noptimizer.step()  # in this order",
    ),
    3.0: (
        "loss_detached",
        "backward() is called, and its loss does not depend on a parameter of this network",
        None,
    ),
}
"""Cause, description and code by the value of gradient_missing."""


def held_since(series: Series, condition: Callable[[float], bool], looks: int = LOOKS) -> int | None:
    """The step from which on it holds at every look to the last, where these are `looks` at least."""
    start = first_sustained_step(series, condition)
    return start if start is not None and sum(step >= start for step in series) >= looks else None


def _network(evidence: Evidence, quantity: str) -> Series:
    return evidence.signals.network_series(quantity)


def gradient_missing(evidence: Evidence) -> Finding | None:
    """The optimizer finds no gradient."""
    series = _network(evidence, "gradient_missing")
    start = held_since(series, lambda value: value > 0)
    if start is None:
        return None
    cause, description, code = MISSING[series[max(series)]]
    if cause == "loss_detached" and not any(_network(evidence, "network_called").values()):
        cause, code = "optimizer_of_other_model", None
        description = "the optimizer steps, and this network is never called: another one is trained"
    return Finding(cause, description, {"gradient_missing": series[max(series)]}, None, start, code)


def network_replaced(evidence: Evidence) -> Finding | None:
    """The network was trained, and another took its place on the way."""
    called = _network(evidence, "network_called")
    start = held_since(called, lambda value: value == 0)
    if start is None or not any(called.values()) or not _network(evidence, "gradient_missing").get(start):
        return None
    description = (
        f"from step {start} on the network is not called any more and gets no gradient: another took its "
        "place"
    )
    return Finding("optimizer_of_other_model", description, {"network_called": 0.0}, None, start)


def parameters_not_in_optimizer(evidence: Evidence) -> Finding | None:
    """Parameters have a gradient, are in no optimizer that is watched, and nothing changes them."""
    outside = _network(evidence, "parameters_outside")
    start = held_since(outside, lambda value: value > 0, 1)
    if start is None:
        return None
    share, strangers = outside[max(outside)], _network(evidence, "optimizer_strangers")
    layer = _first_still_layer(evidence)
    description = (
        f"{share:.0%} of the trainable numbers have a gradient and are in no optimizer: none changes"
    )
    if foreign := strangers.get(max(strangers, default=0), 0):
        description += (
            f"; the optimizer holds {foreign:.0f} parameters that are none of the network's: "
            "it was made before a part of the network was replaced"
        )
    numbers = {"parameters_outside": share, "optimizer_strangers": foreign}
    return Finding("parameters_not_in_optimizer", description, numbers, layer, start)


def _first_still_layer(evidence: Evidence) -> str | None:
    """The first layer that has a gradient and no step."""
    ratios, grads = (evidence.signals.by_layer(name) for name in ("update_ratio", "weight_grad_norm"))
    still = (name for name, s in ratios.items() if not any(s.values()) and any(grads.get(name, {}).values()))
    return next(still, None)


def learning_rate_zero(evidence: Evidence) -> Finding | None:
    """The rate is zero: from the start on, or since a schedule has ended."""
    rates = _network(evidence, "learning_rate")
    start = held_since(rates, lambda value: value == 0, SURE_RATE_LOOKS)
    if start is None or max(rates) < SURE_RATE_STEPS:
        return None
    largest = max(rates.values())
    since = (
        f"since step {start} a schedule has taken it to zero; it was {largest:.2g}" if largest else "always"
    )
    return Finding("learning_rate_zero", f"the learning rate is 0: {since}", {"rate": 0.0}, None, start)


def parameters_never_change(evidence: Evidence) -> Finding | None:
    """The optimizer steps at a rate above zero, and no parameter with a gradient changes."""
    unchanged, rates = _network(evidence, "parameters_unchanged"), _network(evidence, "learning_rate")
    start = held_since(unchanged, lambda value: value == 1)
    if start is None or min(unchanged) != start or not all(rates.get(s, 1) for s in unchanged):
        return None
    description = "every parameter that has a gradient is the same to the bit after each step"
    return Finding("parameters_never_change", description, {"parameters_unchanged": 1.0}, None, start)


def eval_mode_in_training(evidence: Evidence) -> Finding | None:
    """The network trains in evaluation mode, where that changes what it does."""
    mode = _network(evidence, "eval_mode")
    start = held_since(mode, lambda value: value > 0)
    if start is None or (max(mode.values()) < 1 and min(mode.values()) > 0):
        return None  # from the start on, with statistics that BatchNorm has from elsewhere: as one fine-tunes
    since = "from the first step on" if start == min(mode) else f"since step {start}, in training mode before"
    description = f"the network is trained in evaluation mode, {since}: model.train() is missing"
    return Finding("eval_mode_in_training", description, {"eval_mode": mode[max(mode)]}, None, start)


def frozen_at_initialization(evidence: Evidence) -> Finding | None:
    """Frozen layers whose weights are as an initializer draws them."""
    trainable = evidence.signals.by_layer("trainable")
    frozen = {
        name: any(series.values())
        for name, series in evidence.signals.by_layer("as_drawn").items()
        if not trainable.get(name) or not trainable[name][max(trainable[name])]
    }
    drawn = [name for name, is_drawn in frozen.items() if is_drawn]
    if not drawn or 2 * len(drawn) <= len(frozen):  # one of many may look so by chance
        return None
    layers = len(trainable) or len(drawn)
    description = (
        f"{len(drawn)} of {layers} weight layers are frozen (requires_grad=False) with weights as they were "
        f"drawn at random, {drawn[0]} the first"
    )
    numbers = {"layers_frozen": float(len(drawn)), "layers": float(layers)}
    return Finding("frozen_at_initialization", description, numbers, drawn[0], 0)


def frozen_batchnorm_moves(evidence: Evidence) -> Finding | None:
    """BatchNorm whose weights are frozen goes on following the batches, where other layers are frozen too."""
    moving = _network(evidence, "frozen_batchnorm_moves")
    start = held_since(moving, lambda value: value > 0)
    frozen = [s for s in evidence.signals.by_layer("trainable").values() if not any(s.values())]
    if start is None or not frozen:
        return None
    share = moving[max(moving)]
    description = (
        f"{share:.0%} of the frozen BatchNorm layers are in training mode: their running statistics move, "
        f"and {len(frozen)} frozen layers with them"
    )
    return Finding("frozen_batchnorm_moves", description, {"frozen_batchnorm_moves": share}, None, start)


def dropout_leaves_nothing(evidence: Evidence) -> Finding | None:
    """A dropout layer drops nearly everything."""
    dropped = _network(evidence, "dropout")
    start = held_since(dropped, lambda value: value >= MOST_DROPPED)
    if start is None:
        return None
    description = f"a dropout layer sets {dropped[max(dropped)]:.0%} of its units to zero"
    return Finding("dropout_leaves_nothing", description, {"dropout": dropped[max(dropped)]}, None, start)


def batches_identical(evidence: Evidence) -> Finding | None:
    """Every measured batch is the one before it."""
    same = _network(evidence, "same_batch")
    start = held_since(same, lambda value: value == 1, LOOKS + 1)
    if start is None or start != min(same):
        return None
    description = (
        f"the batches of all {len(same) + 1} measured steps are the same: one batch is repeated, or it is "
        "all there is"
    )
    return Finding("batches_identical", description, {"same_batch": 1.0}, None, start)


def softmax_over_batch(evidence: Evidence) -> Finding | None:
    """The log-softmax of the loss runs over the images."""
    start = held_since(_network(evidence, "softmax_over_batch"), lambda value: value > 0)
    if start is None:
        return None
    description = "the log-softmax before the loss runs over dimension 0, the images, not over the classes"
    return Finding("softmax_over_batch", description, {"softmax_over_batch": 1.0}, None, start)


def nll_without_log_softmax(evidence: Evidence) -> Finding | None:
    """A negative log-likelihood of outputs that are no log-probabilities."""
    start = held_since(_network(evidence, "outputs_not_normalized"), lambda value: value > 0)
    if start is None or _network(evidence, "softmax_over_batch"):
        return None
    description = "nll_loss takes log-probabilities: the exponentials of what it is given do not sum to 1"
    return Finding("nll_without_log_softmax", description, {"outputs_not_normalized": 1.0}, None, start)


def sigmoid_before_loss(evidence: Evidence) -> Finding | None:
    """A cross-entropy of logits whose logits all lie between 0 and 1."""
    start = held_since(_network(evidence, "sigmoid_before_loss"), lambda value: value > 0)
    if start is None:
        return None
    description = "all outputs lie between 0 and 1: a sigmoid ran before a loss that takes logits"
    return Finding("sigmoid_before_loss", description, {"sigmoid_before_loss": 1.0}, None, start)


def one_output_unit(evidence: Evidence) -> Finding | None:
    """A softmax cross-entropy over a single output."""
    units = _network(evidence, "output_units")
    start = held_since(units, lambda value: value == 1)
    if start is None:
        return None
    description = "the cross-entropy compares a single output with nothing: it is 0 whatever is learned"
    return Finding("one_output_unit", description, {"output_units": 1.0}, None, start)


def parameters_without_gradient(evidence: Evidence) -> Finding | None:
    """A part of the network never gets a gradient: looked for in a run that does not learn."""
    unreached = _network(evidence, "parameters_unreached")
    start = held_since(unreached, lambda value: value >= MUCH_UNREACHED)
    if start is None:
        return None
    share = unreached[max(unreached)]
    description = f"{share:.0%} of the trainable numbers get no gradient: the loss does not depend on them"
    return Finding("parameters_without_gradient", description, {"parameters_unreached": share}, None, start)
