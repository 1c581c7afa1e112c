"""One training step of a stack of runs becomes the rows of each run, measured for all runs at once.

Legend: B runs, N images, C channels, H × W map, K classes.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from trainlab.nn.layers import is_activation, is_weight_layer
from trainlab.signals import label_probe
from trainlab.signals.capture import Capture, LayerCapture
from trainlab.signals.quantities import FlatTails, TailsOfRuns, flat_tails
from trainlab.signals.recorder import Measurement, StepRecorder, ToldLabels
from trainlab.signals.run_dimension import ManyRuns, OneRun
from trainlab.signals.tensor_sampling import wide_dtype


class StackedRecorder(StepRecorder):
    """Measures single steps of a stack's training: for each run the rows of `SignalRecorder` for it alone.

        recorder.start()
        loss_B = mean loss of each run's batch
        loss_B.sum().backward()         # so each run's gradients are those of the run alone
        recorder.before_update()
        optimizer.step()
        measurements = recorder.finish(loss_B)

    The network takes x_BNCHW and returns logits_BNK; its stacked leaves have parameters and buffers with the
    run dimension first, and a template of the single module as `single`. The quantities are computed by the
    same functions over the run dimension: the number of operations on the device does not grow with B, and
    all numbers are read in one transfer. A run that is not finite leaves the others' rows as they are. The
    pre-activations of a measurement are views on the device.

    What runs as a loop over the runs inside a leaf is not seen: `unsupported` names the layers of a single
    run that would have rows and have none here. With any, measure each run's step alone instead.
    """

    def __init__(self, network: nn.Module, runs: int) -> None:
        stack = ManyRuns(runs)
        super().__init__(network, stack)
        self.unsupported = _layers_in_loops(network, stack)
        self._tails: dict[str, TailsOfRuns | None] = {}

    def finish(self, loss_B: Float[Tensor, " B"] | None = None) -> list[Measurement]:
        """The rows of the step, of each run; the hooks are gone. Empty where there was no forward pass."""
        return self._finish(loss_B)

    def subset(self, network: nn.Module, indices: Sequence[int]) -> "StackedRecorder":
        """That of a stack repacked to the runs at `indices`; what it read of activations stays."""
        recorder = StackedRecorder(network, len(indices))
        kept = list(indices)
        for layer, tails in self._tails.items():
            recorder._tails[layer] = None if tails is None else (tails[0][kept], tails[1][kept])
        return recorder

    def _labels(
        self, grad_NK: Float[Tensor, "*B N K"], logits_NK: Float[Tensor, "*B N K"]
    ) -> ToldLabels | None:
        return self._runs.each(label_probe.told_labels)(grad_NK, logits_NK)

    def _flat_tails(self, captured: LayerCapture) -> TailsOfRuns | None:
        if captured.activation is None:
            return None
        if captured.name not in self._tails:
            self._tails[captured.name] = _tails_of_runs(
                captured.activation, self._runs, captured.weight.device
            )
        return self._tails[captured.name]

    def _preactivations(self, capture: Capture) -> list[dict[str, Tensor]]:
        samples = {one.name: one.z.x_NPF.unbind() for one in capture.layers if one.z is not None}
        return [{name: of_runs[run] for name, of_runs in samples.items()} for run in range(self._runs.count)]


def _tails_of_runs(activation: nn.Module, stack: OneRun, device: torch.device) -> TailsOfRuns | None:
    """low_B, high_B of an activation, whose parameters are those of each run."""
    template = stack.template(activation)
    tensors = dict([*activation.named_parameters(), *activation.named_buffers()])
    state = {name: tensor.detach().cpu() for name, tensor in tensors.items()}
    found: dict[str, FlatTails | None] = {}
    tails = []
    for run in range(stack.count):
        of_run = {name: tensor[run] for name, tensor in state.items()}
        values = repr([tensor.tolist() for tensor in of_run.values()])
        if values not in found:
            found[values] = flat_tails(_with_state(template, of_run))
        tails.append(found[values])
    if None in tails:  # a matter of the activation's shape, which all runs have in common
        return None
    low_B, high_B = torch.tensor(tails, dtype=torch.float64).to(device, wide_dtype(device)).unbind(1)
    return low_B, high_B


def _with_state(template: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    if not state:
        return template
    module = copy.deepcopy(template).to_empty(device="cpu")  # a template may be without memory
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        tensor.data.copy_(state[name])
    return module


def _layers_in_loops(network: nn.Module, stack: ManyRuns) -> list[str]:
    """Layers inside stacked leaves, by their name in a single run, that the stack has no stacked leaf for."""
    templates = {name: stack.template(module) for name, module in network.named_modules()}
    leaves = [name for name, module in network.named_modules() if templates[name] is not module]
    parts = [
        (f"{name}.{inside}" if name else inside, part)
        for name in leaves
        for inside, part in templates[name].named_modules()
        if inside and (is_weight_layer(part) or is_activation(inside, part) or isinstance(part, _BatchNorm))
    ]
    missing = [name for name, part in parts if type(templates.get(name)) is not type(part)]
    return list(dict.fromkeys(missing))
