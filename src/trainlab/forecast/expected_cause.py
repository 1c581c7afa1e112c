"""Why it is not expected to learn: the measurement read as a run that stays as it begins.

The same questions are asked as of a run that is over (`diagnosis.explain`): the signals of the first step
stand for all, each step is as large as the optimizer makes it, the loss goes as along the first direction.
A cause is said where its own evidence is there; where none is, it is not known, and how many steps it takes
is said instead.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from trainlab.diagnosis.causes.labels_and_splits import labels_unlearnable
from trainlab.diagnosis.evidence import Evidence, SettingsSummary
from trainlab.diagnosis.explain import EXACT_CHECKS, find_remedies, rank_findings
from trainlab.diagnosis.known_causes import Finding
from trainlab.forecast.answer import ProbabilityByStep, format_by_steps, steps_needed
from trainlab.forecast.image_sample import ImageSample
from trainlab.forecast.linearized_training import LinearizedRun
from trainlab.forecast.logistic_model import coefficients
from trainlab.forecast.measurement import InitialMeasurement
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.label_probe import pixel_features, probe_labels

UNDECIDABLE_CAUSES = ("too_few_steps", "not_known", "labels_unlearnable")
"""What `explain` says by the course of a loss, which there is none of here; and the labels, asked apart."""

SOON = 12
"""Steps for which the loss along the first direction is taken for the run's."""

HARDLY_MOVES = 0.02
"""Lengths that the median layer goes in all steps, below which nothing else matters."""

OVERSHOOTS, JUMPS = 2.0, 0.3
"""Lengths of the first step, beside what the curvature allows and beside a layer's own, that are too long."""

LAGS = 0.3
"""Share of their first values in BatchNorm's running statistics from which on the test feels it."""

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


@dataclass(frozen=True)
class ForecastCase:
    """All that a cause is looked for in. `reference`: see `labels`; `lag`: see `Subject.lag`."""

    measured: InitialMeasurement
    features: Mapping[str, float]
    sample: ImageSample
    setup: SettingsSummary
    by_steps: ProbabilityByStep
    reference: Mapping[str, Any]
    lag: float = 0.0

    def as_a_run(self) -> Evidence:
        """The measurement as a run that stays as it begins."""
        last = self.measured.budget.full_steps - 1
        signals = [*_signals(self.measured, last), *_rates(self.measured)]
        losses = {
            round(p.steps): p.loss
            for p in reversed(self.measured.downhill)
            if p.steps <= SOON and math.isfinite(p.loss)
        }
        classes_N = self.sample.held.y_N
        counts = [int((classes_N == k).sum()) for k in range(int(classes_N.max()) + 1)]
        confusion_KK = [[n if i == 0 else 0 for i in range(len(counts))] for n in counts]
        known = sorted({0: self.measured.loss, **losses}.items())
        rows = [(step, 0, "train/loss_step", loss) for step, loss in known]
        return Evidence.of(signals, rows, confusion_KK, self.setup, reference=self.reference)


def expected_cause(case: ForecastCase) -> tuple[Finding, str | None]:
    """The expected cause, and the overrides that mend it."""
    evidence = case.as_a_run()
    first = _first(case, evidence)
    return first, find_remedies([first], evidence).get(first.cause)


def exact_findings(case: ForecastCase) -> list[Finding]:
    """Faults that are counted, not judged: they are worth a word whatever becomes of the run."""
    evidence = case.as_a_run()
    return [finding for look in EXACT_CHECKS if (finding := look(evidence))]


def out_of_scope_finding(case: ForecastCase) -> Finding | None:
    """What no run of the fit had: labels that say no more than chance, statistics that lag behind."""
    return labels_unlearnable(case.as_a_run()) or _lags(case)


def _first(case: ForecastCase, evidence: Evidence) -> Finding:
    found = [finding for finding in rank_findings(evidence) if finding.cause not in UNDECIDABLE_CAUSES]
    counted = [
        finding for finding in found if any(f == finding for f in (look(evidence) for look in EXACT_CHECKS))
    ]
    counted += [finding for finding in [out_of_scope_finding(case)] if finding]
    if counted:
        return counted[0]
    low = [finding for finding in found if finding.cause == "learning_rate_too_low"]
    if low and _median_way(case.measured) < HARDLY_MOVES:
        return low[0]
    if found:
        return found[0]
    others = (_too_short(case), _too_long(case), _too_low(case))
    return next((finding for finding in others if finding), _not_known(case))


def _median_way(measured: InitialMeasurement) -> float:
    """How far the median layer goes in all steps, of the layers that have a length."""
    steps = measured.budget.full_steps
    ways = [of.signal_step * steps for of in measured.layers.values()]
    return statistics.median([way for way in ways if 0 < way < math.inf] or [math.inf])


