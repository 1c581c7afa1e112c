"""From the evidence of a run to a verdict: learned or not, and if not, the causes, the first one first.

The order is that in which things happen, since what comes earlier explains what comes later: the data; the
wiring; the network's signal and gradient at the first step; the size of the steps; what came up only in
training (units that died, z that saturated); the batch; the length of the run; the labels. A loss that is
not finite stands first of all but the data: it is what happened, and what follows it in the list tells why.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from trainlab.diagnosis import verdict
from trainlab.diagnosis.causes import (
    batch_statistics,
    gradient_flow,
    hidden_units,
    input_images,
    labels_and_splits,
    loop_faults,
    run_length,
    step_size,
    wiring_faults,
)
from trainlab.diagnosis.consequences import without_consequences
from trainlab.diagnosis.evidence import Evidence, SettingsSummary
from trainlab.diagnosis.known_causes import CAUSES, Finding
from trainlab.diagnosis.remedy import suggest_remedy
from trainlab.json_types import JsonObject
from trainlab.runs import Verdict
from trainlab.runs.result import WEAK_LEVELS
from trainlab.stats import confusion
from trainlab.stats.intervals import wilson_lower_bound

Check = Callable[[Evidence], Finding | None]
"""Looks for one cause in the evidence."""

CHECKS: tuple[Check, ...] = (
    labels_and_splits.one_class,
    input_images.constant_input,
    step_size.diverged,
    labels_and_splits.test_classes_permuted,
    wiring_faults.softmax_before_loss,
    wiring_faults.activation_after_last_layer,
    wiring_faults.layers_not_registered,
    wiring_faults.gradients_add_up,
    wiring_faults.batchnorm_frozen,
    hidden_units.symmetric_weights,
    input_images.input_out_of_scale,
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
    input_images.image_axes_scrambled,
    labels_and_splits.test_images_in_training,
    labels_and_splits.rare_class,
    gradient_flow.some_without_gradient,
)
"""What is looked for in a run that did not learn well, in this order."""

FALLBACK_CHECKS: tuple[Check, ...] = (
    labels_and_splits.labels_unlearnable,
    labels_and_splits.overfitting,
    run_length.too_few_steps,
    run_length.not_known,
)
"""Looked for where nothing else is found: that signal and gradient are sound is part of what they mean."""

EXACT_CHECKS: tuple[Check, ...] = (
    labels_and_splits.test_classes_permuted,
    wiring_faults.softmax_before_loss,
    wiring_faults.activation_after_last_layer,
    wiring_faults.layers_not_registered,
    wiring_faults.gradients_add_up,
    wiring_faults.batchnorm_frozen,
    hidden_units.symmetric_weights,
    input_images.image_axes_scrambled,
    labels_and_splits.test_images_in_training,
    labels_and_splits.rare_class,
)
"""Looked for in a run that learned well too: faults that are counted, and that cost it or its test
something."""

LOOP_CHECKS: tuple[Check, ...] = (
    loop_faults.gradient_missing,
    loop_faults.network_replaced,
    loop_faults.parameters_not_in_optimizer,
    loop_faults.learning_rate_zero,
    loop_faults.parameters_never_change,
    loop_faults.one_output_unit,
    loop_faults.softmax_over_batch,
    loop_faults.nll_without_log_softmax,
    loop_faults.sigmoid_before_loss,
    loop_faults.batches_identical,
    loop_faults.eval_mode_in_training,
    loop_faults.frozen_at_initialization,
    loop_faults.frozen_batchnorm_moves,
    loop_faults.dropout_leaves_nothing,
)
"""Exact faults of a loop of one's own, looked for whether it learns or not; the platform has none."""

WEAK_LOOP_CHECKS: tuple[Check, ...] = (loop_faults.parameters_without_gradient,)
"""Looked for in a loop that does not learn: parts that are not used may be meant."""

LEARNING_LOSS_SHARE = 0.9
"""Share of its first value below which a loss is falling, where it is not known what guessing gives."""

FIRST_LOSSES = 5
"""Losses whose mean is the first value."""

UNIT_CAUSES = ("saturation", "dead_units", "collapsed_correlation")
"""What may come up only in training: then the steps that brought it there stand before it."""

HEALTHY_UPDATE_RATIO = 0.01
"""‖Δw‖/‖w‖ of a step in sound training: what a learning rate that is too high should come down to."""

HEALTHY_WEIGHT_DISTANCE = 0.5
"""‖w(end) − w(0)‖/‖w(0)‖ of a healthy run: what a learning rate that is too low should come up to."""


