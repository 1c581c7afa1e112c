"""From the evidence of a run to a verdict: learned or not, and if not, the causes, the first one first.

The order is that of the story, since what comes earlier explains what comes later: the data; the wiring; the
network's signal and gradient at the first step; the size of the steps; what came up only in training (units
that died, z that saturated); the batch; the length of the run; the labels. A loss that is not finite stands
first of all but the data: it is what happened, and what follows it in the list says why.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainlab.diagnosis import verdict
from trainlab.diagnosis.causes import (
    batch_statistics,
    gradient_flow,
    hidden_units,
    labels_and_splits,
    run_length,
    step_size,
    wiring_faults,
)
from trainlab.diagnosis.evidence import Evidence, SettingsSummary
from trainlab.diagnosis.known_causes import CAUSES, Finding
from trainlab.diagnosis.remedy import suggest_remedy
from trainlab.runs.result import WEAK_LEVELS
from trainlab.stats.intervals import wilson_lower_bound

Check = Callable[[Evidence], Finding | None]

CHECKS: tuple[Check, ...] = (
    labels_and_splits.one_class,
    labels_and_splits.constant_input,
    step_size.diverged,
    labels_and_splits.test_classes_permuted,
    wiring_faults.softmax_before_loss,
    wiring_faults.activation_after_last_layer,
    wiring_faults.layers_not_registered,
    wiring_faults.gradients_add_up,
    wiring_faults.batchnorm_frozen,
    hidden_units.symmetric_weights,
    labels_and_splits.input_out_of_scale,
    hidden_units.saturation,
    hidden_units.dead_units,
    hidden_units.collapsed_correlation,
    gradient_flow.no_trainable_gradient,
    gradient_flow.vanishing_gradient,
    gradient_flow.exploding_gradient,
    step_size.learning_rate_too_high,
    batch_statistics.batchnorm_statistics_lag,
    batch_statistics.batch_too_small,
    step_size.gradient_clip_too_small,
    step_size.schedule_decays_too_early,
    step_size.weight_decay_too_strong,
    step_size.learning_rate_too_low,
    labels_and_splits.image_axes_scrambled,
    labels_and_splits.test_images_in_training,
    labels_and_splits.rare_class,
    gradient_flow.some_without_gradient,
)
"""What is asked, in the order of the story."""

FALLBACK_CHECKS: tuple[Check, ...] = (
    labels_and_splits.labels_unlearnable,
    labels_and_splits.overfitting,
    run_length.too_few_steps,
    run_length.not_known,
)
"""Asked where nothing else is found: that signal and gradient are sound is part of what they say."""

EXACT_CHECKS: tuple[Check, ...] = (
    labels_and_splits.test_classes_permuted,
    wiring_faults.softmax_before_loss,
    wiring_faults.activation_after_last_layer,
    wiring_faults.layers_not_registered,
    wiring_faults.gradients_add_up,
    wiring_faults.batchnorm_frozen,
    hidden_units.symmetric_weights,
    labels_and_splits.image_axes_scrambled,
    labels_and_splits.test_images_in_training,
    labels_and_splits.rare_class,
)
"""Asked of a run that learned well too: faults that are counted, and that cost it or its test something."""

UNIT_CAUSES = ("saturation", "dead_units", "collapsed_correlation")
"""What may come up only in training: then the steps that brought it there stand before it."""

GOOD_UPDATE = 0.01
"""‖Δw‖/‖w‖ of a step in sound training: what a learning rate that is too high should come down to."""


GOOD_PATH = 0.5
"""How far weights of a healthy run go, of their length: what a rate that is too low should come up to."""


@dataclass(frozen=True)
class Diagnosis:
    """`learned` is None while it is not known (no test yet). `findings`: the likeliest cause first.

    `numbers` say how well it learned: accuracy, its lower bound, the share of the commonest class, the linear
    model's accuracy. `level` is one of `verdict.LEVELS`, None where it is not known.
    """

    learned: bool | None
    findings: list[Finding] = field(default_factory=list)
    numbers: Mapping[str, float] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    level: str | None = None

    @property
    def cause(self) -> Finding | None:
        """The first finding."""
        return self.findings[0] if self.findings else None

    def record(self) -> dict[str, Any]:
        """What goes into the run's record: learned, level, cause, layer, evidence, remedy, version."""
        known = {"learned": self.learned, "level": self.level, "version": verdict.RULES_VERSION}
        if self.cause is None:
            return {**known, "evidence": dict(self.numbers) or None}
        evidence = {**self.numbers, **self.cause.numbers, "since_step": self.cause.since_step}
        return {
            **known,
            "cause": self.cause.cause,
            "layer": self.cause.layer,
            "evidence": {name: value for name, value in evidence.items() if value is not None},
            "remedy": self.remedies.get(self.cause.cause),
        }


