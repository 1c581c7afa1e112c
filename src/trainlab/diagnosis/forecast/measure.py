"""Everything that a forecast is made of, measured at initialization: passes forward and backward, no step.

Two gradients are taken. That of the loss is what the first step follows. But as long as the logits are the
same for all images it mostly moves the classes' shares; what comes after is the gradient toward the labels
less their shares, the `signal`. A network that cannot tell images apart has the first and lacks the second.

Legend: N images, K classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from trainlab.diagnosis.forecast.push import MakeOptimizer, Push, push
from trainlab.diagnosis.forecast.ray import Point, look, steps_to_look_at
from trainlab.diagnosis.forecast.sample import Part, Sample, label_direction
from trainlab.diagnosis.forecast.subject import Subject, Weights, inner, moved
from trainlab.nn.layers import weight_layers
from trainlab.signals.recorder import Recorder

POINTS = 6
"""Places along each ray, from one step to all of them."""

PUSHES = 20
"""Times that the optimizer is handed the gradients: momentum 0.9 has then come to 88% of its speed."""

HEAVY, PUSHES_OF_HEAVY = 2_000_000, 8
"""Weights from which on it is asked less often."""

SMALL = 1e-2
"""Relative displacement of the layer that moves most at which the network still counts as linear."""

TINY = 1e-3
"""The same for the difference of two gradients, the product of Hessian and direction."""


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
    """Relative to the layer's own weights: its first step, a later step toward the labels. Gradient norm."""

    first_step: float
    signal_step: float
    gradient_norm: float
    weight_norm: float


@dataclass(frozen=True)
class Measurement:
    """What was measured; see `features` for what is made of it.

    toward_labels, downhill: along the optimizer's update from the signal's and from the loss's gradient.
    linear: a small displacement toward the labels. signal_share: |signal gradient| / |loss gradient|.
    agreement: cosine of the signal gradients of two batches. overshoot: u·Hu / |u·g| of the first step u;
    above 2 it ends higher than it began. sharpness: learning rate times curvature in the optimizer's own
    metric, after one power iteration; the same bound.
    rows: (layer, quantity, value) of `signals`, at the first step.
    """

    budget: Budget
    loss: float
    logits_rms: float
    start: Point
    toward_labels: Sequence[Point]
    downhill: Sequence[Point]
    linear: Point
    signal_share: float
    agreement: float
    overshoot: float
    sharpness: float
    layers: Mapping[str, LayerMoves]
    rows: Sequence[tuple[str, str, float]]


