"""What the probability is made of: logarithms of physical quantities, within bounds, always finite.

In three groups. Angle: can the network tell images apart, and does what it would do agree with the labels?
Scale: how far do all the steps take it? Stability: is one step small enough?
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from trainlab.diagnosis.forecast.measure import Measurement
from trainlab.diagnosis.forecast.ray import Point

NAMES: Mapping[str, str] = {
    # angle
    "align_labels": "best alignment of held-out logits with the labels, on the way toward the labels",
    "align_downhill": "the same on the way down the loss",
    "align_end": "alignment of the logits' change with the labels after all steps",
    "angle": "the same for a small displacement",
    "gain_downhill": "best gain over guessing down the loss, nats",
    "difference": "log10(1 − correlation) of two images at the last hidden layer",
    "signal_share": "log10 |gradient toward the labels| / |gradient of the loss|",
    "agreement": "cosine of the gradients toward the labels of two batches",
    # scale
    "change": "log10 change of the logits over all steps, as if linear; 0 from one nat on",
    "change_end": "log10 change of the logits after all steps",
    "change_over_spread": "log10 of that over the logits' spread at the start",
    "moves": "log10 of how far the median layer goes in all steps, in units of its length",
    "moves_least": "the same of the layer that moves least",
    "spread": "log10 spread of the logits between images at the start",
    "loss": "log10 of the first loss, nats",
    # stability
    "overshoot": "log10 u·Hu / |u·g| of the first step; above log10 2 it overshoots",
    "sharpness": "log10 learning rate times curvature in the optimizer's metric",
    "first_step": "log10 of the first step of the layer that moves most, in units of its length",
    "step_change": "log10 change of the logits in one later step",
    "loss_end": "log10 loss after all steps downhill over the first loss",
    "loss_ten": "the same after about ten steps",
    # units
    "saturated": "largest share of saturated pre-activations of a layer",
    "dead": "largest share of dead units of a layer",
}
"""What each feature is."""

FOR_COMPARISON: Mapping[str, str] = {"gradient_norm": "log10 norm of the loss gradient over all weights"}
"""Measured too, and no part of the probability: it is what simpler tools go by."""


def features(measured: Measurement) -> dict[str, float]:
    """All of `NAMES` and `FOR_COMPARISON`. What is not finite counts as the worst that the bounds allow."""
    steps, rate = measured.budget.full_steps, measured.budget.largest_factor
    labels, downhill, spread = measured.toward_labels, measured.downhill, measured.start.spread
    moves = [log10(layer.signal_step * steps, -8, 3) for layer in measured.layers.values()] or [-8.0]
    linear = measured.linear.change_rms / measured.linear.steps * steps
    return {
        "align_labels": max(p.alignment for p in labels),
        "align_downhill": max(p.alignment for p in downhill),
        "align_end": labels[-1].change_alignment,
        "angle": measured.linear.change_alignment,
        "gain_downhill": max(0.0, *(p.gain for p in downhill)),
        "difference": log10(1 - _last(measured.rows, "correlation", 1.0), -7, 0),
        "signal_share": log10(measured.signal_share, -6, 1),
        "agreement": measured.agreement if math.isfinite(measured.agreement) else 0.0,
        "change": log10(linear, -6, 0),
        "change_end": log10(labels[-1].change_rms, -6, 4),
        "change_over_spread": log10(labels[-1].change_rms / max(spread, 1e-9), -4, 3),
        "moves": median(moves),
        "moves_least": min(moves),
        "spread": log10(spread, -6, 4),
        "loss": log10(measured.loss, -1, 4),
        "overshoot": log10(measured.overshoot * rate, -6, 4),
        "sharpness": log10(measured.sharpness * rate, -6, 4),
        "first_step": max(
            (log10(m.first_step * rate, -8, 2) for m in measured.layers.values()), default=-8.0
        ),
        "step_change": log10(downhill[0].change_rms * rate, -6, 4),
        "loss_end": _loss_ratio(downhill[-1], measured.loss),
        "loss_ten": _loss_ratio(min(downhill, key=lambda p: abs(math.log(p.steps / 10))), measured.loss),
        "saturated": _most(measured.rows, "saturated"),
        "dead": _most(measured.rows, "dead"),
        "gradient_norm": log10(math.hypot(*(m.gradient_norm for m in measured.layers.values())), -12, 8),
    }


def log10(value: float, low: float, high: float) -> float:
    """log10 within bounds; NaN and what is not positive give the lower one."""
    if math.isnan(value) or value <= 0:
        return float(low)
    return min(max(math.log10(value), low), high) if math.isfinite(value) else float(high)


def _loss_ratio(point: Point, first: float) -> float:
    """log10 of the loss there over the first loss, at least −1 and at most 4."""
    if not math.isfinite(point.loss) or not math.isfinite(first):
        return 4.0
    return log10(max(point.loss, 1e-3) / max(first, 1e-3), -1, 4)


def _last(rows: Iterable[tuple[str, str, float]], quantity: str, missing: float) -> float:
    """Of the last hidden layer (the last row is the output's)."""
    values = _values(rows, quantity)
    hidden = values[:-1] or values
    return hidden[-1] if hidden and math.isfinite(hidden[-1]) else missing


def _most(rows: Iterable[tuple[str, str, float]], quantity: str) -> float:
    values = _values(rows, quantity)
    return max((v if math.isfinite(v) else 1.0 for v in values), default=0.0)


def _values(rows: Iterable[tuple[str, str, float]], quantity: str) -> Sequence[float]:
    return [value for _, name, value in rows if name == quantity]
