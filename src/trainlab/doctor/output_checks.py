"""Whether what a network gives is what its loss takes: logits, probabilities or numbers, of which shape.

The last operation is read from autograd's graph, which is exact; where the graph does not say, by values.

Legend: N images, K classes; `…` positions of a segmentation.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.autograd.graph import Node

from trainlab.diagnosis.causes.wiring_faults import CUT_AT_ZERO, probabilities_before_loss
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.loss_probe import LOG_LIKELIHOOD, SIGMOID, SOFTMAX, SQUARED, LossKind, probe_loss
from trainlab.signals.wiring import SUM_TO_ONE, output_quantities

RESHAPES = {
    f"{name}Backward{version}"
    for name in (
        "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Transpose", "Permute", "Alias",
        "Clone", "ToCopy", "T",
    )
    for version in (0, 1, 2)
}  # fmt: skip
"""What leaves the numbers as they are."""

ACTIVATIONS = {
    "ReluBackward0": "ReLU", "SigmoidBackward0": "sigmoid", "TanhBackward0": "tanh",
    "LeakyReluBackward0": "leaky ReLU", "EluBackward0": "ELU", "GeluBackward0": "GELU",
    "SiluBackward0": "SiLU",
    "SoftplusBackward0": "softplus", "HardtanhBackward0": "hardtanh", "HardswishBackward0": "hardswish",
    "HardsigmoidBackward0": "hardsigmoid", "LogSigmoidBackward0": "log-sigmoid", "MishBackward0": "Mish",
    "SoftmaxBackward0": "softmax", "LogSoftmaxBackward0": "log-softmax",
}  # fmt: skip
"""Last operations of a network, by their node in autograd's graph."""

FACTORS = (1 / 50, 50.0)
"""Of a loss, over the plain mean: gradients accumulated over some batches are divided by their number."""

FEWEST_CLASSES, IMAGES_A_CLASS = 3, 4
"""Whole numbers 0 … K − 1, all of them there: classes, if there are so many, and so many images of each."""


@dataclass
class OutputFacts:
    """What the network gave for a batch, and the loss that it is handed to. A check may add to `notes`.

    last_layer: the activation that the output comes from, described, where it is a module.
    """

    output: Tensor
    targets: Tensor
    loss_fn: Callable[..., object]
    notes: list[str] = field(default_factory=list)
    last_layer: str | None = None
    kind: LossKind = field(init=False)

    def __post_init__(self) -> None:
        self.kind = probe_loss(self.loss_fn, self.output.detach(), self.targets)
        self.last = last_operation(self.output)


def check_output(facts: OutputFacts) -> list[Finding]:
    """What is wrong between network and loss; the first of what excludes the rest."""
    for look in EXCLUSIVE_CHECKS:
        if found := next(iter(look(facts)), None):
            return [found]
    return [finding for look in CHECKS for finding in look(facts)]


def last_operation(output: Tensor) -> str | None:
    """The activation that the output comes from, in words; None where it comes from anything else."""
    node = _last_node(output)
    if node is None:
        return None
    if node.name().startswith("Clamp") and getattr(node, "_saved_min", None) == 0:
        return "ReLU"
    return ACTIVATIONS.get(node.name())


def _last_node(output: Tensor) -> Node | None:
    node = output.grad_fn
    while node is not None and node.name() in RESHAPES:
        node = node.next_functions[0][0] if node.next_functions else None
    return node


def _is_opaque(output: Tensor) -> bool:
    """Whether the graph does not say what the last operation is: a function of one's own, a compiled one."""
    node = _last_node(output)
    return node is not None and re.search(r"Backward\d+$", node.name()) is None


def _one_output_unit(facts: OutputFacts) -> Iterator[Finding]:
    z = facts.output
    if z.dim() > 1 and z.shape[1] == 1 and not facts.kind.has_gradient:
        description = (
            f"the output has the shape {tuple(z.shape)}, one unit: the softmax of one number is 1, and the "
            "loss is 0 with no gradient"
        )
        yield Finding("one_output_unit", description, {"units": 1.0})


def _loss_broadcasts(facts: OutputFacts) -> Iterator[Finding]:
    z, y = facts.output, facts.targets
    if z.numel() != y.numel() or z.shape == y.shape or len(z) < 2 or not y.is_floating_point():
        return
    if torch.broadcast_shapes(z.shape, y.shape).numel() == z.numel():
        return
    try:
        with torch.no_grad():
            as_is, aligned = facts.loss_fn(z, y), facts.loss_fn(z.reshape(y.shape), y)
            differs = not torch.allclose(as_is, aligned)  # pyrefly: ignore[bad-argument-type]
    except Exception:  # the loss refuses shapes that differ, or wants these
        return
    if differs:
        n = len(z)
        description = (
            f"outputs {tuple(z.shape)} and targets {tuple(y.shape)} are broadcast to {n} × {n}: every output "
            "is compared with every target"
        )
        code = (
            "loss = criterion(output.squeeze(1), y)"
            if z.dim() > y.dim()
            else "loss = criterion(output, y.squeeze(1))"
        )
        yield Finding("loss_broadcasts", description, {"images": float(n)}, code=code)


def _regression_on_class_numbers(facts: OutputFacts) -> Iterator[Finding]:
    if facts.kind.name != SQUARED or facts.targets.numel() not in (len(facts.targets), facts.output.numel()):
        return
    classes = class_count(facts.targets)
    if classes is not None and facts.targets.numel() == len(facts.targets):
        description = (
            f"the loss is a squared error of the numbers 0 … {classes - 1}: they look like classes, and are "
            "compared as quantities"
        )
        code = f"criterion = nn.CrossEntropyLoss()  # nn.Linear(features, {classes}), y.long()"
        yield Finding("regression_on_class_numbers", description, {"classes": float(classes)}, code=code)


