"""Findings that only repeat another one: the fault is named, and not what follows from it."""

from collections.abc import Iterable

from trainlab.diagnosis.known_causes import Finding

CONSEQUENCES = {
    "gradients_disabled": ("loss_detached",),
    "layers_not_registered": ("parameters_without_gradient",),
    "input_not_finite": ("loss_not_finite",),
    "loss_not_finite": ("no_trainable_gradient",),
    "one_output_unit": ("no_trainable_gradient", "loss_detached"),
    "no_backward": ("no_trainable_gradient",),
    "loss_detached": ("no_trainable_gradient",),
    "activation_after_last_layer": ("no_trainable_gradient",),
    "dropout_leaves_nothing": ("no_trainable_gradient", "vanishing_gradient", "collapsed_correlation"),
    "gradients_add_up": ("learning_rate_too_high",),
    "nll_without_log_softmax": ("learning_rate_too_high",),
    "constant_input": ("blank_images", "batches_identical", "batch_repeated", "labels_unlearnable"),
    "batches_identical": ("labels_unlearnable", "rare_class", "class_missing"),
    "optimizer_of_other_model": ("parameters_not_in_optimizer", "no_trainable_gradient"),
    "no_trainable_gradient": ("eval_mode_in_training", "parameters_not_in_optimizer"),
    "input_wrong_shape": ("channels_last",),
    "eval_mode_in_training": ("batchnorm_frozen",),
    "one_class": ("class_missing",),
}
"""By cause, what follows from it."""


def without_consequences(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in their order, of each cause the first, and none that another of them explains."""
    once: dict[str, Finding] = {}
    for finding in findings:
        once.setdefault(finding.cause, finding)
    explained = {cause for name in once for cause in CONSEQUENCES.get(name, ())}
    return tuple(finding for finding in once.values() if finding.cause not in explained)