@dataclass(frozen=True)
class Diagnosis:
    """`learned` is None while it is not known (no test yet). `findings`: the likeliest cause first.

    `numbers` say how well it learned: accuracy, its lower bound, the share of the most common class, the
    linear model's accuracy. `level` is one of `verdict.LEVELS`, None where it is not known.
    """

    learned: bool | None
    findings: list[Finding] = field(default_factory=list)
    numbers: Mapping[str, float] = field(default_factory=dict)
    remedies: Mapping[str, str] = field(default_factory=dict)
    level: str | None = None

    @property
    def cause(self) -> Finding | None:
        """The first finding, the likeliest cause."""
        return self.findings[0] if self.findings else None

    def to_verdict(self, reference: JsonObject | None = None) -> Verdict:
        """As it is recorded; `reference` is what simple models make of the same images."""
        if self.cause is None:
            return Verdict(
                learned=self.learned,
                level=self.level,
                evidence=dict(self.numbers) or None,
                reference=reference,
                version=verdict.RULES_VERSION,
            )
        evidence = {**self.numbers, **self.cause.numbers, "since_step": self.cause.since_step}
        return Verdict(
            learned=self.learned,
            level=self.level,
            cause=self.cause.cause,
            layer=self.cause.layer,
            evidence={name: value for name, value in evidence.items() if value is not None},
            remedy=self.remedies.get(self.cause.cause),
            reference=reference,
            version=verdict.RULES_VERSION,
        )


def diagnose(evidence: Evidence) -> Diagnosis:
    """The verdict on a run: whether and how well it learned, and where that is less than well, why.

    In a run that learned well, or of which it is not known how well, only exact faults are looked for. Of a
    loop of one's own what only follows from another finding is left out.
    """
    learned = None if evidence.confusion_KK is None else verdict.has_learned(evidence.confusion_KK)
    if learned is None and step_size.diverged(evidence) is not None:
        learned = False
    level = _level(evidence, learned)
    is_learning = learned is None and is_loss_falling(evidence)
    if is_learning or (learned and level not in WEAK_LEVELS):
        findings = run_checks((*LOOP_CHECKS, *EXACT_CHECKS), evidence)
    else:
        findings = rank_findings(evidence)
    if evidence.setup.is_own_loop:
        findings = list(without_consequences(findings))
    numbers, remedies = accuracy_numbers(evidence), find_remedies(findings, evidence)
    return Diagnosis(learned, findings, numbers, remedies, level)


def is_loss_falling(evidence: Evidence) -> bool:
    """Whether the training loss is clearly below what guessing gives; of a loss of which that is not known,
    clearly below its own first values."""
    if not math.isnan(evidence.chance_loss):
        return evidence.final_loss() < labels_and_splits.UNTESTED_LOSS_SHARE * evidence.chance_loss
    first = [loss for _, loss in sorted(evidence.losses.items())][:FIRST_LOSSES]
    if len(evidence.losses) < 2 * FIRST_LOSSES:
        return False
    return evidence.final_loss() < LEARNING_LOSS_SHARE * sum(first) / len(first)


def run_checks(checks: Iterable[Check], evidence: Evidence) -> list[Finding]:
    """What these checks find, in their order."""
    return [finding for check in checks if (finding := check(evidence))]


def _level(evidence: Evidence, learned: bool | None) -> str | None:
    if learned is None or evidence.confusion_KK is None:
        return None if learned is None else "not"
    reference = evidence.reference
    return verdict.learning_level(evidence.confusion_KK, reference.accuracy if reference else None)


def rank_findings(evidence: Evidence) -> list[Finding]:
    """All causes that the evidence shows, the first one first.

    What units suffered only in training stands behind a learning rate that brought it there.
    """
    found = run_checks((*LOOP_CHECKS, *CHECKS, *WEAK_LOOP_CHECKS), evidence)
    start = min(evidence.signals.measured_steps, default=0)
    late = [f for f in found if f.cause in UNIT_CAUSES and f.since_step is not None and f.since_step > start]
    early = [f for f in found if f not in late]
    late.sort(key=lambda f: f.since_step or 0)
    causes = [f.cause for f in early]
    place = len(early)
    if "learning_rate_too_high" in causes:
        place = causes.index("learning_rate_too_high") + 1
    found = [*early[:place], *late, *early[place:]]
    return found or run_checks(FALLBACK_CHECKS, evidence)[:1]


def find_remedies(findings: list[Finding], evidence: Evidence) -> dict[str, str]:
    """The remedy of each finding. A divergence is mended by what mends its own cause, where that is found.

    PyTorch code for a loop of one's own, overrides for a run of the platform.
    """
    if evidence.setup.is_own_loop:
        return {f.cause: f.remedy_code for f in findings}
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
        return 10.0 ** min(-1, round(math.log10(HEALTHY_UPDATE_RATIO / ratio)))
    if finding.cause == "learning_rate_too_low" and moved:
        return 10.0 ** max(1, round(math.log10(HEALTHY_WEIGHT_DISTANCE / moved)))
    return None


def accuracy_numbers(evidence: Evidence) -> dict[str, float]:
    """Accuracy on the test, the lower end of its interval, and what guessing the most common class gives."""
    confusion_KK = evidence.confusion_KK or ()
    total = confusion.total_count(confusion_KK)
    if not total:
        return {}
    guessing, reference = evidence.majority_share, evidence.reference
    linear = verdict.attainable_accuracy(reference.accuracy if reference else None, guessing)
    return {
        **({} if linear is None else {"linear_accuracy": linear}),
        "accuracy": evidence.test_accuracy,
        "accuracy_at_least": wilson_lower_bound(confusion.correct_count(confusion_KK), total),
        "commonest_class": guessing,
        "images": float(total),
    }


def cause_sentence(finding: Finding) -> str:
    """The cause in one plain sentence."""
    return CAUSES[finding.cause].sentence
