"""Why it is not expected to learn: the measurement read as a run that stays as it begins.

The same checks are made as on a run that is over (`diagnosis.explain`): the signals of the first step stand
for all, each step is as large as the optimizer makes it, the loss goes as along the first direction. A cause
is given where its own evidence is there; where none is, it is not known, and how many steps it takes is given
instead.

Legend: N images, D pixels.
"""

import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from trainlab.diagnosis.causes.labels_and_splits import labels_unlearnable
from trainlab.diagnosis.evidence import Evidence, ReferenceScores, SettingsSummary, SignalRow
from trainlab.diagnosis.explain import EXACT_CHECKS, find_remedies, rank_findings, run_checks
from trainlab.diagnosis.known_causes import Finding
from trainlab.forecast.answer import ProbabilityByStep, format_by_steps, steps_needed
from trainlab.forecast.image_sample import ImageSample
from trainlab.forecast.linearized_training import LinearizedRun
from trainlab.forecast.logistic_model import coefficients
from trainlab.forecast.measurement import InitialMeasurement
from trainlab.signals.catalogue import NETWORK
from trainlab.signals.label_probe import pixel_features, probe_labels

UNDECIDABLE_CAUSES = ("too_few_steps", "not_known", "labels_unlearnable")
"""What `explain` tells from the course of a loss, which there is none of here; labels are checked apart."""

FIRST_STEPS = 12
"""Steps for which the loss along the first direction is taken for the run's."""

HARDLY_MOVES = 0.02
"""Lengths that the median layer goes in all steps, below which nothing else matters."""

MOST_OVERSHOOT, LONGEST_STEP = 2.0, 0.3
"""Lengths of the first step, over what the curvature allows and over a layer's own, that are too long."""

MOST_LAG = 0.3
"""Share of their first values in BatchNorm's running statistics from which on they spoil the test."""

