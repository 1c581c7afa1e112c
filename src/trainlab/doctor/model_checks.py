"""What network and optimizer show before any step: who holds which parameters, what is frozen, modes.

All exact but one: whether frozen weights are still those that they were made with (`is_as_drawn`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from trainlab.diagnosis.causes.loop_faults import MOST_DROPPED
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.drawn_weights import has_initial_statistics, is_as_drawn
from trainlab.doctor.layer_names import describe_layer, join_names, layers_of
from trainlab.doctor.module_facts import DROPOUTS
from trainlab.doctor.parameter_facts import held_by
from trainlab.nn.layers import weight_layers


@dataclass
class ModelFacts:
    """The network and its optimizers as they were handed over. A check may add to `notes`.

    as_trained: a copy of the network in the modes in which it trains. others: parameters of the loss.
    has_gradients: whether gradients were switched on where the check was called.
    """

    network: nn.Module
    as_trained: nn.Module
    optimizers: Sequence[Optimizer]
    others: frozenset[int] = frozenset()
    has_gradients: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that could be trained, by name."""
        return {name: p for name, p in self.network.named_parameters() if p.requires_grad}

    @property
    def held(self) -> list[nn.Parameter]:
        """All that the optimizers hold, each once."""
        return held_by(self.optimizers)


def check_model(facts: ModelFacts) -> list[Finding]:
    """All that can be seen before a step, in order."""
    return [finding for look in CHECKS for finding in look(facts)]


def _gradients_disabled(facts: ModelFacts) -> Iterator[Finding]:
    if not facts.has_gradients:
        description = (
            "gradients are switched off where the step is made: inside torch.no_grad(), inference_mode() or "
            "after torch.set_grad_enabled(False)"
        )
        yield Finding("gradients_disabled", description)


def _optimizer_of_other_model(facts: ModelFacts) -> Iterator[Finding]:
    if not facts.optimizers or not facts.held:
        return
    own = {id(p) for p in facts.network.parameters()}
    held = facts.held
    if any(id(p) in own for p in held):
        return
    shapes = [tuple(p.shape) for p in facts.network.parameters()]
    like = ", of the same shapes: of an earlier copy" if shapes == [tuple(p.shape) for p in held] else ""
    description = (
        f"none of the optimizer's {len(held)} parameters is one of this network's {len(shapes)}{like}"
    )
    yield Finding(
        "optimizer_of_other_model", description, {"held": float(len(held)), "own": float(len(shapes))}
    )


def _parameters_not_in_optimizer(facts: ModelFacts) -> Iterator[Finding]:
    held = {id(p) for p in facts.held}
    own = {id(p) for p in facts.network.parameters()}
    if not facts.optimizers or not held & own:
        return
    missing = {name: p for name, p in facts.trained.items() if id(p) not in held}
    strangers = sum(id(p) not in own | facts.others for p in facts.held)
    if strangers:
        facts.notes.append(f"the optimizer holds {strangers} parameters that are not this network's")
    if not missing:
        return
    layers = layers_of(facts.network, missing)
    values = sum(p.numel() for p in missing.values())
    total = sum(p.numel() for p in facts.trained.values())
    description = (
        f"{len(missing)} of {len(facts.trained)} trainable parameters ({values:,} of {total:,} numbers) are "
        f"not in the optimizer: those of {join_names(layers)}"
    )
    numbers = {"missing": float(len(missing)), "share": values / total}
    yield Finding("parameters_not_in_optimizer", description, numbers, layers[0])


def _learning_rate_zero(facts: ModelFacts) -> Iterator[Finding]:
    groups = [group for optimizer in facts.optimizers for group in optimizer.param_groups]
    rates = [(float(group.get("lr", math.nan)), float(group.get("initial_lr", 0))) for group in groups]
    if not rates or any(rate != 0 for rate, _ in rates):
        still = sum(rate == 0 for rate, _ in rates)
        if still:
            facts.notes.append(f"{still} of {len(rates)} parameter groups have the learning rate 0")
        return
    if any(first > 0 for _, first in rates):
        facts.notes.append("the learning rate is 0 now, by a schedule: the step was made at its first rate")
        return
    yield Finding(
        "learning_rate_zero", f"the learning rate of all {len(rates)} parameter groups is 0", {"lr": 0.0}
    )


def _frozen(facts: ModelFacts) -> Iterator[Finding]:
    layers = weight_layers(facts.network)
    frozen = [(name, layer) for name, layer in layers if not layer.get_parameter("weight").requires_grad]
    if not facts.trained:
        count = len(list(facts.network.parameters()))
        description = f"all {count} parameters are frozen (requires_grad=False): nothing can be trained"
        yield Finding("no_trainable_gradient", description, {"layers_frozen": float(len(frozen))})
        return
    if not frozen:
        return
    told = [is_as_drawn(layer) for _, layer in frozen]
    known = [is_drawn for is_drawn in told if is_drawn is not None]
    what = f"{len(frozen)} of {len(layers)} weight layers are frozen, {len(layers) - len(frozen)} train"
    if not known or not all(known):
        facts.notes.append(f"{what}; the frozen weights are not as an initializer draws them: pretrained")
        return
    first = describe_layer(*frozen[0])
    description = (
        f"{what}, and the frozen weights are the random numbers that they were made with, from {first} on"
    )
    numbers = {"layers_frozen": float(len(frozen)), "layers": float(len(layers))}
    yield Finding("frozen_at_initialization", description, numbers, first)


