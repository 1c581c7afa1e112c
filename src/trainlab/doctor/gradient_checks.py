"""What the backward pass and a step of the optimizer show: which parameters get a gradient, which change.

Legend: U units, K inputs of one unit, G groups of a layer.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.decay_check import weight_decay_too_strong
from trainlab.doctor.layer_names import describe_layer, join_names, layers_of
from trainlab.doctor.parameter_facts import numbers_in
from trainlab.doctor.sandbox import Sandbox
from trainlab.nn.layers import weight_layers, weight_matrices_shape

CONFIRMING_STEPS = 3
"""Steps after which units that began alike must differ: weights of zero let the gradient in one by one."""


@dataclass
class GradientFacts:
    """The copied network after one backward pass, before any step. A check may add to `notes`.

    loss_again: the loss of the same batch, computed anew, for the steps that a suspicion needs.
    """

    sandbox: Sandbox
    loss: Tensor
    loss_again: Callable[[], Tensor]
    images: int
    notes: list[str] = field(default_factory=list)
    grads: Mapping[str, Tensor | None] = field(init=False)

    def __post_init__(self) -> None:
        self.grads = gradients(self.sandbox.network, self.loss)

    @property
    def network(self) -> nn.Module:
        """The copy."""
        return self.sandbox.network


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    """∂loss/∂p of each trainable parameter by its name; None where the loss does not depend on it."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return dict(zip(trained, found, strict=True))


def check_gradients(facts: GradientFacts) -> list[Finding]:
    """All that one backward pass shows, and the steps that follow from it."""
    for look in EXCLUSIVE_CHECKS:
        if found := next(iter(look(facts)), None):
            return [found]
    return [finding for look in CHECKS for finding in look(facts)]


def _no_gradient(facts: GradientFacts) -> Iterator[Finding]:
    if all(grad is None for grad in facts.grads.values()):
        description = f"the loss depends on none of the {len(facts.grads)} trainable parameters"
        yield Finding("loss_detached", description, {"parameters": float(len(facts.grads))})
    elif not any(bool(numbers_in(grad).any()) for grad in facts.grads.values() if grad is not None):
        description = f"the gradient of all {len(facts.grads)} trainable parameters is exactly 0"
        yield Finding("no_trainable_gradient", description, {"parameters": float(len(facts.grads))})


def _not_finite(facts: GradientFacts) -> Iterator[Finding]:
    broken = [
        name
        for name, grad in facts.grads.items()
        if grad is not None and not bool(numbers_in(grad).isfinite().all())
    ]
    if broken:
        layers = layers_of(facts.network, broken)
        description = (
            f"the loss is {float(facts.loss):.3g}, and the gradient of {len(broken)} of {len(facts.grads)} "
            f"parameters is not finite: {join_names(layers)}"
        )
        yield Finding("loss_not_finite", description, {"loss": float(facts.loss)}, layers[0])


def _without_gradient(facts: GradientFacts) -> Iterator[Finding]:
    missing = [name for name, grad in facts.grads.items() if grad is None]
    if missing:
        layers = layers_of(facts.network, missing)
        description = (
            f"{len(missing)} of {len(facts.grads)} trainable parameters get no gradient: the loss does not "
            f"depend on {join_names(layers)}"
        )
        yield Finding(
            "parameters_without_gradient", description, {"parameters": float(len(missing))}, layers[0]
        )


def _symmetric_units(facts: GradientFacts) -> Iterator[Finding]:
    alike = _alike_layers(facts.network, facts.grads)
    if not alike:
        return
    grads = facts.grads
    for _ in range(CONFIRMING_STEPS):  # a layer of zeros may only wait for the one above it
        _descend(facts.network, grads)
        grads = gradients(facts.network, facts.loss_again())
    still = _alike_layers(facts.network, grads)
    alike = {name: layer for name, layer in alike.items() if name in still}
    if alike:
        names = [describe_layer(name, layer) for name, layer in alike.items()]
        description = (
            f"all units of {join_names(names)} have the same weights and the same gradient, after "
            f"{CONFIRMING_STEPS} steps too: they stay copies of one another"
        )
        yield Finding("symmetric_weights", description, {"layers": float(len(names))}, names[0])


