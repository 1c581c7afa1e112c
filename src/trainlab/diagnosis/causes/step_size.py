"""Causes that lie in the size of the steps: learning rate, clipping, schedule, weight decay."""

import math
import statistics

from trainlab.diagnosis.causes.gradient_flow import LITTLE, THROWN, no_trainable_gradient, vanishing_gradient
from trainlab.diagnosis.evidence import Evidence, Series, SettingsSummary, first_and_last, path_length
from trainlab.diagnosis.known_causes import Finding

USUAL_RATES = {
    "sgd": 0.01, "sgd_momentum": 0.01, "sgd_nesterov": 0.01,
    "adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3,
}  # fmt: skip
"""The defaults of conf/optimizer/, which a test holds against it."""

HIGHEST_RATE_FACTOR = 10.0
"""Times the optimizer's usual rate: the highest that is ever proposed."""

HIGHEST_UNKNOWN_RATE = 0.1
"""The same where the optimizer is not known: what plain SGD bears."""


def higher_rate(setup: SettingsSummary, factor: float | None = None) -> float | None:
    """The rate to try where a run's is too low; None where it is as high as its optimizer bears, or not
    known.

    The optimizer's usual rate, or ten times the run's own where that is not much lower. Where the optimizer
    is not known, `factor` times the run's own (ten, if the evidence gives none), up to HIGHEST_UNKNOWN.
    """
    if not setup.lr:
        return None
    usual = USUAL_RATES.get(str(setup.axes.get("optimizer")))
    if usual is not None and setup.lr <= usual / 10:
        return usual
    highest = HIGHEST_UNKNOWN_RATE if usual is None else HIGHEST_RATE_FACTOR * usual
    higher = min(setup.lr * ((factor if usual is None else None) or 10.0), highest)
    return higher if higher >= 2 * setup.lr else None


USUAL_STEP = 1e-3
"""‖Δw‖/‖w‖ of a step in sound training, by the rule of thumb (Karpathy, CS231n); ours are above it."""

JUMP = 2.0
"""Times the larger of first and chance loss from which on a later loss shows a step that overshot."""

CLIPPED = 0.1
"""Share of the gradient's length that clipping leaves, below which it is clipping that sets the step."""

MOVED = 0.5
"""Share of its length that a layer goes in a run that trains, at the least; see LITTLE."""

RATE_LEFT = 0.1
"""Mean over largest rate, below which the schedule has taken most of the run away: cosine has 0.5, step
0.55."""

FADED = 1e-3
"""The same for rates that are inferred: an optimizer's own scale may change by tens."""

STRONG_DECAY, SHRUNK = 1e-3, 0.3
"""Weight decay that may do it, and the share of the weights' length that it leaves then."""

FEWEST_STEPS = 50
"""Steps before which a run shows nothing, whatever its loss: Adam takes some ten to find its scale."""


def diverged(evidence: Evidence) -> Finding | None:
    """A loss that is not finite: at which step."""
    step = evidence.diverged_step
    if step is None:
        step = next((s for s, loss in sorted(evidence.losses.items()) if not math.isfinite(loss)), None)
    if step is None:
        return None
    before = [loss for s, loss in sorted(evidence.losses.items()) if s < step and math.isfinite(loss)]
    earlier = f", before that it was {before[-1]:.3g}" if before else ""
    numbers = {"step": float(step)} | ({"last_finite_loss": before[-1]} if before else {})
    return Finding("diverged", f"the loss was no longer finite at step {step}{earlier}", numbers, None, step)


def learning_rate_too_high(evidence: Evidence) -> Finding | None:
    """A step that changes most layers by a third of their weights, or throws the loss far above its start."""
    thrown, jump = _thrown(evidence), _jump(evidence)
    if thrown is None and jump is None:
        return None
    parts, numbers = [], {}
    if thrown is not None:
        parts.append(
            f"step {thrown[0]} changes the weights of the median layer by {thrown[1]:.2g} of their size"
        )
        numbers["update_ratio"] = thrown[1]
    if jump is not None:
        parts.append(f"at step {jump[0]} the loss is {jump[1]:.3g}")
        numbers["loss"] = jump[1]
    start = min(at[0] for at in (thrown, jump) if at is not None)
    return Finding("learning_rate_too_high", "; ".join(parts), numbers, None, start)


def learning_rate_too_low(evidence: Evidence) -> Finding | None:
    """No layer goes more than a twentieth of its length in the whole run, or takes a step of usual size.

    Where the gradient itself is lacking, no rate would do; where clipping or a schedule takes the steps away,
    the rate is not to blame; where it is as high as the optimizer bears, neither. Those are other causes.
    Where steps are of a usual size, it is their number.
    """
    others = (vanishing_gradient, no_trainable_gradient, gradient_clip_too_small, schedule_decays_too_early)
    if (
        any(check(evidence) for check in others)
        or not can_rate_be_raised(evidence.setup)
        or _too_early(evidence)
    ):
        return None
    paths = _paths(evidence)
    if not paths or not all(path < min(LITTLE, USUAL_STEP * evidence.steps) for path in paths.values()):
        return None
    layer = max(paths, key=lambda name: paths[name])
    description = (
        f"in {evidence.steps} steps no layer moved more than {paths[layer]:.1g} of its length ({layer})"
    )
    return Finding("learning_rate_too_low", description, {"moved": paths[layer]}, layer, 0)


