"""Everything that a forecast is made of, measured at initialization: passes forward and backward, no step.

Two gradients are taken. That of the loss is what the first step follows. But as long as the logits are the
same for all images it mostly moves the classes' shares; what comes after is the gradient toward the labels
less their shares, the `signal`. A network that cannot tell images apart has the first and lacks the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from trainlab.forecast.effective_update import EffectiveUpdate, effective_update
from trainlab.forecast.functional_model import FunctionalModel, Weights, inner_product
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

SMALL = 1e-2
"""Relative displacement of the layer that moves most at which the network still counts as linear."""

GROWTH_STEPS = (5, 20)
"""Steps at which the gradient toward the labels is looked at again, at the weights displaced so far."""


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

    first_step, signal_step: ‖Δw‖/‖w‖ of the first step, and of a later one toward the labels.
    gradient_norm: ‖g‖. along_itself: |w·g| / ‖w‖‖g‖, zero where a norm layer makes the length of w no matter:
    a large step then only turns w and lengthens it, which shortens the next one (Arora et al. 2019). kept:
    ‖w‖ after all steps over ‖w‖ now, where weight decay is at work; else 1.
    """

    first_step: float
    signal_step: float
    gradient_norm: float
    along_itself: float
    kept: float = 1.0


@dataclass(frozen=True)
class InitialMeasurement:
    """What was measured; see `features` for what is made of it.

    loss: nats, on the first part. toward_labels, downhill: along the optimizer's update from the signal's and
    from the loss's gradient. linear: a small displacement toward the labels. signal_share: |signal| over
    |loss gradient|. agreement: cosine of the signals of two parts. overshoot, sharpness: see
    `passes.curvature`. growth: `passes.signal_growth` at the steps of `AHEAD`. linearized: the run as if
    the network were linear, None where that cannot be had. rows: (layer, quantity, value)
    of `signals`, at the first step. clip_leaves: share of the gradient's length that clipping leaves.
    """

    budget: StepBudget
    loss: float
    start: LinePoint
    toward_labels: Sequence[LinePoint]
    downhill: Sequence[LinePoint]
    linear: LinePoint
    signal_share: float
    agreement: float
    overshoot: float
    sharpness: float
    growth: Sequence[float]
    layers: Mapping[str, LayerMovement]
    linearized: LinearizedRun | None
    rows: Sequence[tuple[str, str, float]]
    clip_leaves: float = 1.0


def measure_at_init(
    subject: FunctionalModel,
    sample: ImageSample,
    make: MakeOptimizer,
    budget: StepBudget,
    clip: float | None = None,
) -> InitialMeasurement:
    """All of it, for a subject that is held. `clip` is the largest norm of a gradient that the run allows."""
    return InitialMeasurer(subject, sample, make, clip).at(budget)


class InitialMeasurer:
    """What does not depend on the number of steps, measured once; `at` adds what does.

    A second budget costs two passes of the images held out: what the first one saw on its way is kept.
    """

    def __init__(
        self, subject: FunctionalModel, sample: ImageSample, make: MakeOptimizer, clip: float | None
    ) -> None:
        self.subject, self.sample = subject, sample
        self.one, self.rows = self._first(clip)
        self.two = compute_gradients(subject, sample.second, clip)
        self.to_labels = effective_update(make, subject.weights, [self.one.signal, self.two.signal])
        self.to_lower = effective_update(make, subject.weights, [self.one.downhill, self.two.downhill])
        self.curved = step_curvature(subject, sample.first, self.to_lower.first, self.one.downhill)
        self.rays = LineProbes(subject, sample.held)
        self.growths: dict[int, float] = {}
        self.linear_network = linearize(subject, sample, make, self.one, self.two)

    def _first(self, clip: float | None) -> tuple[Gradients, Sequence[tuple[str, str, float]]]:
        recorder = SignalRecorder(self.subject.model)
        recorder.start()
        try:
            one = compute_gradients(self.subject, self.sample.first, clip)
            return one, recorder.finish(torch.tensor(one.loss)).rows
        finally:
            recorder.cancel()

    def at(self, budget: StepBudget) -> InitialMeasurement:
        """The measurement for a run of so many steps."""
        one, two, steps = self.one, self.two, budget.full_steps
        self.subject.steps = budget.steps
        with torch.no_grad():
            self.rays.start()
            toward_labels = self.rays.along(self.to_labels, steps)
            downhill = self.rays.along(self.to_lower, steps)
            linear = self.rays.at(
                self.to_labels, small_step_scale(self.subject.weights, self.to_labels.steady, SMALL)
            )
        return InitialMeasurement(
            budget=budget,
            loss=one.loss,
            start=self.rays.start(),
            toward_labels=toward_labels,
            downhill=downhill,
            linear=linear,
            signal_share=safe_ratio(weights_norm(one.signal), weights_norm(one.downhill)),
            agreement=safe_ratio(
                inner_product(one.signal, two.signal), weights_norm(one.signal) * weights_norm(two.signal)
            ),
            overshoot=self.curved[0],
            sharpness=self.curved[1],
            growth=[self._growth(min(ahead, steps)) for ahead in GROWTH_STEPS],
            layers=_layer_movements(self.subject, self.to_lower, self.to_labels, one.downhill, steps),
            linearized=self.linear_network.run(steps) if self.linear_network else None,
            rows=self.rows,
            clip_leaves=one.clip_leaves or 1.0,
        )

    def _growth(self, steps: int) -> float:
        if steps not in self.growths:
            update, signal = self.to_lower.steady, self.two.signal
            self.growths[steps] = label_gradient_growth(
                self.subject, self.sample.second, update, steps, signal
            )
        return self.growths[steps]


def _layer_movements(
    subject: FunctionalModel,
    to_lower: EffectiveUpdate,
    to_labels: EffectiveUpdate,
    downhill: Weights,
    steps: int,
) -> dict[str, LayerMovement]:
    moves = {}
    ends = to_lower.displaced(subject.weights, steps) if to_lower.decay else {}
    for layer, _ in weight_layers(subject.model):
        name = f"{layer}.weight" if layer else "weight"
        if name not in subject.weights:
            continue
        w, g = subject.weights[name].double(), downhill[name].double()
        length, slope = float(w.norm()), float(g.norm())
        moves[layer] = LayerMovement(
            first_step=safe_ratio(float(to_lower.first[name].norm()), length),
            signal_step=safe_ratio(float(to_labels.steady[name].norm()), length),
            gradient_norm=slope,
            along_itself=safe_ratio(abs(float((w * g).sum())), length * slope),
            kept=safe_ratio(float(ends[name].double().norm()), length) if name in ends and length else 1.0,
        )
    return moves