def _batchnorm_modes(facts: ModelFacts) -> Iterator[Finding]:
    """Norm layers that are trained and do not normalize by the batch; those that are frozen and move."""
    norms = [(name, m) for name, m in facts.as_trained.named_modules() if _has_running_statistics(m)]
    if facts.as_trained.training:
        still = [(name, m) for name, m in norms if not _follows_batches(m)]
        fresh = [(name, m) for name, m in still if has_initial_statistics(m)]
        if fresh:
            description = (
                f"{len(fresh)} of {len(norms)} BatchNorm layers are in evaluation mode while the network "
                "trains, with running statistics of mean 0 and variance 1: they do not normalize"
            )
            layer = describe_layer(*fresh[0])
            yield Finding(
                "batchnorm_frozen", description, {"batchnorm_frozen": len(fresh) / len(norms)}, layer
            )
        elif still:
            facts.notes.append(f"{len(still)} of {len(norms)} BatchNorm layers keep the statistics they have")
    moving = [(name, m) for name, m in norms if _follows_batches(m) and _is_frozen(m)]
    trained = [(name, m) for name, m in moving if not has_initial_statistics(m)]
    if trained and facts.trained:
        layer = describe_layer(*trained[0])
        description = (
            f"{len(trained)} frozen BatchNorm layers are in training mode: their running statistics, which "
            f"are those of the pretraining, go on following the batches, from {layer} on"
        )
        yield Finding("frozen_batchnorm_moves", description, {"layers": float(len(trained))}, layer)


def _eval_mode_in_training(facts: ModelFacts) -> Iterator[Finding]:
    if facts.as_trained.training:
        return
    changed = mode_dependent_layers(facts.as_trained)
    if changed:
        description = (
            f"model.training is False: {len(changed)} layers behave as in the test: {join_names(changed)}"
        )
        yield Finding("eval_mode_in_training", description, {"layers": float(len(changed))}, changed[0])


def mode_dependent_layers(network: nn.Module) -> list[str]:
    """The layers that act in another way in training than in evaluation, described."""
    return [
        describe_layer(name, m)
        for name, m in network.named_modules()
        if isinstance(m, _BatchNorm) or (isinstance(m, DROPOUTS) and m.p > 0)
    ]


def _dropout_leaves_nothing(facts: ModelFacts) -> Iterator[Finding]:
    for name, module in facts.as_trained.named_modules():
        if isinstance(module, DROPOUTS) and module.p >= MOST_DROPPED and module.training:
            layer = describe_layer(name, module)
            description = f"{layer} sets {module.p:.0%} of its units to zero, and keeps {1 - module.p:.0%}"
            yield Finding("dropout_leaves_nothing", description, {"p": float(module.p)}, layer)
            return


def _hidden_tensors(facts: ModelFacts) -> Iterator[Finding]:
    """Tensors with a gradient that are attributes and no parameters."""
    own = {id(p) for p in facts.network.parameters()}
    found = [
        f"{name}.{attribute}" if name else attribute
        for name, module in facts.network.named_modules()
        for attribute, value in vars(module).items()
        if isinstance(value, Tensor) and value.is_leaf and value.requires_grad and id(value) not in own
    ]
    if found:
        description = (
            f"{join_names(found)}: tensors with a gradient that are no nn.Parameter: no optimizer gets them"
        )
        code = f"self.{found[0].rpartition('.')[2]} = nn.Parameter(tensor)"
        yield Finding(
            "layers_not_registered", description, {"tensors": float(len(found))}, found[0], code=code
        )


CHECKS: tuple[Callable[[ModelFacts], Iterable[Finding]], ...] = (
    _gradients_disabled,
    _frozen,
    _optimizer_of_other_model,
    _parameters_not_in_optimizer,
    _hidden_tensors,
    _learning_rate_zero,
    _eval_mode_in_training,
    _batchnorm_modes,
    _dropout_leaves_nothing,
)


def _has_running_statistics(module: nn.Module) -> bool:
    """BatchNorm, and what stands in for it with statistics in buffers (torchvision's FrozenBatchNorm2d)."""
    mean, var = getattr(module, "running_mean", None), getattr(module, "running_var", None)
    is_instance_norm = isinstance(module, nn.InstanceNorm1d | nn.InstanceNorm2d | nn.InstanceNorm3d)
    return isinstance(mean, Tensor) and isinstance(var, Tensor) and not is_instance_norm


def _follows_batches(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.training


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)