FEATURE_GROUPS: Mapping[str, tuple[str, ...]] = {
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
    """All that a cause is looked for in. `lag`: see `FunctionalModel.statistics_lag`."""

    measured: InitialMeasurement
    features: Mapping[str, float]
    sample: ImageSample
    setup: SettingsSummary
    by_steps: ProbabilityByStep
    reference: ReferenceScores
    lag: float = 0.0

    def synthetic_evidence(self) -> Evidence:
        """The measurement as a run that stays as it begins."""
        last = self.measured.budget.full_steps - 1
        signals = [*_signal_rows(self.measured, last), *_rate_rows(self.measured)]
        losses = {
            round(p.steps): p.loss
            for p in reversed(self.measured.downhill)
            if p.steps <= FIRST_STEPS and math.isfinite(p.loss)
        }
        classes_N = self.sample.held_out.y_N
        counts = [int((classes_N == k).sum()) for k in range(int(classes_N.max()) + 1)]
        confusion_KK = [[n if i == 0 else 0 for i in range(len(counts))] for n in counts]
        known = sorted({0: self.measured.loss, **losses}.items())
        rows = [(step, 0, "train/loss_step", loss) for step, loss in known]
        return Evidence.from_tables(signals, rows, confusion_KK, self.setup, reference=self.reference)


def expected_cause(case: ForecastCase) -> tuple[Finding, str | None]:
    """The expected cause, and the overrides that mend it."""
    evidence = case.synthetic_evidence()
    first = _likeliest_finding(case, evidence)
    return first, find_remedies([first], evidence).get(first.cause)


def exact_findings(case: ForecastCase) -> list[Finding]:
    """Faults that are counted, not judged: they are worth a note whatever becomes of the run."""
    return run_checks(EXACT_CHECKS, case.synthetic_evidence())


def out_of_scope_finding(case: ForecastCase) -> Finding | None:
    """What no run of the fit had: labels at chance level, running statistics that lag behind."""
    return labels_unlearnable(case.synthetic_evidence()) or _batchnorm_lag(case)


def _likeliest_finding(case: ForecastCase, evidence: Evidence) -> Finding:
    found = [finding for finding in rank_findings(evidence) if finding.cause not in UNDECIDABLE_CAUSES]
    exact = run_checks(EXACT_CHECKS, evidence)
    counted = [finding for finding in found if finding in exact]
    counted += [finding for finding in [out_of_scope_finding(case)] if finding]
    if counted:
        return counted[0]
    low = [finding for finding in found if finding.cause == "learning_rate_too_low"]
    if low and _median_path(case.measured) < HARDLY_MOVES:
        return low[0]
    if found:
        return found[0]
    others = (_too_few_steps(case), _learning_rate_too_high(case), _learning_rate_too_low(case))
    return next((finding for finding in others if finding), _not_known(case))


def _median_path(measured: InitialMeasurement) -> float:
    """How far the median layer goes in all steps, of the layers that have a length."""
    steps = measured.budget.full_steps
    paths = [layer.label_step * steps for layer in measured.layers.values()]
    return statistics.median([path for path in paths if 0 < path < math.inf] or [math.inf])


def _batchnorm_lag(case: ForecastCase) -> Finding | None:
    if case.lag < MOST_LAG:
        return None
    description = (
        f"after all steps BatchNorm's running statistics are still {case.lag:.0%} those that they began with"
    )
    return Finding("batchnorm_statistics_lag", description, {"of_the_first": case.lag})


def _too_few_steps(case: ForecastCase) -> Finding | None:
    steps = steps_needed(case.by_steps)
    if steps is None:
        return None
    description = f"more steps are expected to do it: {format_by_steps(case.by_steps)}"
    return Finding("too_few_steps", description, {"steps_needed": float(steps)})


def _learning_rate_too_high(case: ForecastCase) -> Finding | None:
    overshoot, step = (10 ** case.features[name] for name in ("overshoot", "first_step"))
    if _weakest_group(case) != "stability" or (overshoot <= MOST_OVERSHOOT and step <= LONGEST_STEP):
        return None
    description = f"a step is about {overshoot:.2g} times as long as the loss goes on falling"
    if overshoot <= MOST_OVERSHOOT:
        description = f"the first step moves a layer by {step:.2g} of its length"
    return Finding("learning_rate_too_high", description, {"overshoot": overshoot, "first_step": step})


def _learning_rate_too_low(case: ForecastCase) -> Finding | None:
    path = _median_path(case.measured)
    if _weakest_group(case) != "scale" or path >= HARDLY_MOVES:
        return None
    description = f"in all steps the median layer goes {path:.2g} of its length"
    return Finding("learning_rate_too_low", description, {"moved": path})


def _not_known(case: ForecastCase) -> Finding:
    group = _weakest_group(case)
    what = {
        "angle": "what lowers the loss for some images does little for others",
        "scale": "all steps together change little",
        "stability": "the steps are long",
    }[group]
    numbers = {name: case.features[name] for name in FEATURE_GROUPS[group] if name in case.features}
    most = case.by_steps[-1][0] if case.by_steps else case.measured.budget.steps
    description = (
        f"no fault shows by itself; what speaks most against it: {what}. {2 * most:,} steps would tell"
    )
    return Finding("not_known", description, numbers)


def _signal_rows(measured: InitialMeasurement, last: int) -> Iterable[SignalRow]:
    # logits that are all zero, as at zero weights, show nothing of an activation behind them
    is_blank = any(quantity == "outputs_zero" and value == 1 for _, quantity, value in measured.rows)
    left_out = ("weight_", "outputs_") if is_blank else ("weight_",)
    rows = [row for row in measured.rows if not row[1].startswith(left_out)]
    # clipping is no part of the gradient that is recorded
    rows += [
        (layer, "weight_grad_norm", movement.gradient_norm / measured.clip_leaves)
        for layer, movement in measured.layers.items()
    ]
    yield from ((step, *row) for step in dict.fromkeys((0, last)) for row in rows)
    for layer, movement in measured.layers.items():
        yield 0, layer, "update_ratio", movement.first_step
        yield last, layer, "update_ratio", movement.label_step
        yield 0, layer, "weight_norm", 1.0
        yield last, layer, "weight_norm", movement.kept


def _rate_rows(measured: InitialMeasurement) -> Iterable[SignalRow]:
    """The schedule's course, where there is one."""
    for step, factor in measured.budget.course:
        yield step, NETWORK, "learning_rate", factor


def _weakest_group(case: ForecastCase) -> str:
    """The group of features that speaks most against it."""
    fitted = coefficients()["features"]
    against = {
        group: sum(
            fitted[name]["weight"] * (case.features[name] - fitted[name]["mean"]) / fitted[name]["scale"]
            for name in names
            if name in fitted
        )
        for group, names in FEATURE_GROUPS.items()
    }
    return min(against, key=lambda name: against[name])


MOST_REFERENCE_IMAGES = 512
"""Images that are classified: the cost grows with their third power."""


def label_reference(sample: ImageSample, linearized: LinearizedRun | None) -> ReferenceScores:
    """How well a kernel model on the pixels, or the linearized network, predicts the labels.

    The kernel model predicts each image from all others (leave one out).
    """
    x_NCHW, y_N = sample.all_x_NCHW[-MOST_REFERENCE_IMAGES:], sample.all_y_N[-MOST_REFERENCE_IMAGES:]
    x_ND = pixel_features(x_NCHW, MOST_REFERENCE_IMAGES)
    with torch.no_grad():
        right, permuted = probe_labels(x_ND, y_N, int(y_N.max()) + 1)
    linear = linearized.end.accuracy if linearized is not None else 0.0
    return ReferenceScores(
        best_accuracy=max(float(right), linear),
        permuted_accuracy=float(permuted),
        images=len(y_N) - 1,
        held_images=len(y_N),
        classes=len(sample.classes),
    )