def _lags(case: ForecastCase) -> Finding | None:
    if case.lag < LAGS:
        return None
    says = (
        f"after all steps BatchNorm's running statistics are still {case.lag:.0%} those that they began with"
    )
    return Finding("batchnorm_statistics_lag", says, {"of_the_first": case.lag})


def _too_short(case: ForecastCase) -> Finding | None:
    steps = steps_needed(case.by_steps)
    if steps is None:
        return None
    says = f"more steps are expected to do it: {format_by_steps(case.by_steps)}"
    return Finding("too_few_steps", says, {"steps_needed": float(steps)})


def _too_long(case: ForecastCase) -> Finding | None:
    overshoot, step = (10 ** case.features[name] for name in ("overshoot", "first_step"))
    if _group(case) != "stability" or (overshoot <= OVERSHOOTS and step <= JUMPS):
        return None
    says = f"a step is about {overshoot:.2g} times as long as the loss goes on falling"
    if overshoot <= OVERSHOOTS:
        says = f"the first step moves a layer by {step:.2g} of its length"
    return Finding("learning_rate_too_high", says, {"overshoot": overshoot, "first_step": step})


def _too_low(case: ForecastCase) -> Finding | None:
    way = _median_way(case.measured)
    if _group(case) != "scale" or way >= HARDLY_MOVES:
        return None
    says = f"in all steps the median layer goes {way:.2g} of its length"
    return Finding("learning_rate_too_low", says, {"moved": way})


def _not_known(case: ForecastCase) -> Finding:
    group = _group(case)
    what = {
        "angle": "what lowers the loss for some images does little for others",
        "scale": "all steps together change little",
        "stability": "the steps are long",
    }[group]
    numbers = {name: case.features[name] for name in GROUPS[group] if name in case.features}
    most = case.by_steps[-1][0] if case.by_steps else case.measured.budget.steps
    says = f"no fault shows by itself; what speaks most against it: {what}. {2 * most:,} steps would tell"
    return Finding("not_known", says, numbers)


def _signals(measured: InitialMeasurement, last: int) -> Iterable[tuple[int, str, str, float]]:
    # logits that are all zero, as at zero weights, say nothing of an activation behind them
    blank = any(quantity == "outputs_zero" and value == 1 for _, quantity, value in measured.rows)
    left_out = ("weight_", "outputs_") if blank else ("weight_",)
    rows = [row for row in measured.rows if not row[1].startswith(left_out)]
    # clipping is no part of the gradient that is recorded
    rows += [
        (layer, "weight_grad_norm", of.gradient_norm / measured.clip_leaves)
        for layer, of in measured.layers.items()
    ]
    yield from ((step, *row) for step in dict.fromkeys((0, last)) for row in rows)
    for layer, of in measured.layers.items():
        yield 0, layer, "update_ratio", of.first_step
        yield last, layer, "update_ratio", of.signal_step
        yield 0, layer, "weight_norm", 1.0
        yield last, layer, "weight_norm", of.kept


def _rates(measured: InitialMeasurement) -> Iterable[tuple[int, str, str, float]]:
    """The schedule's course, where there is one."""
    for step, factor in measured.budget.course:
        yield step, NETWORK, "learning_rate", factor


def _group(case: ForecastCase) -> str:
    """The group of features that speaks most against it."""
    fitted = coefficients()["features"]
    against = {
        group: sum(
            fitted[name]["weight"] * (case.features[name] - fitted[name]["mean"]) / fitted[name]["scale"]
            for name in names
            if name in fitted
        )
        for group, names in GROUPS.items()
    }
    return min(against, key=lambda name: against[name])


MOST_REFERENCE_IMAGES = 512
"""Images that are asked for: what is solved grows with their third power."""


def label_reference(sample: ImageSample, linearized: LinearizedRun | None) -> Mapping[str, Any]:
    """As `Evidence.reference`: what a kernel model on the pixels, and the network as if linear, are right on.

    The kernel model is asked for each image with the others as its training (leave one out).
    """
    x_ND, y_N = (
        pixel_features(sample.all_x_NCHW[-MOST_REFERENCE_IMAGES:], MOST_REFERENCE_IMAGES),
        sample.all_y_N[-MOST_REFERENCE_IMAGES:],
    )
    classes = int(y_N.max()) + 1
    with torch.no_grad():
        right, permuted = probe_labels(x_ND, y_N, classes)
    linear = linearized.end.accuracy if linearized is not None else 0.0
    return {
        "best_accuracy": max(float(right), linear),
        "permuted_accuracy": float(permuted),
        "images": len(y_N) - 1,
        "held_images": len(y_N),
        "classes": len(sample.classes),
    }
