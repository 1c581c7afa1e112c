"""A verdict in words, for a terminal and for a page: plain text, no markup."""

from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis
from trainlab.diagnosis.finding import Finding
from trainlab.runs import Result

OUTCOMES = {True: "learned", False: "did not learn", None: "is not known to have learned"}

_STATUS_SAYS = {
    "running": "still running: this is what its record shows so far",
    "interrupted": "interrupted: this is what its record shows so far; the same command goes on from there",
    "failed": "failed: {error}",
    "pruned": "pruned: {reason}",
    "diverged": "diverged: {quantity} was not finite at step {step}",
}


def status(status: str, result: Result | None) -> str | None:
    """What is said of a status other than finished; None of a run that is."""
    if status not in _STATUS_SAYS:
        return None
    stopped = (result.stopped if result else None) or {}
    error = (result.error if result else None) or {}
    return _STATUS_SAYS[status].format(
        error=f"{error.get('type', 'for an unknown reason')} {error.get('message', '')}".strip(),
        reason=stopped.get("reason", "no reason is recorded"),
        quantity=stopped.get("quantity", "a loss"),
        step=stopped.get("step", "?"),
    )


def measured(diagnosis: Diagnosis) -> str:
    """How well it did on the test, and what guessing gives."""
    if not diagnosis.numbers:
        return "it has not been tested"
    numbers = diagnosis.numbers
    return (
        f"accuracy {numbers['accuracy']:.1%} on {numbers['images']:.0f} test images (at least "
        f"{numbers['accuracy_at_least']:.1%}); always guessing the commonest class gives "
        f"{numbers['commonest_class']:.1%}"
    )


def no_cause(evidence: Evidence) -> str:
    """Of a run that did not learn, or is not known to have, and shows no fault."""
    if not evidence.losses:
        return "no step is recorded, so there is nothing to explain"
    if not evidence.signals.layers:
        return "its signals were not measured (signals=off): train it again with signals=on for the cause"
    late, chance = evidence.late_loss(), evidence.chance_loss
    return f"no fault shows: the training loss is {late:.3f}, guessing gives {chance:.3f}"


def place(finding: Finding) -> str:
    """The cause, where, and since when."""
    layer = f" at {finding.layer}" if finding.layer else ""
    step = f", since step {finding.since_step}" if finding.since_step is not None else ""
    return f"{finding.cause.replace('_', ' ')}{layer}{step}"


def numbers(finding: Finding) -> str:
    """The evidence as numbers, in a line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in finding.numbers.items())