def class_count(y: Tensor) -> int | None:
    """K, where the labels are whole numbers 0 … K − 1, all of them there and often enough to be classes."""
    y = y.detach().flatten()
    if not len(y) or not bool((y == y.round()).all()) or float(y.min()) != 0:
        return None
    counts = torch.bincount(y.long()) if float(y.max()) < len(y) else torch.zeros(1)
    if len(counts) < FEWEST_CLASSES or not bool((counts > 0).all()):
        return None
    return len(counts) if len(y) >= IMAGES_A_CLASS * len(counts) else None


def _activation(facts: OutputFacts) -> Iterator[Finding]:
    kind, z = facts.kind.name, facts.output.detach()
    if kind not in (SOFTMAX, SIGMOID):
        return
    last, rows_NK = facts.last, z.movedim(1, -1).flatten(0, -2) if z.dim() > 1 else z[:, None]
    shares = output_quantities(rows_NK.float())
    sums_elsewhere = _normalized_elsewhere(facts.output)
    if kind == SOFTMAX and sums_elsewhere is not None:
        yield _softmax_over_batch(sums_elsewhere)
    elif kind == SOFTMAX and (
        last == "softmax" or (last is None and float(shares["outputs_probabilities"]) == 1)
    ):
        yield probabilities_before_loss(float(shares["outputs_probabilities"]), facts.last_layer)
    elif last in ("sigmoid", "softmax", "hardsigmoid"):
        description = (
            f"a {last} after the last layer: outputs between {float(z.min()):.2g} and {float(z.max()):.2g}, "
            f"and the loss ({kind}) takes logits of any size"
        )
        yield Finding(
            "sigmoid_before_loss",
            description,
            {"lowest": float(z.min()), "largest": float(z.max())},
            facts.last_layer,
        )
    elif last not in (None, "log-softmax") or (_is_opaque(facts.output) and _is_cut(shares)):
        zero = float(shares["outputs_zero"])
        what = f"no logit is ever negative, {zero:.0%} are exactly 0, and those get no gradient"
        if last not in (None, "ReLU"):
            what = f"logits lie between {float(z.min()):.2g} and {float(z.max()):.2g}"
        description = f"a {last or 'ReLU'} after the last layer: {what}"
        yield Finding("activation_after_last_layer", description, {"outputs_zero": zero}, facts.last_layer)


def _is_cut(shares: Mapping[str, Tensor]) -> bool:
    return float(shares["outputs_negative"]) == 0 and CUT_AT_ZERO <= float(shares["outputs_zero"]) < 1


def _softmax_over_batch(dim: int) -> Finding:
    where = "the images of the batch" if dim == 0 else f"dimension {dim} of the output"
    description = f"the outputs are a softmax over {where} and not over the classes (dimension 1)"
    return Finding("softmax_over_batch", description, {"dim": float(dim)})


def _normalized_elsewhere(output: Tensor) -> int | None:
    """The dimension over which outputs, or their exponentials, sum to 1, if it is not that of the classes."""
    z = output.detach().double()
    for values in (z, z.exp()):
        if bool((values < 0).any()):
            continue
        sums = [d for d in range(z.dim()) if bool(((values.sum(d) - 1).abs() < SUM_TO_ONE).all())]
        if sums and 1 not in sums and z.shape[sums[0]] > 1:
            return sums[0]
    return None


def _no_log_probabilities(facts: OutputFacts) -> Iterator[Finding]:
    z = facts.output.detach().double()
    if facts.kind.name != LOG_LIKELIHOOD:
        return
    off = float((z.exp().sum(1) - 1).abs().max())
    if off < SUM_TO_ONE:
        return
    elsewhere = _normalized_elsewhere(facts.output)
    if elsewhere is not None and facts.last != "softmax":
        yield _softmax_over_batch(elsewhere)
        return
    are = "probabilities" if facts.last == "softmax" else "no log-probabilities"
    description = (
        f"the loss is a negative log-likelihood and the outputs are {are}: their exponentials should sum to "
        f"1, and are off by up to {off:.2g}"
    )
    yield Finding("nll_without_log_softmax", description, {"off": off})


def _loss_scale(facts: OutputFacts) -> Iterator[Finding]:
    kind, n = facts.kind, len(facts.output)
    if abs(kind.by_doubling - 0.5) < 0.01 and n > 1:
        description = (
            f"the loss of the same batch taken twice is half as large: a mean over {n} images is divided "
            "again"
        )
        yield Finding("loss_averaged_twice", description, {"by_doubling": kind.by_doubling})
        return
    if abs(kind.by_doubling - 2) < 0.02:
        facts.notes.append(
            f"the loss is a sum over the batch of {n}, not a mean: its gradient grows with the batch"
        )
        return
    low, high = FACTORS
    if kind.factor < low or kind.factor > high:
        description = f"the loss is {kind.factor:.3g} times the mean {kind.name}"
        yield Finding("loss_out_of_scale", description, {"factor": kind.factor})


EXCLUSIVE_CHECKS: tuple[Callable[[OutputFacts], Iterable[Finding]], ...] = (
    _one_output_unit,
    _loss_broadcasts,
    _regression_on_class_numbers,
)
CHECKS: tuple[Callable[[OutputFacts], Iterable[Finding]], ...] = (
    _activation,
    _no_log_probabilities,
    _loss_scale,
)