def diagnose(evidence: Evidence) -> Diagnosis:
    """The verdict on a run: whether and how well it learned, and where that is less than well, why.

    Of a run that learned well, or of which it is not known how well, only what is exact is asked.
    """
    numbers = accuracy_numbers(evidence)
    learned = None if evidence.confusion_KK is None else verdict.has_learned(evidence.confusion_KK)
    if learned is None and step_size.diverged(evidence) is not None:
        learned = False
    level = _level(evidence, learned)
    on_its_way = learned is None and evidence.late_loss() < labels_and_splits.UNTESTED * evidence.chance_loss
    if on_its_way or (learned and level not in WEAK_LEVELS):
        findings = [finding for look in EXACT_CHECKS if (finding := look(evidence))]
    else:
        findings = rank_findings(evidence)
    return Diagnosis(learned, findings, numbers, find_remedies(findings, evidence), level)


def _level(evidence: Evidence, learned: bool | None) -> str | None:
    if learned is None or evidence.confusion_KK is None:
        return None if learned is None else "not"
    return verdict.learning_level(evidence.confusion_KK, evidence.reference)


def rank_findings(evidence: Evidence) -> list[Finding]:
    """All causes that the evidence shows, in the order of the story."""
    found = [finding for look in CHECKS if (finding := look(evidence))]
    start = min(evidence.signals.steps, default=0)
    late = [f for f in found if f.cause in UNIT_CAUSES and f.since_step is not None and f.since_step > start]
    early = [f for f in found if f not in late]
    late.sort(key=lambda f: f.since_step or 0)
    causes = [f.cause for f in early]
    place = len(early)
    if "learning_rate_too_high" in causes:
        place = causes.index("learning_rate_too_high") + 1
    found = [*early[:place], *late, *early[place:]]
    return found or [finding for look in FALLBACK_CHECKS if (finding := look(evidence))][:1]


def find_remedies(findings: list[Finding], evidence: Evidence) -> dict[str, str]:
    """The remedy of each finding. A divergence is mended by what mends its own cause, where that is found."""
    steps = evidence.steps
    found = {f.cause: _remedy_for(f, evidence.setup, steps) for f in findings}
    reasons = [f.cause for f in findings if f.cause not in ("diverged", "one_class", "constant_input")]
    if "diverged" in found and reasons:
        found["diverged"] = found[reasons[0]]
    return {cause: overrides for cause, overrides in found.items() if overrides}


def _remedy_for(finding: Finding, setup: SettingsSummary, steps: int) -> str | None:
    if finding.numbers.get("layers_frozen"):  # no setting freezes a layer, and none thaws it
        return None
    needed = finding.numbers.get("steps_needed")
    factor = needed / steps if needed and steps else None
    return suggest_remedy(finding.cause, setup, _lr_factor(finding), factor)


def _lr_factor(finding: Finding) -> float | None:
    """The power of ten that brings the measured steps to a sound size; None where they were not measured."""
    ratio, moved = finding.numbers.get("update_ratio"), finding.numbers.get("moved")
    if finding.cause == "learning_rate_too_high" and ratio and math.isfinite(ratio):
        return 10.0 ** min(-1, round(math.log10(GOOD_UPDATE / ratio)))
    if finding.cause == "learning_rate_too_low" and moved:
        return 10.0 ** max(1, round(math.log10(GOOD_PATH / moved)))
    return None


def accuracy_numbers(evidence: Evidence) -> dict[str, float]:
    """Accuracy on the test, the lower end of its interval, and what guessing the commonest class gives."""
    total = sum(map(sum, evidence.confusion_KK or ()))
    if not total or evidence.confusion_KK is None:
        return {}
    correct = sum(row[k] for k, row in enumerate(evidence.confusion_KK))
    linear = verdict.attainable_accuracy(evidence.reference, max(map(sum, evidence.confusion_KK)) / total)
    return {
        **({} if linear is None else {"linear_accuracy": linear}),
        "accuracy": correct / total,
        "accuracy_at_least": wilson_lower_bound(correct, total),
        "commonest_class": max(map(sum, evidence.confusion_KK)) / total,
        "images": float(total),
    }


def cause_sentence(finding: Finding) -> str:
    """The cause in one plain sentence."""
    return CAUSES[finding.cause].sentence
