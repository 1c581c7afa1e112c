"""Everything that a forecast is made of, measured at initialization: passes forward and backward, no step.

Two gradients are taken. That of the loss is what the first step follows. But as long as the logits are the
same for all images it mostly moves the classes' shares; what comes after is the gradient toward the labels
less their shares, the `signal`. A network that cannot tell images apart has the first and lacks the second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from trainlab.diagnosis.forecast.linear import LinearRun, linear_run
from trainlab.diagnosis.forecast.passes import (
    curvature,
    gradients,
    norm,
    ratio,
    signal_growth,
    small_step,
)
from trainlab.diagnosis.forecast.push import MakeOptimizer, Push, push
from trainlab.diagnosis.forecast.ray import Point, look, steps_to_look_at
from trainlab.diagnosis.forecast.sample import Part, Sample
from trainlab.diagnosis.forecast.subject import Subject, Weights, inner, moved
from trainlab.nn.layers import weight_layers
from trainlab.signals.recorder import Recorder

POINTS = 6
"""Places along each ray, from one step to all of them."""

SMALL = 1e-2
"""Relative displacement of the layer that moves most at which the network still counts as linear."""

AHEAD = (5, 20)
"""Steps at which the gradient toward the labels is looked at again, at the weights displaced so far."""


@dataclass(frozen=True)
class Budget:
    """Optimizer steps, and the learning-rate schedule's mean and largest factor."""

    steps: int
    mean_factor: float = 1.0
    largest_factor: float = 1.0

    @property
    def full_steps(self) -> int:
        """Steps at the full rate that come to the same distance."""
        return max(1, round(self.steps * self.mean_factor))


@dataclass(frozen=True)
class LayerMoves:
    """One layer's weights w, with the loss's gradient g.

    first_step, signal_step: ‖Δw‖/‖w‖ of the first step, and of a later one toward the labels.
    gradient_norm: ‖g‖. along_itself: |w·g| / ‖w‖‖g‖, zero where a norm layer makes the length of w no matter:
    a large step then only turns w and lengthens it, which shortens the next one (Arora et al. 2019).
    """

    first_step: float
    signal_step: float
    gradient_norm: float
    along_itself: float


@dataclass(frozen=True)
class Measurement:
    """What was measured; see `features` for what is made of it.

    loss: nats, on the first part. toward_labels, downhill: along the optimizer's update from the signal's and
    from the loss's gradient. linear: a small displacement toward the labels. signal_share: |signal| over
    |loss gradient|. agreement: cosine of the signals of two parts. overshoot, sharpness: see
    `passes.curvature`. growth: `passes.signal_growth` at the steps of `AHEAD`. linearized: the run as if
    the network were linear, None where that cannot be had. rows: (layer, quantity, value)
    of `signals`, at the first step.
    """

    budget: Budget
    loss: float
    start: Point
    toward_labels: Sequence[Point]
    downhill: Sequence[Point]
    linear: Point
    signal_share: float
    agreement: float
    overshoot: float
    sharpness: float
    growth: Sequence[float]
    layers: Mapping[str, LayerMoves]
    linearized: LinearRun | None
    rows: Sequence[tuple[str, str, float]]


def measure(
    subject: Subject, sample: Sample, make: MakeOptimizer, budget: Budget, clip: float | None = None
) -> Measurement:
    """All of it, for a subject that is held. `clip` is the largest norm of a gradient that the run allows."""
    recorder = Recorder(subject.model)
    recorder.start()
    try:
        one = gradients(subject, sample.first, clip)
        rows = recorder.finish(torch.tensor(one.loss)).rows
    finally:
        recorder.cancel()
    two = gradients(subject, sample.second, clip)
    to_labels = push(make, subject.weights, [one.signal, two.signal])
    to_lower = push(make, subject.weights, [one.downhill, two.downhill])
    overshoot, sharpness = curvature(subject, sample.first, to_lower.first, one.downhill)
    with torch.no_grad():
        rays = _Rays(subject, sample.held, budget.full_steps)
        start = look(0.0, rays.start_NK, rays.start_NK, sample.held.y_N)
        toward_labels, downhill = rays.along(to_labels), rays.along(to_lower)
        linear = rays.at(to_labels, small_step(subject.weights, to_labels.steady, SMALL))
    return Measurement(
        budget=budget,
        loss=one.loss,
        start=start,
        toward_labels=toward_labels,
        downhill=downhill,
        linear=linear,
        signal_share=ratio(norm(one.signal), norm(one.downhill)),
        agreement=ratio(inner(one.signal, two.signal), norm(one.signal) * norm(two.signal)),
        overshoot=overshoot,
        sharpness=sharpness,
        growth=[
            signal_growth(subject, sample.second, to_lower.steady, min(steps, budget.full_steps), two.signal)
            for steps in AHEAD
        ],
        layers=_moves(subject, to_lower.first, to_labels.steady, one.downhill),
        linearized=linear_run(subject, sample, make, budget.full_steps, one, two),
        rows=rows,
    )


class _Rays:
    """Held-out images, looked at from displaced weights."""

    def __init__(self, subject: Subject, held: Part, steps: int) -> None:
        self.subject, self.held, self.steps = subject, held, steps
        self.start_NK = subject.logits(held.x_NCHW)

    def along(self, update: Push) -> list[Point]:
        return [self.at(update, steps) for steps in steps_to_look_at(self.steps, POINTS)]

    def at(self, update: Push, steps: float) -> Point:
        kept = (1 - min(update.decay, 1.0)) ** steps
        weights: Weights = self.subject.weights
        if kept < 1:
            weights = {name: kept * w for name, w in weights.items()}
        logits_NK = self.subject.logits(self.held.x_NCHW, moved(weights, update.steady, steps))
        return look(steps, logits_NK, self.start_NK, self.held.y_N)


def _moves(subject: Subject, first: Weights, signal: Weights, downhill: Weights) -> dict[str, LayerMoves]:
    moves = {}
    for layer, _ in weight_layers(subject.model):
        name = f"{layer}.weight" if layer else "weight"
        if name not in subject.weights:
            continue
        w, g = subject.weights[name].double(), downhill[name].double()
        length, slope = float(w.norm()), float(g.norm())
        moves[layer] = LayerMoves(
            first_step=ratio(float(first[name].norm()), length),
            signal_step=ratio(float(signal[name].norm()), length),
            gradient_norm=slope,
            along_itself=ratio(abs(float((w * g).sum())), length * slope),
        )
    return moves
