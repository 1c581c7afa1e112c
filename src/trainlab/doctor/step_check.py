"""One step of anybody's network, loss and optimizer: is it wired so that it can learn?

Legend: N images, K classes.
"""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.diagnosis.consequences import without_consequences
from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.batch_reader import BatchReader, LabelledBatch, Unpack
from trainlab.doctor.failed_step import (
    ForwardTrace,
    explain_failed_forward,
    explain_failed_loss,
    labels_out_of_range,
    short_error,
)
from trainlab.doctor.gradient_checks import GradientFacts, check_gradients
from trainlab.doctor.image_checks import check_images, out_of_scale
from trainlab.doctor.layer_names import describe_layer, join_names
from trainlab.doctor.model_checks import ModelFacts, check_model
from trainlab.doctor.output_checks import OutputFacts, check_output
from trainlab.doctor.own_step import OwnStep, check_own_step
from trainlab.doctor.packed_tensors import logits_of
from trainlab.doctor.report import CheckReport
from trainlab.doctor.sandbox import (
    LossFunction,
    Sandbox,
    call_network,
    checked_network,
    checked_optimizers,
    preserve_objects,
)
from trainlab.errors import RequestError
from trainlab.forecast.isolation import preserve_global_state, unwrap_model
from trainlab.signals.wiring import UnregisteredLayers

FEWEST_OF_ONE_CLASS = 8
"""Images of a batch that are all of one class, from which on it is worth a note."""

MODE_CAUSES = ("eval_mode_in_training", "batchnorm_frozen")
"""What a step of one's own mends that calls `model.train()` itself."""


def check(
    model: nn.Module,
    loss_fn: LossFunction | None,
    batch: object,
    optimizer: Optimizer | Sequence[Optimizer] | None = None,
    *,
    step: OwnStep | None = None,
    unpack: Unpack | None = None,
) -> CheckReport:
    """What is wrong in how `model`, `loss_fn(model(x), y)` and `optimizer` are put together, from one step.

        assert not trainlab.check(model, nn.CrossEntropyLoss(), (x, y), optimizer)

    batch: (x, y), a dictionary of them, a DataLoader or a Dataset, of which the first batch is taken; for any
    other, `unpack` gives (x, y) of a batch. x may be a tuple or a dictionary of arguments. `step`: your own
    training step, `step(model, x, y, optimizer)`, which is run three times on copies: so what only a loop
    shows is seen (zero_grad, backward, step, modes, clipping); `loss_fn` may then be None.

    The step is made on copies. Network, optimizer, gradients, random states, modes and flags stay as they
    were to the bit, by an error too. Each module keeps its mode: call it as you would train.

    The report is true where something was found, `.raise_if_any()` raises it. A step that fails is a finding.
    Raises RequestError, in one line, for what is no network, optimizer or batch.
    """
    has_gradients = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    network = checked_network(model)
    optimizers = checked_optimizers(optimizer)
    if not callable(loss_fn) and not (loss_fn is None and step is not None):
        raise RequestError(f"check: got a {type(loss_fn).__name__} for the loss, expected loss_fn(output, y)")
    kept = [network, *([loss_fn] if isinstance(loss_fn, nn.Module) else [])]
    with ExitStack() as stack:
        stack.enter_context(preserve_global_state(batch))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")  # torch's own words about what is found here
        sandbox = Sandbox(network, loss_fn, optimizers)
        stack.enter_context(preserve_objects(kept, optimizers))
        data = BatchReader(batch, unpack, "check").first()
        checked = _StepCheck(sandbox, data)
        others = loss_fn.parameters() if isinstance(loss_fn, nn.Module) else ()
        facts = ModelFacts(
            unwrap_model(network),
            checked.sandbox.network,
            optimizers,
            frozenset(map(id, others)),
            has_gradients,
            checked.notes,
        )
        before = check_model(facts)
        checked.run()
        findings = [*checked.findings, *before]
        if step is not None:
            of_step, trains = check_own_step(step, Sandbox(network, None, optimizers), data, has_gradients)
            findings = [*of_step, *(f for f in findings if not (trains and f.cause in MODE_CAUSES))]
    return CheckReport(without_consequences(findings), tuple(checked.notes))