def gradient_clip_too_small(evidence: Evidence) -> Finding | None:
    """Clipping leaves a small part of the gradient's length, and the weights hardly moved.

    An optimizer that divides the gradient by its own size does not feel it.
    """
    clip, norms = evidence.setup.gradient_clip, _gradient_norms(evidence)
    kept = evidence.signals.network_series("gradient_kept")
    if not (clip or kept) or not norms or evidence.setup.rescales_gradient or _too_early(evidence):
        return None
    left = statistics.median(kept.values() if kept else (min(1.0, (clip or 0) / n) for n in norms.values()))
    moved = max(_paths(evidence).values(), default=math.nan)
    if not (left < CLIPPED and moved < MOVED):
        return None
    description = (
        f"clipping{f' at {clip:g}' if clip else ''} leaves {left:.2g} of the gradient's length at the median "
        f"step; in {evidence.steps} steps no layer moved more than {moved:.1g} of its length"
    )
    numbers = {"gradient_left": left, "moved": moved} | ({"gradient_clip": clip} if clip else {})
    return Finding("gradient_clip_too_small", description, numbers, None, min(norms))


def schedule_decays_too_early(evidence: Evidence) -> Finding | None:
    """Over the run the rate is on average a small part of its largest value.

    By the recorded rate; where there is none, by the length of a step over that of its gradient, where both
    it and the steps themselves fall to next to nothing.
    """
    rates = evidence.signals.network_series("learning_rate")
    recorded = bool(rates)
    if not recorded:
        rates = _effective_rates(evidence)
        if not rates or not _fades(rates) or not _fades(_median_ratios(evidence)):
            return None
    largest = max(rates.values(), default=0.0)
    if not largest > 0 or len(rates) < 3 or evidence.is_running:
        return None
    mean = path_length(rates) / (max(rates) - min(rates) + 1) / largest
    last = rates[max(rates)]
    if not mean < RATE_LEFT:
        return None
    gone = next(step for step in sorted(rates) if all(rates[s] < largest / 10 for s in rates if s >= step))
    description = (
        f"the schedule: the rate falls below a tenth of its largest value ({largest:.2g}) by step {gone} of "
    )
    description += (
        f"{evidence.steps} and ends at {last:.2g}; over the run it is {mean:.2g} of that on average"
    )
    if not recorded:
        description += " (by the length of a step over that of its gradient)"
    numbers = {"mean_rate": mean, "largest_rate": largest, "last_rate": last}
    return Finding("schedule_decays_too_early", description, numbers, None, gone)


def weight_decay_too_strong(evidence: Evidence) -> Finding | None:
    """The weights of the median layer shrink to less than a third, and weight decay is there to do it."""
    decay = evidence.setup.weight_decay
    norms = [series for series in evidence.signals.by_layer("weight_norm").values() if len(series) > 1]
    if not decay or decay < STRONG_DECAY or not norms:
        return None
    ends = [first_and_last(series) for series in norms]
    left = statistics.median(last / first if first else 1.0 for first, last in ends)
    if not left < SHRUNK:
        return None
    description = (
        f"with weight decay {decay:g} the weights of the median layer shrink to {left:.2g} of their length"
    )
    numbers = {"weight_decay": decay, "weights_left": left}
    return Finding("weight_decay_too_strong", description, numbers, None, None)


def can_rate_be_raised(setup: SettingsSummary) -> bool:
    """Whether a learning rate is one that can be raised: below the highest that its optimizer usually
    bears."""
    return setup.lr is None or higher_rate(setup) is not None


def _paths(evidence: Evidence) -> dict[str, float]:
    return {name: evidence.path_length(name) for name in evidence.signals.by_layer("update_ratio")}


def _too_early(evidence: Evidence) -> bool:
    """Whether the run has just begun: no path means anything yet."""
    return evidence.is_running and evidence.steps < FEWEST_STEPS


def _gradient_norms(evidence: Evidence) -> dict[int, float]:
    """The norm of all weights' gradient by step, where it is finite and not zero; before clipping."""
    layers = evidence.signals.by_layer("weight_grad_norm").values()
    norms = {
        step: math.hypot(*(s.get(step, 0.0) for s in layers)) for step in evidence.signals.measured_steps
    }
    return {step: norm for step, norm in norms.items() if norm > 0 and math.isfinite(norm)}


def _effective_rates(evidence: Evidence) -> dict[int, float]:
    """‖Δw‖/‖∂loss/∂w‖ of the median layer by step: SGD's own rate, of another optimizer what acts as it."""
    signals, by_step = evidence.signals, {}
    for layer, ratios in signals.by_layer("update_ratio").items():
        norms, grads = (signals.series(layer, f"weight_{name}") for name in ("norm", "grad_norm"))
        for step, ratio in ratios.items():
            rate = ratio * norms.get(step, math.nan) / (grads.get(step) or math.nan)
            if math.isfinite(rate):
                by_step.setdefault(step, []).append(rate)
    return {step: statistics.median(rates) for step, rates in sorted(by_step.items())}


def _median_ratios(evidence: Evidence) -> dict[int, float]:
    by_step: dict[int, list[float]] = {}
    for series in evidence.signals.by_layer("update_ratio").values():
        for step, ratio in series.items():
            if math.isfinite(ratio):
                by_step.setdefault(step, []).append(ratio)
    return {step: statistics.median(ratios) for step, ratios in sorted(by_step.items())}


def _fades(series: Series) -> bool:
    """Whether it ends at less than a thousandth of its largest value, and stays small once it is."""
    largest = max(series.values(), default=0.0)
    return largest > 0 and series[max(series)] < FADED * largest


def _thrown(evidence: Evidence) -> tuple[int, float] | None:
    """The first measured step at which the median layer's ‖Δw‖/‖w‖ is beyond THROWN."""
    ratios = evidence.signals.by_layer("update_ratio").values()
    for step in evidence.signals.measured_steps:
        # weights that started at zero have an infinite ratio, which means nothing
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
