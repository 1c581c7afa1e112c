"""Everything that a forecast is made of, measured at initialization: passes forward and backward, no step.

Two gradients are taken. That of the loss is what the first step follows. But as long as the logits are the
same for all images it mostly moves the classes' shares; what comes after is the label gradient, toward the
labels less their shares. A network that cannot tell images apart has the first and lacks the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from trainlab.forecast.effective_update import effective_update
from trainlab.forecast.functional_model import FunctionalModel, inner_product
from trainlab.forecast.gradients import (
    Gradients,
    compute_gradients,
    label_gradient_growth,
    safe_ratio,
    small_step_scale,
    step_curvature,
    weights_norm,
)
from trainlab.forecast.image_sample import ImageSample
from trainlab.forecast.line_probe import LinePoint, LineProbes
from trainlab.forecast.linearized_training import LinearizedRun, linearize
from trainlab.forecast.optimizer_factory import MakeOptimizer
from trainlab.nn.layers import weight_layers
from trainlab.signals.recorder import SignalRecorder

LINEAR_DISPLACEMENT = 1e-2
"""Relative displacement of the layer that moves most at which the network still counts as linear."""

GROWTH_STEPS = (5, 20)
"""Steps after which the label gradient is measured again, at the weights displaced so far."""


@dataclass(frozen=True)
class StepBudget:
    """Optimizer steps, and the learning-rate schedule's mean and largest factor.

    course: (step, factor) at some steps from the first to the last; empty without a schedule.
    """

    steps: int
    mean_factor: float = 1.0
    largest_factor: float = 1.0
    course: Sequence[tuple[int, float]] = ()

    @property
    def full_steps(self) -> int:
        """Steps at the full rate that come to the same distance."""
        return max(1, round(self.steps * self.mean_factor))


@dataclass(frozen=True)
class LayerMovement:
    """One layer's weights w, with the loss's gradient g.

    first_step, label_step: ‖Δw‖/‖w‖ of the first step, and of a later one toward the labels.
    gradient_norm: ‖g‖. along_itself: |w·g| / ‖w‖‖g‖, zero where a norm layer makes the length of w no matter:
    a large step then only turns w and lengthens it, which shortens the next one (Arora et al. 2019). kept:
    ‖w‖ after all steps over ‖w‖ now, where weight decay is at work; else 1.
    """

    first_step: float
    label_step: float
    gradient_norm: float
    along_itself: float
    kept: float = 1.0


@dataclass(frozen=True)
class InitialMeasurement:
    """What was measured; see `features` for what is made of it.

    loss: nats, on the first part. toward_labels, downhill: along the optimizer's update from the label and
    from the loss gradient. linear: a small displacement toward the labels. label_gradient_share: |label
    gradient| / |loss gradient|. agreement: cosine of the label gradients of two parts. overshoot, sharpness:
    see `gradients.step_curvature`. growth: `gradients.label_gradient_growth` at GROWTH_STEPS. linearized: the
    run as if the network were linear, None where that cannot be computed. rows: (layer, quantity, value) of
    `signals`, at the first step. clip_leaves: share of the gradient's length that clipping leaves.
    """

    budget: StepBudget
    loss: float
    start: LinePoint
    toward_labels: Sequence[LinePoint]
    downhill: Sequence[LinePoint]
    linear: LinePoint
    label_gradient_share: float
    agreement: float
    overshoot: float
    sharpness: float
    growth: Sequence[float]
    layers: Mapping[str, LayerMovement]
    linearized: LinearizedRun | None
    rows: Sequence[tuple[str, str, float]]
    clip_leaves: float = 1.0


class InitialMeasurer:
    """What does not depend on the number of steps, measured once; `measure` adds what does.

    Both within `preserve_global_state()`. `clip` is the largest norm of a gradient in the run. A second
    budget costs two passes of the images held out: what the first one saw on its way is kept.
    """

    def __init__(
        self, network: FunctionalModel, sample: ImageSample, make: MakeOptimizer, clip: float | None = None
    ) -> None:
        self.network, self.sample = network, sample
        self.first, self.rows = self._first_gradients(clip)
        self.second = compute_gradients(network, sample.second, clip)
        both = (self.first, self.second)
        self.label_update = effective_update(make, network.weights, [one.label_gradient for one in both])
        self.loss_update = effective_update(make, network.weights, [one.loss_gradient for one in both])
        self.overshoot, self.sharpness = step_curvature(
            network, sample.first, self.loss_update.first, self.first.loss_gradient
        )
        self.probes = LineProbes(network, sample.held_out)
        self.growths: dict[int, float] = {}
        self.linearized = linearize(network, sample, make, self.first, self.second)

    def _first_gradients(self, clip: float | None) -> tuple[Gradients, Sequence[tuple[str, str, float]]]:
        """Those of the first part, and the signals of their pass."""
        recorder = SignalRecorder(self.network.model)
        recorder.start()
        try:
            first = compute_gradients(self.network, self.sample.first, clip)
            return first, recorder.finish(torch.tensor(first.loss)).rows
        finally:
            recorder.cancel()

    def measure(self, budget: StepBudget) -> InitialMeasurement:
        """The measurement for a run of so many steps."""
        first, second, steps = self.first, self.second, budget.full_steps
        self.network.steps = budget.steps
        with torch.no_grad():
            start = self.probes.start()
            toward_labels = self.probes.along(self.label_update, steps)
            downhill = self.probes.along(self.loss_update, steps)
            scale = small_step_scale(self.network.weights, self.label_update.steady, LINEAR_DISPLACEMENT)
            linear = self.probes.at(self.label_update, scale)
        first_norm, second_norm = (weights_norm(one.label_gradient) for one in (first, second))
        product = inner_product(first.label_gradient, second.label_gradient)
        return InitialMeasurement(
            budget=budget,
            loss=first.loss,
            start=start,
            toward_labels=toward_labels,
            downhill=downhill,
            linear=linear,
            label_gradient_share=safe_ratio(first_norm, weights_norm(first.loss_gradient)),
            agreement=safe_ratio(product, first_norm * second_norm),
            overshoot=self.overshoot,
            sharpness=self.sharpness,
            growth=[self._growth(min(after, steps)) for after in GROWTH_STEPS],
            layers=self._layer_movements(steps),
            linearized=self.linearized.run(steps) if self.linearized else None,
            rows=self.rows,
            clip_leaves=first.clip_leaves or 1.0,
        )

    def _growth(self, steps: int) -> float:
        if steps not in self.growths:
            self.growths[steps] = label_gradient_growth(
                self.network, self.sample.second, self.loss_update.steady, steps, self.second.label_gradient
            )
        return self.growths[steps]

    def _layer_movements(self, steps: int) -> dict[str, LayerMovement]:
        weights, updates = self.network.weights, self.loss_update
        ends = updates.displaced_weights(weights, steps) if updates.decay else {}
        movements = {}
        for layer, _ in weight_layers(self.network.model):
            name = f"{layer}.weight" if layer else "weight"
            if name not in weights:
                continue
            w, g = weights[name].double(), self.first.loss_gradient[name].double()
            length, slope = float(w.norm()), float(g.norm())
            movements[layer] = LayerMovement(
                first_step=safe_ratio(float(updates.first[name].norm()), length),
                label_step=safe_ratio(float(self.label_update.steady[name].norm()), length),
                gradient_norm=slope,
                along_itself=safe_ratio(abs(float((w * g).sum())), length * slope),
                kept=safe_ratio(float(ends[name].double().norm()), length)
                if name in ends and length
                else 1.0,
            )
        return movements
