"""Why it is not expected to learn: the measurement read as a run that stays as it begins.

The same questions are asked as of a run that is over (`diagnosis.explain`): the signals of the first step
stand for all, each step is as large as the optimizer makes it, the loss goes as along the first direction.
"""

import math
from collections.abc import Mapping

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import ranked, remedies
from trainlab.diagnosis.finding import Finding
from trainlab.diagnosis.forecast.calibration import coefficients
from trainlab.diagnosis.forecast.measure import Measurement
from trainlab.diagnosis.forecast.sample import Sample
from trainlab.diagnosis.setup import Setup

VAGUE = ("labels_unlearnable", "too_few_steps")
"""What `explain` says where it finds nothing else; here there is a better guess."""

SOON = 12
"""Steps for which the loss along the first direction is taken for the run's."""

HARDLY_MOVES = 0.02
"""Lengths that the median layer goes in all steps, below which nothing else matters."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "angle": (
        "align_labels", "align_downhill", "align_end", "angle", "gain_downhill", "accuracy", "difference",
        "least_difference", "signal_share", "agreement", "linear_accuracy", "linear_alignment", "linear_gain",
        "lazy_accuracy", "lazy_alignment",
    ),
    "scale": ("change", "change_end", "change_over_spread", "moves", "moves_least"),
    "stability": (
        "overshoot", "overshoot_held", "sharpness", "first_step", "first_step_held", "step_change",
        "loss_one", "loss_ten", "loss_end", "growth_five", "growth_twenty", "blow_up", "moves_far",
    ),
}  # fmt: skip


def reason(
    measured: Measurement, features: Mapping[str, float], sample: Sample, setup: Setup
) -> tuple[Finding, str | None]:
    """The expected cause, and the overrides that mend it."""
    evidence = _as_a_run(measured, sample, setup)
    found = [finding for finding in ranked(evidence) if finding.cause not in VAGUE]
    low = [finding for finding in found if finding.cause == "learning_rate_too_low"]
    if low and 10 ** features["moves"] < HARDLY_MOVES:
        found = low
    first = found[0] if found else _by_group(features)
    return first, remedies([first], evidence).get(first.cause)


def _as_a_run(measured: Measurement, sample: Sample, setup: Setup) -> Evidence:
    last = measured.budget.full_steps - 1
    rows = [row for row in measured.rows if not row[1].startswith("weight_")]
    rows += [(layer, "weight_grad_norm", moves.gradient_norm) for layer, moves in measured.layers.items()]
    signals = [(step, *row) for step in dict.fromkeys((0, last)) for row in rows]
    for layer, moves in measured.layers.items():
        signals += [
            (0, layer, "update_ratio", moves.first_step),
            (last, layer, "update_ratio", moves.signal_step),
        ]
    losses = {
        round(p.steps): p.loss
        for p in reversed(measured.downhill)
        if p.steps <= SOON and math.isfinite(p.loss)
    }
    classes_N = sample.held.y_N
    counts = [int((classes_N == k).sum()) for k in range(int(classes_N.max()) + 1)]
    confusion_KK = [[count if i == k else 0 for i in range(len(counts))] for k, count in enumerate(counts)]
    return Evidence.of(
        signals,
        [(step, 0, "train/loss_step", loss) for step, loss in sorted({0: measured.loss, **losses}.items())],
        confusion_KK,
        setup,
    )


def _by_group(features: Mapping[str, float]) -> Finding:
    """No layer shows a fault: the group of features that speaks most against it names the cause."""
    fitted = coefficients()["features"]
    against = {
        group: sum(
            fitted[name]["weight"] * (features[name] - fitted[name]["mean"]) / fitted[name]["scale"]
            for name in names
            if name in fitted
        )
        for group, names in GROUPS.items()
    }
    group = min(against, key=lambda name: against[name])
    numbers = {name: features[name] for name in GROUPS[group] if name in features}
    if group == "stability":
        says = f"a step is about {10 ** features['overshoot']:.2g} times as long as the loss goes on falling"
        return Finding("learning_rate_too_high", says, numbers)
    if group == "scale":
        says = f"in all steps the median layer goes {10 ** features['moves']:.2g} of its length"
        cause = "learning_rate_too_low" if features["moves"] < math.log10(0.5) else "too_few_steps"
        return Finding(cause, says, numbers)
    says = f"what lowers the loss for some images agrees with the labels of others by {features['angle']:.2g}"
    return Finding("labels_unlearnable", says, numbers)
