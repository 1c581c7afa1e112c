"""What the probability is made of: logarithms of physical quantities, within bounds, always finite.

In three groups. Angle: can the network tell images apart, and does what it would do agree with the labels?
Scale: how far do all the steps take it? Stability: is one step small enough?
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from trainlab.forecast.line_probe import LinePoint
from trainlab.forecast.measurement import InitialMeasurement

RIGHT_ANGLE = 2e-3
"""Cosine between a layer's weights and gradient below which they count as orthogonal: float32 and BN's ε."""

FEATURE_NAMES: Mapping[str, str] = {
    # angle
    "align_labels": "best alignment of held-out logits with the labels, on the way toward the labels",
    "align_downhill": "the same on the way down the loss",
    "align_end": "alignment of the logits' change with the labels after all steps",
    "angle": "the same for a small displacement",
    "gain_downhill": "best gain over guessing down the loss, nats",
    "accuracy": "best accuracy of held-out images down the loss, less the commonest class's share",
    "difference": "log10(1 − correlation) of two images at the last hidden layer",
    "least_difference": "the same at the layer where it is least",
    "linear_accuracy": "accuracy of the network as if linear, after all steps, less the commonest class's",
    "linear_alignment": "alignment of its held-out logits with the labels",
    "linear_gain": "gain of its held-out logits over guessing, nats, at least −1",
    "linear_fit": "log10 of its loss on the images it is fitted to, over that of guessing",
    "signal_share": "log10 |gradient toward the labels| / |gradient of the loss|",
    "agreement": "cosine of the gradients toward the labels of two batches",
    # scale
    "change": "log10 change of the logits over all steps, as if linear; 0 from one nat on",
    "change_end": "log10 change of the logits after all steps; 0.5 from three nats on",
    "change_over_spread": "log10 of that over the logits' spread at the start",
    "moves": "log10 of how far the median layer goes in all steps, in units of its length; 0 from one on",
    "moves_far": "the same, 0 up to one",
    "moves_least": "the same of the layer that moves least",
    "spread": "log10 spread of the logits between images at the start",
    "loss": "log10 of the first loss, nats",
    # stability: below a bound it is no longer a matter of stability, and the feature stays there
    "overshoot": "log10 u·Hu / |u·g| of the first step; above log10 2 it overshoots",
    "sharpness": "log10 learning rate times curvature in the optimizer's metric",
    "first_step": "log10 of the first step of the layer that moves most, in units of its length",
    "first_step_held": "its excess over a tenth, times the share of layers whose length matters",
    "overshoot_held": "excess of overshoot over one, times the share of layers whose length matters",
    "step_change": "log10 change of the logits in one later step",
    "loss_end": "log10 loss after all steps downhill over the first loss",
    "loss_ten": "the same after about ten steps",
    "loss_one": "the same after one step",
    "growth_five": "log10 growth of the gradient toward the labels in five steps",
    "growth_twenty": "the same in twenty steps",
    "blow_up": "log10 change of the logits after all steps, 0.5 up to three nats",
    # the lazy regime: where steps are small a network stays near its linear self, whose word then counts
    "lazy": "0..1: how surely the first step is small enough, in length and beside the curvature",
    "lazy_accuracy": "whether the linear network's accuracy would count as learning, −1..1; times lazy",
    "lazy_alignment": "whether its alignment is more than chance, −1..1; times lazy",
    # units
    "saturated": "largest share of saturated pre-activations of a layer",
    "dead": "largest share of dead units of a layer",
}
"""What each feature is."""

COMPARISON_FEATURES: Mapping[str, str] = {"gradient_norm": "log10 norm of the loss gradient over all weights"}
"""Measured too, and no part of the probability: it is what simpler tools go by."""


def compute_features(measured: InitialMeasurement) -> dict[str, float]:
    """All of `FEATURE_NAMES` and `COMPARISON_FEATURES`.

    What is not finite counts as the worst that the bounds allow.
    """
    features = {**_angle(measured), **_scale(measured), **_stability(measured)}
    return {
        **features,
        **lazy_features(features),
        "saturated": _most(measured.rows, "saturated"),
        "dead": _most(measured.rows, "dead"),
        "gradient_norm": clipped_log10(
            math.hypot(*(m.gradient_norm for m in measured.layers.values())), -12, 8
        ),
    }


def _angle(measured: InitialMeasurement) -> dict[str, float]:
    labels, downhill = measured.toward_labels, measured.downhill
    differences = [
        clipped_log10(1 - c if math.isfinite(c) else 0, -7, 0) for c in _hidden(measured.rows, "correlation")
    ]
    return {
        "align_labels": max(p.alignment for p in labels),
        "align_downhill": max(p.alignment for p in downhill),
        "align_end": labels[-1].change_alignment,
        "angle": measured.linear.change_alignment,
        "gain_downhill": max(0.0, *(p.gain for p in downhill)),
        "accuracy": max(p.accuracy for p in downhill) - measured.start.majority_share,
        "difference": differences[-1] if differences else -7.0,
        "least_difference": min(differences, default=-7.0),
        **_linear(measured),
        "signal_share": clipped_log10(measured.label_gradient_share, -6, 1),
        "agreement": measured.agreement if math.isfinite(measured.agreement) else 0.0,
    }


def _linear(measured: InitialMeasurement) -> dict[str, float]:
    """Where it cannot be had, it does not learn."""
    run, guessing = measured.linearized, measured.start.entropy
    if run is None:
        return {"linear_accuracy": 0.0, "linear_alignment": 0.0, "linear_gain": -1.0, "linear_fit": 0.0}
    return {
        "linear_accuracy": run.end.accuracy - run.end.majority_share,
        "linear_alignment": run.end.alignment,
        "linear_gain": max(run.end.gain, -1.0),
        "linear_fit": clipped_log10(run.fit_loss / max(guessing, 1e-9), -1, 2),
    }


def _scale(measured: InitialMeasurement) -> dict[str, float]:
    steps, spread = measured.budget.full_steps, measured.start.spread
    moves = [clipped_log10(layer.label_step * steps, -8, 3) for layer in measured.layers.values()] or [-8.0]
    linear = measured.linear.change_rms / measured.linear.steps * steps
    end = measured.toward_labels[-1].change_rms
    return {
        "change": clipped_log10(linear, -6, 0),
        "change_end": clipped_log10(end, -6, 0.5),
        "change_over_spread": clipped_log10(end / max(spread, 1e-9), -4, 3),
        "moves": min(median(moves), 0.0),
        "moves_far": max(median(moves), 0.0),
        "moves_least": min(moves),
        "spread": clipped_log10(spread, -6, 4),
        "loss": clipped_log10(measured.loss, -1, 4),
    }


def _stability(measured: InitialMeasurement) -> dict[str, float]:
    rate, downhill = measured.budget.largest_factor, measured.downhill
    first_step = max(
        (clipped_log10(m.first_step * rate, -2, 2) for m in measured.layers.values()), default=-2.0
    )
    overshoot = clipped_log10(measured.overshoot * rate, -1.5, 4)
    matters = _share_whose_length_matters(measured)
    ten = min(downhill, key=lambda p: abs(math.log(p.steps / 10)))
    return {
        "overshoot": overshoot,
        "overshoot_held": max(overshoot, 0.0) * matters,
        "sharpness": clipped_log10(measured.sharpness * rate, -1.5, 4),
        "first_step": first_step,
        "first_step_held": max(first_step + 1, 0.0) * matters,
        "step_change": clipped_log10(downhill[0].change_rms * rate, -1.5, 4),
        "loss_one": _loss_ratio(downhill[0], measured.start.loss),
        "loss_ten": _loss_ratio(ten, measured.start.loss),
        "loss_end": _loss_ratio(downhill[-1], measured.start.loss),
        "growth_five": clipped_log10(measured.growth[0], -4, 4),
        "growth_twenty": clipped_log10(measured.growth[1], -4, 4),
        "blow_up": clipped_log10(measured.toward_labels[-1].change_rms, 0.5, 4),
    }


def lazy_features(features: Mapping[str, float]) -> dict[str, float]:
    """The features of the lazy regime, from those of angle and stability.

    Smooth steps: at a first step of a tenth of a layer's length, and an overshoot of 2; at three points of
    accuracy above the commonest class, about what the verdict asks for; at an alignment of a tenth.
    """
    gate = (
        1
        / (1 + math.exp(4 * (features["first_step"] + 1)))
        / (1 + math.exp(8 * (features["overshoot"] - 0.3)))
    )
    return {
        "lazy": gate,
        "lazy_accuracy": gate * math.tanh((features["linear_accuracy"] - 0.03) / 0.05),
        "lazy_alignment": gate * math.tanh((features["linear_alignment"] - 0.1) / 0.1),
    }


def _share_whose_length_matters(measured: InitialMeasurement) -> float:
    """Of the hidden layers, those whose gradient is not at right angles to their weights."""
    hidden = list(measured.layers.values())[:-1]
    return sum(layer.along_itself > RIGHT_ANGLE for layer in hidden) / len(hidden) if hidden else 1.0


def clipped_log10(value: float, low: float, high: float) -> float:
    """log10 within bounds; NaN and what is not positive give the lower one."""
    if math.isnan(value) or value <= 0:
        return float(low)
    return min(max(math.log10(value), low), high) if math.isfinite(value) else float(high)


def _loss_ratio(point: LinePoint, first: float) -> float:
    """log10 of the loss there over the first loss, at least −1 and at most 4."""
    if not math.isfinite(point.loss) or not math.isfinite(first):
        return 4.0
    return clipped_log10(max(point.loss, 1e-3) / max(first, 1e-3), -1, 4)


def _hidden(rows: Iterable[tuple[str, str, float]], quantity: str) -> Sequence[float]:
    """Of the hidden layers (the last row is the output's)."""
    values = _values(rows, quantity)
    return values[:-1] or values


def _most(rows: Iterable[tuple[str, str, float]], quantity: str) -> float:
    values = _values(rows, quantity)
    return max((v if math.isfinite(v) else 1.0 for v in values), default=0.0)


def _values(rows: Iterable[tuple[str, str, float]], quantity: str) -> Sequence[float]:
    return [value for _, name, value in rows if name == quantity]
