"""Whether a run that is going may be stopped, since its signals say that it will not learn.

Conservative: a run that would have learned costs more than the steps that are saved. Stopped is only what has
had a fair share of its steps, stands no better than guessing, does not improve, and has a fault that training
does not mend.
"""

import statistics

from trainlab.diagnosis.causes.labels_and_splits import UNTESTED_LOSS_SHARE
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import rank_findings
from trainlab.diagnosis.known_causes import Finding

FEWEST_STEPS = 50
"""Steps before which no run is judged: Adam takes some ten to find its scale, a warm-up some more."""

FAIR_SHARE = 0.2
"""Share of a run's steps before which it is not judged: plateaus at the start are common, and end."""

NOTHING_LEFT = 1e-5
"""Share of their length in which images differ at the last hidden layer, below which float32's rounding
(6e-8 a number) is about to drown them: a plateau that no run of ours has left."""

FALLING = 2.0
"""Standard errors by which a quarter's mean loss must lie below that of the one before, to be falling."""


def reason_to_stop(evidence: Evidence, step: int, total_steps: int) -> str | None:
    """Why a run may be stopped after `step` of `total_steps` steps, in one sentence; None: let it go on.

    `evidence` is what is recorded so far; one without signals or losses never gives a reason. A loss that is
    not finite ends a run by itself, and is none either.
    """
    if step < max(FEWEST_STEPS, FAIR_SHARE * total_steps) or not evidence.losses:
        return None
    if not evidence.final_loss() > UNTESTED_LOSS_SHARE * evidence.chance_loss or _falling(evidence):
        return None
    hopeless = next((finding for finding in rank_findings(evidence) if _hopeless(finding)), None)
    if hopeless is None:
        return None
    return f"{hopeless.cause} at step {step}: {hopeless.description}"


def _hopeless(finding: Finding) -> bool:
    """Whether no number of steps mends it. Half-dead layers, faint signals, small steps may be outgrown."""
    numbers = finding.numbers
    match finding.cause:
        case "symmetric_weights" | "constant_input":
            return True
        case "no_trainable_gradient":
            return numbers["layers_trained"] == 0
        case "dead_units":
            return numbers["dead"] == 1
        case "collapsed_correlation":
            return numbers["difference_at_last"] < NOTHING_LEFT
    return False


def _falling(evidence: Evidence) -> bool:
    """Whether the loss of the last quarter of the steps lies below the quarter's before, beyond their noise.

    The first half is left out: in it the biases learn the classes' shares, which any network does.
    """
    losses = [loss for _, loss in sorted(evidence.losses.items())]
    losses = losses[len(losses) // 2 :]
    half = len(losses) // 2
    if half < 2:
        return True
    early, late = losses[:half], losses[half:]
    error = (statistics.variance(early) / len(early) + statistics.variance(late) / len(late)) ** 0.5
    return statistics.fmean(early) - statistics.fmean(late) > FALLING * error