@dataclass
class _StepCheck:
    """The step on the copies, as far as it can be made, and what it shows on the way."""

    sandbox: Sandbox
    batch: LabelledBatch
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _last_layer: str | None = None

    def run(self) -> None:
        """Inputs, forward pass, loss, backward pass, update: until one of them fails."""
        data = self.batch.copy(self.sandbox.device)
        x = data.x
        assert x is not None
        self.findings += check_images(x)
        self._note_one_class(data.y)
        forward = self._forward(data, x)
        if forward is None or self.sandbox.loss_fn is None:
            return
        output, logits = forward
        if logits is not None and isinstance(data.y, Tensor) and self._labels_crash_device(logits, data.y):
            return
        loss = self._loss(output, data)
        if loss is None:
            return
        if logits is not None and isinstance(data.y, Tensor):
            facts = OutputFacts(logits, data.y, self.sandbox.loss_fn, self.notes, self._last_layer)
            self.findings += check_output(facts)
        elif logits is None:
            self.notes.append("the output is not one tensor: what the loss does with it was not looked at")
        self._backward(loss, data, len(x))

    def _forward(self, data: LabelledBatch, x: Tensor) -> tuple[object, Tensor | None] | None:
        network = self.sandbox.network
        trace, unregistered = ForwardTrace(network), UnregisteredLayers(network.modules())
        unregistered.inside = True
        try:
            output = self.sandbox.forward(data.copy().inputs)
        except Exception as error:
            self.findings.append(explain_failed_forward(network, x, trace, error))
            return None
        finally:
            trace.remove()
            unregistered.remove()
        self._note_unregistered(unregistered)
        self._last_layer = trace.last_activation
        if found := out_of_scale(x, trace.first_z):
            self.findings.append(found)
        return output, logits_of(output)

    def _note_unregistered(self, layers: UnregisteredLayers) -> None:
        if not len(layers):
            return
        names = _paths_in(self.sandbox.network, layers.found)
        own = sum(
            1 for m in self.sandbox.network.modules() if next(m.parameters(recurse=False), None) is not None
        )
        description = (
            f"{len(layers)} layers with weights run in the network and are not among its parameters, {own} "
            f"are: {join_names(names)}; a plain list hides them, ModuleList registers them"
        )
        numbers = {"unregistered_layers": float(len(layers))}
        self.findings.append(Finding("layers_not_registered", description, numbers))

    def _labels_crash_device(self, logits: Tensor, y: Tensor) -> bool:
        """Classes out of range end a process's use of a GPU: they are looked for before the loss is taken."""
        if logits.device.type == "cpu" or (found := labels_out_of_range(logits, y)) is None:
            return False
        ignored = getattr(self.sandbox.loss_fn, "ignore_index", -100)
        if labels_out_of_range(logits, y.masked_fill(y == ignored, 0)) is None:
            return False
        self.findings.append(found)
        return True

    def _loss(self, output: object, data: LabelledBatch) -> Tensor | None:
        assert self.sandbox.loss_fn is not None
        try:
            loss = self.sandbox.loss_fn(output, data.copy().targets)
        except Exception as error:
            self.findings.append(explain_failed_loss(logits_of(output), data.targets, error))
            return None
        if not isinstance(loss, Tensor):
            description = (
                f"the loss is a {type(loss).__name__}, expected a tensor that can be propagated back"
            )
            self.findings.append(Finding("loss_detached", description))
            return None
        if loss.numel() != 1:
            description = f"the loss has the shape {tuple(loss.shape)}, expected one number: reduction='mean'"
            self.findings.append(Finding("step_fails", description, code="loss = loss.mean()"))
            return None
        if not bool(loss.isfinite()):
            description = f"the loss is {float(loss):.3g} at the first step"
            self.findings.append(Finding("loss_not_finite", description, {"loss": float(loss)}))
            return None
        return loss

    def _backward(self, loss: Tensor, data: LabelledBatch, images: int) -> None:
        trained = any(p.requires_grad for p in self.sandbox.network.parameters())
        if not loss.requires_grad:
            if trained:
                self.findings.append(_detached(self.sandbox, data))
            return
        if not trained:
            return
        again = lambda: self._loss_again(data)  # noqa: E731
        try:
            facts = GradientFacts(self.sandbox, loss, again, images, self.notes)
        except RuntimeError as error:
            self.findings.append(Finding("step_fails", f"the backward pass fails: {short_error(error)}"))
            return
        self.findings += check_gradients(facts)

    def _loss_again(self, data: LabelledBatch) -> Tensor:
        assert self.sandbox.loss_fn is not None
        loss = self.sandbox.loss_fn(self.sandbox.forward(data.copy().inputs), data.copy().targets)
        assert isinstance(loss, Tensor)
        return loss

    def _note_one_class(self, y: Tensor | None) -> None:
        if y is None or y.is_floating_point() or y.dim() != 1 or len(y) < FEWEST_OF_ONE_CLASS:
            return
        if bool((y == y[0]).all()):
            self.notes.append(
                f"all {len(y)} labels of the batch are {int(y[0])}: check_data looks at the order"
            )


def _paths_in(network: nn.Module, hidden: Sequence[nn.Module]) -> list[str]:
    """Where layers that are not registered are kept: `hidden[2] (Linear 100→100)`, in an order."""
    paths = {}
    for name, module in network.named_modules():
        for attribute, value in vars(module).items():
            parts = value.values() if isinstance(value, dict) else value
            if isinstance(parts, list | tuple | set) or isinstance(value, dict):
                place = f"{name}.{attribute}" if name else attribute
                paths |= {id(part): f"{place}[{k}]" for k, part in enumerate(parts)}
    return sorted(describe_layer(paths.get(id(layer), "a layer"), layer) for layer in hidden)


def _detached(sandbox: Sandbox, data: LabelledBatch) -> Finding:
    """Where the way back is cut: in the network, or between its output and the loss."""
    output = logits_of(call_network(sandbox.network, data.copy().inputs))
    if output is not None and output.requires_grad:
        return Finding(
            "loss_detached", "the output has a gradient and the loss has none: the loss cuts it off"
        )
    what = "detach(), numpy(), no_grad() or argmax() in its forward"
    if output is not None and not output.is_floating_point():
        what = f"its output is {str(output.dtype).removeprefix('torch.')}: argmax has no gradient"
    return Finding("loss_detached", f"the network's output has no gradient: {what}")
