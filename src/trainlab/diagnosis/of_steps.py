"""Causes that lie in the size and the number of steps."""

import math
import statistics

from trainlab.diagnosis.evidence import Evidence, path_length
from trainlab.diagnosis.finding import Finding
from trainlab.diagnosis.of_gradient import LITTLE, THROWN, no_trainable_gradient, vanishing_gradient

USUAL_STEP = 1e-3
"""‖Δw‖/‖w‖ of a step in sound training, by the rule of thumb (Karpathy, CS231n); ours are above it."""

JUMP = 2.0
"""Times the larger of first and chance loss from which on a later loss shows a step that overshot."""


def diverged(evidence: Evidence) -> Finding | None:
    """A loss that is not finite: at which step."""
    step = evidence.diverged
    if step is None:
        step = next((s for s, loss in sorted(evidence.losses.items()) if not math.isfinite(loss)), None)
    if step is None:
        return None
    before = [loss for s, loss in sorted(evidence.losses.items()) if s < step and math.isfinite(loss)]
    said = f", before that it was {before[-1]:.3g}" if before else ""
    numbers = {"step": float(step)} | ({"last_finite_loss": before[-1]} if before else {})
    return Finding("diverged", f"the loss was no longer finite at step {step}{said}", numbers, None, step)


def learning_rate_too_high(evidence: Evidence) -> Finding | None:
    """A step that changes most layers by a third of their weights, or throws the loss far above its start."""
    thrown, jump = _thrown(evidence), _jump(evidence)
    if thrown is None and jump is None:
        return None
    said, numbers = [], {}
    if thrown is not None:
        said.append(
            f"step {thrown[0]} changes the weights of the median layer by {thrown[1]:.2g} of their size"
        )
        numbers["update_ratio"] = thrown[1]
    if jump is not None:
        said.append(f"at step {jump[0]} the loss is {jump[1]:.3g}")
        numbers["loss"] = jump[1]
    start = min(at[0] for at in (thrown, jump) if at is not None)
    return Finding("learning_rate_too_high", "; ".join(said), numbers, None, start)


def learning_rate_too_low(evidence: Evidence) -> Finding | None:
    """No layer goes more than a twentieth of its length in the whole run, or takes a step of usual size.

    Where the gradient itself is lacking, no rate would do: that is another cause. Where steps are of a usual
    size, it is their number.
    """
    if vanishing_gradient(evidence) or no_trainable_gradient(evidence):
        return None
    paths = {name: path_length(s) for name, s in evidence.signals.of_layers("update_ratio").items()}
    if not paths or not all(path < min(LITTLE, USUAL_STEP * evidence.steps) for path in paths.values()):
        return None
    layer = max(paths, key=lambda name: paths[name])
    says = f"in {evidence.steps} steps no layer moved more than {paths[layer]:.1g} of its length ({layer})"
    return Finding("learning_rate_too_low", says, {"moved": paths[layer]}, layer, 0)


def too_few_steps(evidence: Evidence) -> Finding | None:
    """Nothing else was found: what is left is that the run was short, or is slow."""
    if not evidence.losses or not evidence.signals.layers:
        return None
    late, chance = evidence.late_loss(), evidence.chance_loss
    says = f"after {evidence.steps} steps the training loss is {late:.3f}; guessing gives {chance:.3f}"
    return Finding("too_few_steps", says, {"steps": float(evidence.steps), "train_loss": late})


def _thrown(evidence: Evidence) -> tuple[int, float] | None:
    """The first measured step at which the median layer's ‖Δw‖/‖w‖ is beyond THROWN."""
    ratios = evidence.signals.of_layers("update_ratio").values()
    for step in evidence.signals.steps:
        # weights that started at zero have an infinite ratio, which says nothing
        known = [series[step] for series in ratios if math.isfinite(series.get(step, math.nan))]
        if known and statistics.median(known) > THROWN:
            return step, statistics.median(known)
    return None


def _jump(evidence: Evidence) -> tuple[int, float] | None:
    """The first step at which the loss is far above both its start and chance."""
    losses = sorted(evidence.losses.items())
    if not losses or not math.isfinite(losses[0][1]):
        return None
    bound = JUMP * max(losses[0][1], evidence.chance_loss)
    return next(((step, loss) for step, loss in losses if loss > bound), None)