def measure(
    subject: Subject, sample: Sample, make: MakeOptimizer, budget: Budget, clip: float | None = None
) -> Measurement:
    """All of it, for a subject that is held. `clip` is the largest norm of a gradient that the run allows."""
    recorder = Recorder(subject.model)
    recorder.start()
    try:
        loss, first_NK, downhill, signal = _gradients(subject, sample.first, clip, both=True)
        rows = recorder.finish(torch.tensor(loss)).rows
    finally:
        recorder.cancel()
    _, _, other_downhill, other_signal = _gradients(subject, sample.second, clip, both=True)
    times = PUSHES if sum(w.numel() for w in subject.weights.values()) <= HEAVY else PUSHES_OF_HEAVY
    to_labels = push(make, subject.weights, [signal, other_signal], times)
    to_lower = push(make, subject.weights, [downhill, other_downhill], times)
    overshoot, sharpness = _curvature(subject, sample.first, to_lower.first, downhill)
    with torch.no_grad():
        rays = _Rays(subject, sample.held, budget.full_steps)
        return Measurement(
            budget=budget,
            loss=loss,
            logits_rms=float(first_NK.double().square().mean().sqrt()),
            start=look(0.0, rays.start_NK, rays.start_NK, sample.held.y_N),
            toward_labels=rays.along(to_labels),
            downhill=rays.along(to_lower),
            linear=rays.at(to_labels, _small(subject.weights, to_labels.steady)),
            signal_share=_ratio(_norm(signal), _norm(downhill)),
            agreement=_ratio(inner(signal, other_signal), _norm(signal) * _norm(other_signal)),
            overshoot=overshoot,
            sharpness=sharpness,
            layers=_moves(subject, to_lower.first, to_labels.steady, downhill),
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
        weights = (
            {name: kept * w for name, w in self.subject.weights.items()} if kept < 1 else self.subject.weights
        )
        logits_NK = self.subject.logits(self.held.x_NCHW, moved(weights, update.steady, steps))
        return look(steps, logits_NK, self.start_NK, self.held.y_N)


def _gradients(
    subject: Subject, part: Part, clip: float | None, *, both: bool
) -> tuple[float, Tensor, Weights, Weights]:
    """(loss, logits_NK, gradient of the loss, gradient toward the labels) on one part."""
    leaves = subject.leaves()
    logits_NK = subject.logits(part.x_NCHW, leaves)
    direction_NK = label_direction(part.y_N, logits_NK.shape[1])
    signal = _gradient(-(logits_NK * direction_NK).sum() / len(direction_NK), leaves, keep=True)
    # last, so that what hooks see of activations' gradients is the loss's
    loss = F.cross_entropy(logits_NK, part.y_N)
    downhill = _gradient(loss, leaves)
    factor = min(1.0, _ratio(clip, _norm(downhill))) if clip else 1.0
    if factor < 1:
        signal, downhill = _scaled(signal, factor), _scaled(downhill, factor)
    return float(loss.detach()), logits_NK.detach(), downhill, signal


def _gradient(of: Tensor, leaves: Mapping[str, Tensor], keep: bool = False) -> dict[str, Tensor]:
    """By name; zero where a weight has no part in it."""
    if not of.requires_grad:
        return {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    found = torch.autograd.grad(
        of, list(leaves.values()), retain_graph=keep, allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, (g.detach() for g in found), strict=True))


def _curvature(subject: Subject, part: Part, first: Weights, downhill: Weights) -> tuple[float, float]:
    """(overshoot, sharpness) of the first step, by differences of gradients; see `Measurement`."""

    def hessian_times(direction: Weights) -> Weights:
        by = _small(subject.weights, direction, TINY)
        leaves = subject.leaves(moved(subject.weights, direction, by))
        there = _gradient(F.cross_entropy(subject.logits(part.x_NCHW, leaves), part.y_N), leaves)
        return {name: (there[name] - downhill[name]) / by for name in there}

    # the optimizer's own metric: what it makes of one unit of gradient, weight by weight
    metric = {name: first[name].abs() / (downhill[name].abs() + 1e-30) for name in first}
    curved = hessian_times(first)
    overshoot = _ratio(inner(first, curved), abs(inner(first, downhill)))
    direction = {name: metric[name] * curved[name] for name in curved}
    curved = hessian_times(direction)
    size = sum(
        float((direction[name].double().square() / metric[name].double().clamp(min=1e-30)).sum())
        for name in direction
    )
    return overshoot, max(overshoot, _ratio(inner(direction, curved), size))


def _small(weights: Weights, direction: Weights, relative: float = SMALL) -> float:
    """How many times `direction` moves the layer that moves most by `relative` of its length."""
    ratios = [_ratio(float(direction[n].norm()), float(w.norm())) for n, w in weights.items() if w.dim() > 1]
    largest = max((r for r in ratios if math.isfinite(r)), default=0.0)
    return relative / largest if largest > 0 else 1.0


def _moves(subject: Subject, first: Weights, signal: Weights, downhill: Weights) -> dict[str, LayerMoves]:
    moves = {}
    for layer, _ in weight_layers(subject.model):
        name = f"{layer}.weight" if layer else "weight"
        if name in subject.weights:
            size = float(subject.weights[name].norm())
            moves[layer] = LayerMoves(
                first_step=_ratio(float(first[name].norm()), size),
                signal_step=_ratio(float(signal[name].norm()), size),
                gradient_norm=float(downhill[name].norm()),
                weight_norm=size,
            )
    return moves


def _norm(weights: Weights) -> float:
    return math.sqrt(inner(weights, weights))


def _scaled(weights: Weights, factor: float) -> dict[str, Tensor]:
    return {name: factor * w for name, w in weights.items()}


def _ratio(a: float, b: float) -> float:
    """a / b; 0 for 0 / 0, infinite for a / 0."""
    if b == 0 or math.isnan(b):
        return 0.0 if a == 0 else math.copysign(math.inf, a)
    return a / b