def _alike_layers(network: nn.Module, grads: Mapping[str, Tensor | None]) -> dict[str, nn.Module]:
    """The layers of which all units are one, in weights and gradient."""
    found = {}
    for name, layer in weight_layers(network):
        weight = layer.get_parameter("weight")
        grad = grads.get(f"{name}.weight" if name else "weight")
        G, U, K = weight_matrices_shape(layer)
        if grad is None or grad.is_sparse or U < 2 or K < 1 or isinstance(layer, nn.Embedding):
            continue
        if all(_rows_are_one(x.detach().reshape(G, U, K)) for x in (weight, grad)):
            found[name] = layer
    return found


def _rows_are_one(matrices_GUK: Tensor) -> bool:
    """Whether the units of every group are equal, up to the rounding of sums that run in another order."""
    spread = (matrices_GUK - matrices_GUK[:, :1]).abs().max()
    return float(spread) <= 1e-6 * float(matrices_GUK.abs().max())


@torch.no_grad()
def _descend(network: nn.Module, grads: Mapping[str, Tensor | None]) -> None:
    """A small step of plain gradient descent on the copy."""
    dense = {name: grad for name, grad in grads.items() if grad is not None and not grad.is_sparse}
    length = math.sqrt(sum(float(grad.square().sum()) for grad in dense.values()))
    for name, parameter in network.named_parameters():
        grad = dense.get(name)
        if grad is not None and length > 0:
            parameter -= 0.1 * grad / length


def _batchnorm_of_one_image(facts: GradientFacts) -> Iterator[Finding]:
    norms = [
        describe_layer(name, m)
        for name, m in facts.network.named_modules()
        if isinstance(m, _BatchNorm) and (m.training or m.running_mean is None)
    ]
    if norms and facts.images == 1:
        description = f"the batch is one image, and {len(norms)} BatchNorm layers normalize it by itself"
        yield Finding("batchnorm_of_one_image", description, {"images": 1.0}, norms[0])


def _strong_decay(facts: GradientFacts) -> Iterator[Finding]:
    finding = weight_decay_too_strong(facts.network, facts.sandbox.optimizers, facts.grads)
    return iter([] if finding is None else [finding])


def _never_changed(facts: GradientFacts) -> Iterator[Finding]:
    """A step of the copied optimizers leaves parameters as they were that have a gradient and a rate."""
    optimizers = facts.sandbox.optimizers
    names = {id(p): name for name, p in facts.network.named_parameters()}
    before = {}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group.get("lr") or group.get("initial_lr", 0)
            for p in group["params"]:
                grad = facts.grads.get(names.get(id(p), ""))
                p.grad = None if grad is None else grad.clone()
                if grad is not None and bool(numbers_in(grad).any()) and group["lr"]:
                    before[names[id(p)]] = (p, p.detach().clone())
    try:
        for optimizer in optimizers:
            optimizer.step()
    except Exception:  # needs a closure, or more than a gradient
        facts.notes.append("the optimizer's step was not made: it takes a closure")
        return
    still = [name for name, (p, value) in before.items() if torch.equal(p, value)]
    # a gradient that vanishes on its way down moves a part of the layers by less than float32 can tell
    is_half = any(before[name][0].dtype.itemsize < 4 for name in still)
    if still and (is_half or len(still) == len(before)):
        layers = layers_of(facts.network, still)
        kind = str(before[still[0]][0].dtype).removeprefix("torch.")
        description = (
            f"a step of the optimizer changes no bit of {len(still)} of {len(before)} parameters that have a "
            f"gradient ({kind}): {join_names(layers)}"
        )
        yield Finding("parameters_never_change", description, {"parameters": float(len(still))}, layers[0])


EXCLUSIVE_CHECKS: tuple[Callable[[GradientFacts], Iterable[Finding]], ...] = (_not_finite, _no_gradient)
CHECKS: tuple[Callable[[GradientFacts], Iterable[Finding]], ...] = (
    _without_gradient,
    _batchnorm_of_one_image,
    _strong_decay,
    _symmetric_units,
    _never_changed,
)
