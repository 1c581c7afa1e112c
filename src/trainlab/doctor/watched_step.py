"""One measured step of somebody else's loop: from the first call of the network to the optimizers' end."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainlab.doctor.loop_losses import Loss
from trainlab.doctor.loss_graph import LossFacts, read_loss
from trainlab.doctor.module_calls import LoopCapture, OnFault, Spending, listen_to, weights_only
from trainlab.doctor.module_facts import drawn_layers, mode_rows
from trainlab.doctor.parameter_facts import ParameterStep, Prints
from trainlab.signals.capture import Capture, Inputs
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.quantities import FlatTails
from trainlab.signals.recorder import SignalRecorder
from trainlab.signals.rows import Row, Value

OF_CLASSES = (
    "outputs_probabilities", "outputs_negative", "outputs_zero", "majority_share",
    "noise_scale",
)  # fmt: skip
"""Quantities that mean what they say only where the outputs are logits of classes."""

OF_SCALED_GRADIENTS = ("weight_grad_norm", "weight_grad_rms")


@dataclass(frozen=True)
class Watched:
    """What is watched, and how. layers: which weight layers, by their names. tails: those of the activations,
    as they are found out."""

    network: nn.Module
    optimizers: Sequence[Optimizer]
    layers: Callable[[str], bool]
    is_compiled: bool
    on_fault: OnFault
    spending: Spending
    tails: MutableMapping[nn.Module, FlatTails | None]


LabelledBatch: TypeAlias = tuple[Tensor, Tensor, int]
"""Pixels x_ND of a batch, its labels y_N, and how many classes there are."""


@dataclass(frozen=True)
class StepTrace:
    """What a step leaves for the next one that is measured."""

    prints: Prints
    batch: Tensor | None


@dataclass(frozen=True)
class StepFacts:
    """A measured step: its rows, the loss, how many layers were called, and what it leaves."""

    rows: list[Row]
    loss: LossFacts
    captured: int
    batch_size: int | None
    was_called: bool
    is_reached: bool
    labelled: LabelledBatch | None
    trace: StepTrace


class LoopRecorder(SignalRecorder):
    """The recorder of one step, on a network that nobody built for it. Listens from its making on."""

    capture: LoopCapture
    labelled: LabelledBatch | None = None

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched.network)
        self._watched, self._tails = watched, watched.tails
        self.start()

    def _new_capture(self) -> Capture:
        watched = self._watched
        if watched.is_compiled:
            self.capture = weights_only(watched.network, watched.layers)
        else:
            self.capture = listen_to(watched.network, watched.layers, watched.on_fault, watched.spending)
        return self.capture

    def _label_quantities(self, capture: Capture, scale: float) -> dict[str, Value]:
        """Puts the batch aside, with the labels that the gradient tells (`label_sample`)."""
        output, x_ND = capture.output, capture.features_ND
        if output is not None and output.grad_NK is not None and x_ND is not None:
            labels = self._labels(output.grad_NK / scale, output.logits_NK)
            if labels is not None:
                self.labelled = x_ND, labels[0], output.logits_NK.shape[-1]
        return {}


class WatchedStep:
    """Listens from its making to `finish`, or `cancel`. `last`: what the last measured step has left."""

    def __init__(self, watched: Watched, last: StepTrace | None) -> None:
        self.watched, self._last = watched, last
        self._recorder = LoopRecorder(watched)
        self._parameters = ParameterStep(watched.network, watched.optimizers, last.prints if last else None)
        self.loss = LossFacts()
        self._modes: dict[str, float] = {}
        self._fused_scale = 1.0

    @property
    def reached_now(self) -> bool:
        """Whether the last backward pass has come to the network."""
        return self._parameters.reached_now

    def enter(self, module: nn.Module, inputs: Inputs) -> None:
        """The call that this step begins with."""
        self._recorder.capture.enter(module, inputs)

    def before_backward(self, tensors: Sequence[Tensor]) -> None:
        """A backward pass begins, of this network or of another."""
        capture = self._recorder.capture
        if not capture.closed and tensors[0].numel() == 1:
            self.loss = read_loss(tensors[0])
            self._modes = mode_rows(self.watched.network)
        capture.close()
        self._parameters.before_backward()

    def after_backward(self) -> None:
        """A backward pass is done."""
        self._parameters.after_backward()

    def before_update(self, optimizer: Optimizer) -> None:
        """Gradients are there, and `optimizer` is about to change parameters; the first of several counts."""
        if self._parameters.prints:
            return
        fused = getattr(optimizer, "grad_scale", None)  # such a one unscales for itself
        self._fused_scale = float(fused) if isinstance(fused, Tensor) else 1.0
        self._parameters.before_update(optimizer)
        capture = self._recorder.capture
        capture.layers = [one for one in capture.layers if _is_dense(one.weight)]
        self._recorder.before_update(grad_scale=self.loss.scale)

    def finish(self, loss: Loss | None) -> StepFacts:
        """The optimizers are done."""
        capture = self._recorder.capture
        with torch.autocast(_device_type(self.watched.network), enabled=False):
            rows = self._recorder.finish(None if loss is None else torch.as_tensor(loss)).rows
        self._parameters.remove()
        is_of_classes = self.loss.is_cross_entropy
        if is_of_classes is None:  # the gradient by the outputs told labels, as only a cross-entropy's does
            is_of_classes = self._recorder.labelled is not None
        if not is_of_classes:
            rows = [row for row in rows if row[1] not in OF_CLASSES]
        rows = [self._unscaled(row) for row in rows]
        rows += [(NETWORK, name, value) for name, value in self._loop_rows(is_of_classes).items()]
        if self._last is None:
            rows += [(name, "as_drawn", value) for name, value in drawn_layers(self.watched.network).items()]
        return StepFacts(
            rows,
            self.loss,
            len(capture.layers),
            capture.batch_size,
            capture.was_called,
            self._parameters.is_reached,
            self._recorder.labelled if is_of_classes else None,
            StepTrace(self._parameters.prints, capture.batch),
        )

    def cancel(self) -> None:
        """Takes all hooks off."""
        self._recorder.cancel()
        self._parameters.remove()

    def _unscaled(self, row: Row) -> Row:
        layer, quantity, value = row
        return (layer, quantity, value / self._fused_scale) if quantity in OF_SCALED_GRADIENTS else row

    def _loop_rows(self, is_of_classes: bool) -> dict[str, float]:
        capture, loss = self._recorder.capture, self.loss
        rows = self._parameters.rows(loss.scale) | self._modes
        if not self.watched.is_compiled:
            rows["network_called"] = float(capture.was_called)
        if self._last is not None and capture.batch is not None and self._last.batch is not None:
            rows["same_batch"] = float(torch.equal(capture.batch, self._last.batch))
        if loss.kind is not None or is_of_classes:
            rows["loss_cross_entropy"] = float(is_of_classes)
        if loss.is_cross_entropy and loss.classes:
            rows["output_units"] = float(loss.classes)
        if loss.right is not None:
            rows["batch_accuracy"] = loss.right
        faults = {
            "softmax_over_batch": loss.softmax_over_images,
            "outputs_not_normalized": loss.is_normalized is False,
            "sigmoid_before_loss": loss.sigmoid_twice,
        }
        return rows | {name: 1.0 for name, holds in faults.items() if holds}


def _is_dense(weight: Tensor) -> bool:
    """Whether a weight and its gradient are plain tensors, as all quantities take them."""
    grad = weight.grad
    return type(weight) in (Tensor, nn.Parameter) and not (grad is not None and grad.is_sparse)


def _device_type(network: nn.Module) -> str:
    return next((parameter.device.type for parameter in network.parameters()), "cpu")
