"""What only the user's own training step shows: run three times on copies, and watched from outside."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from trainlab.diagnosis.causes.step_size import CLIPPED
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.batch_reader import LabelledBatch
from trainlab.doctor.failed_step import short_error
from trainlab.doctor.model_checks import mode_dependent_layers
from trainlab.doctor.parameter_facts import numbers_in
from trainlab.doctor.sandbox import Sandbox
from trainlab.errors import RequestError

OwnStep = Callable[..., object]
"""`step(model, x, y, optimizer)`: a whole training step, from zero_grad to the optimizer's step."""

STEPS = 3

RESCALING = ("Adam", "RMSprop", "Adagrad", "Adadelta", "Rprop", "Lion", "Muon")
"""Optimizers that divide the gradient by its own size, by a part of their name: clipping changes little."""


@dataclass
class _StepRecord:
    """What one call of the step did."""

    forward_modes: list[tuple[bool, bool]] = field(default_factory=list)  # (training, gradients are on)
    fresh: dict[int, Tensor] = field(default_factory=dict)  # what its backward passes gave, by parameter
    left_over: bool = False
    updates: int = 0
    at_update: dict[int, Tensor] = field(default_factory=dict)


class _Watcher:
    """Hooks on the copies; `record` is of the step that is being made."""

    def __init__(self, network: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self.record = _StepRecord()
        self.network = network
        self._handles: list[RemovableHandle] = [network.register_forward_pre_hook(self._enter)]
        for p in network.parameters():
            if p.requires_grad:
                self._handles.append(p.register_hook(self._on_gradient(p)))
        for optimizer in optimizers:
            self._handles.append(optimizer.register_step_pre_hook(self._before_update))

    def remove(self) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _enter(self, module: nn.Module, inputs: object) -> None:
        self.record.forward_modes.append((module.training, torch.is_grad_enabled()))

    def _on_gradient(self, parameter: nn.Parameter) -> Callable[[Tensor], None]:
        def take(grad: Tensor) -> None:
            known = self.record.fresh.get(id(parameter))
            if known is None and parameter.grad is not None and bool(numbers_in(parameter.grad).any()):
                self.record.left_over = True
            self.record.fresh[id(parameter)] = (
                grad.detach().clone() if known is None else known + grad.detach()
            )

        return take

    def _before_update(self, optimizer: Optimizer, args: object, kwargs: object) -> None:
        self.record.updates += 1
        for group in optimizer.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.record.at_update[id(p)] = p.grad.detach().clone()


def check_own_step(
    step: OwnStep, sandbox: Sandbox, batch: LabelledBatch, has_gradients: bool
) -> tuple[list[Finding], bool]:
    """What is wrong in the step; and whether it ran the network in training mode.

    Of a network that is frozen as a whole nothing is found: `model_checks` says so.

    Raises RequestError for a step without an optimizer, and for one that never runs what it is given.
    """
    if not sandbox.optimizers:
        raise RequestError(
            "check: step=… needs the optimizer too: check(model, loss, batch, optimizer, step=…)"
        )
    if not any(p.requires_grad for p in sandbox.network.parameters()):
        return [], sandbox.network.training
    watcher = _Watcher(sandbox.network, sandbox.optimizers)
    before = {id(p): p.detach().clone() for p in sandbox.network.parameters()}
    optimizer = sandbox.optimizers[0] if len(sandbox.optimizers) == 1 else sandbox.optimizers
    records: list[_StepRecord] = []
    try:
        for _ in range(STEPS):
            watcher.record = _StepRecord()
            data = batch.copy(sandbox.device)
            with torch.set_grad_enabled(has_gradients):
                step(sandbox.network, data.inputs, data.targets, optimizer)
            records.append(watcher.record)
    except Exception as error:
        records.append(watcher.record)
        return [_failure(error, records[-1])], _is_training(records[-1])
    finally:
        watcher.remove()
    if not any(record.forward_modes for record in records):
        raise RequestError(
            "check: step never runs the network that it is given: step(model, x, y, optimizer)"
        )
    changed = any(not torch.equal(p, before[id(p)]) for p in sandbox.network.parameters())
    return _findings(records, sandbox, changed), _is_training(records[-1])


def _is_training(record: _StepRecord) -> bool:
    return any(training for training, _ in record.forward_modes)


def _failure(error: Exception, record: _StepRecord) -> Finding:
    if "does not require grad" in str(error):
        if record.forward_modes and not record.forward_modes[-1][1]:
            return Finding(
                "gradients_disabled", "the step runs the network with gradients switched off (no_grad)"
            )
        return Finding(
            "loss_detached", "backward() fails: the loss has no gradient, it is cut off from the network"
        )
    return Finding("step_fails", f"the step raises {short_error(error)}")


def _findings(records: Sequence[_StepRecord], sandbox: Sandbox, changed: bool) -> list[Finding]:
    last = records[-1]
    found: list[Finding] = []
    layers = mode_dependent_layers(sandbox.network)
    if last.forward_modes and not _is_training(last) and layers:
        description = (
            f"the step runs the network in evaluation mode: {len(layers)} layers behave as in the test"
        )
        found.append(Finding("eval_mode_in_training", description, {"layers": float(len(layers))}, layers[0]))
    if last.forward_modes and not any(enabled for _, enabled in last.forward_modes):
        found.append(
            Finding("gradients_disabled", "the step runs the network with gradients switched off (no_grad)")
        )
    elif not any(record.fresh for record in records):
        description = f"in {len(records)} steps no backward pass reached a parameter"
        found.append(Finding("no_backward", description, {"steps": float(len(records))}))
    elif not any(record.updates for record in records):
        description = f"in {len(records)} steps gradients were computed and the optimizer never stepped"
        found.append(Finding("no_optimizer_step", description, {"steps": float(len(records))}))
    else:
        found += _update_findings(records, sandbox, changed)
    return found


def _update_findings(records: Sequence[_StepRecord], sandbox: Sandbox, changed: bool) -> list[Finding]:
    last = records[-1]
    if not any(bool(numbers_in(grad).any()) for grad in last.at_update.values()):
        what = (
            "zero_grad() stands between backward() and step()" if last.fresh else "no backward pass before it"
        )
        return [Finding("no_backward", f"the optimizer steps with no gradient, or one of zeros: {what}")]
    if all(record.left_over for record in records[1:]) and all(record.updates for record in records):
        shares = [_length(r.at_update.values()) / max(_length(r.fresh.values()), 1e-30) for r in records]
        description = (
            "when a backward pass begins, the gradient of the step before is still there: in the last of "
            f"{len(records)} steps the update goes along {shares[-1]:.2f} times what the pass gave"
        )
        return [Finding("gradients_add_up", description, {"gradient_over_new": shares[-1]})]
    found = []
    if not changed:
        description = f"after {len(records)} steps of the optimizer no bit of any parameter has changed"
        found.append(Finding("parameters_never_change", description, {"steps": float(len(records))}))
    left = max(_length(r.at_update.values()) / max(_length(r.fresh.values()), 1e-30) for r in records)
    rescales = any(name in type(one).__name__ for one in sandbox.optimizers for name in RESCALING)
    if left < CLIPPED and not rescales:
        description = (
            f"clipping leaves {left:.2g} of the gradient's length, or less, in each of {len(records)} steps"
        )
        found.append(Finding("gradient_clip_too_small", description, {"gradient_left": left}))
    return found


def _length(tensors: Iterable[Tensor]) -> float:
    return sum(float(numbers_in(t).double().square().sum()) for t in tensors) ** 0.5
