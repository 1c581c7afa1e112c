"""A diagnosis for a reader: sentences (plain text, no markup) and a table of the run's layers."""

from typing import NamedTuple

from trainlab.diagnosis.evidence import Evidence, RecordedSignals, Series, first_and_last, path_length
from trainlab.diagnosis.explain import Diagnosis
from trainlab.diagnosis.known_causes import Finding
from trainlab.diagnosis.verdict import ACCURACY_MARGIN, RULES_VERSION
from trainlab.runs import Result, Verdict


class LayerSummary(NamedTuple):
    """How signal and gradient went through one weight layer.

    Pairs are the first and the last measured step; None where it was not measured.
    gradient: norm of ∂loss/∂z. moved: Σ ‖Δw‖/‖w‖ over the run. signal: standard deviation of z.
    correlation: cosine between the z of different images. saturated, dead: shares 0..1.
    """

    layer: str
    gradient: tuple[float, float] | None
    moved: float | None
    signal: tuple[float, float] | None
    correlation: tuple[float, float] | None
    saturated: tuple[float, float] | None
    dead: tuple[float, float] | None


def summarize_layers(signals: RecordedSignals) -> list[LayerSummary]:
    """A row for each layer, the input's side first; none where nothing was measured."""
    return [
        LayerSummary(
            layer,
            gradient=_ends(signals.series(layer, "preactivation_grad_norm")),
            moved=path_length(ratios) if (ratios := signals.series(layer, "update_ratio")) else None,
            signal=_ends(signals.series(layer, "preactivation_std")),
            correlation=_ends(signals.series(layer, "correlation")),
            saturated=_ends(signals.series(layer, "saturated")),
            dead=_ends(signals.series(layer, "dead")),
        )
        for layer in signals.layers
    ]


def _ends(series: Series) -> tuple[float, float] | None:
    return first_and_last(series) if series else None


OUTCOME_TEXT = {True: "learned", False: "did not learn", None: "is not known to have learned"}
LEVEL_TEXT = {
    "barely": "barely learned",
    "poorly": "learned poorly",
    "well": "learned",
    "not": "did not learn",
}

_STATUS_TEXT = {
    "running": "still running: this is what its record shows so far",
    "interrupted": "interrupted: this is what its record shows so far; the same command goes on from there",
    "failed": "failed: {error}",
    "pruned": "pruned: {reason}",
    "diverged": "diverged: {quantity} was not finite at step {step}",
}


def describe_status(status: str, result: Result | None) -> str | None:
    """The status in a sentence; None of a finished run."""
    if status not in _STATUS_TEXT:
        return None
    stopped = (result.stopped if result else None) or {}
    error = (result.error if result else None) or {}
    return _STATUS_TEXT[status].format(
        error=f"{error.get('type', 'for an unknown reason')} {error.get('message', '')}".strip(),
        reason=stopped.get("reason", "no reason is recorded"),
        quantity=stopped.get("quantity", "a loss"),
        step=stopped.get("step", "?"),
    )


def describe_outcome(learned: bool | None, level: str | None) -> str:
    """What became of it, with how well it learned where that is known."""
    return LEVEL_TEXT.get(level or "", OUTCOME_TEXT[learned])


def describe_accuracy(diagnosis: Diagnosis) -> str:
    """How well it did on the test, what guessing gives, and a linear model where one was fitted."""
    if not diagnosis.numbers:
        return "it has not been tested"
    numbers = diagnosis.numbers
    guessing = numbers["commonest_class"]
    description = (
        f"accuracy {numbers['accuracy']:.1%} on {numbers['images']:,.0f} test images (99% lower bound "
        f"{numbers['accuracy_at_least']:.1%}); always guessing the commonest class gives {guessing:.1%}"
    )
    if diagnosis.learned is False and numbers["accuracy"] > guessing:
        description += f", and to be no luck the bound must be above {guessing + ACCURACY_MARGIN:.1%}"
    if "linear_accuracy" in numbers:
        description += f", a linear model on pixels {numbers['linear_accuracy']:.1%}"
    return description


def describe_recorded_verdict(verdict: Verdict, version: int) -> str:
    """The verdict as it stands in the record, and by which rules."""
    cause = f", {verdict.cause.replace('_', ' ')}" if verdict.cause else ""
    layer = f" at {verdict.layer}" if verdict.layer else ""
    return (
        f"recorded when it ended, by version {version} of the rules: "
        f"{describe_outcome(verdict.learned, verdict.level)}{cause}{layer}; "
        f"version {RULES_VERSION}, today's, says:"
    )


def describe_missing_cause(evidence: Evidence) -> str:
    """Of a run that did not learn, or is not known to have, and shows no fault."""
    if not evidence.losses:
        return "no step is recorded, so there is nothing to explain"
    if not evidence.signals.layers:
        return "its signals were not measured (signals=off): signals=on sweep.rerun=true trains it again"
    loss, guessing = evidence.final_loss(), evidence.chance_loss
    return f"no fault shows: the training loss is {loss:.3f}, guessing gives {guessing:.3f}"


def describe_finding(finding: Finding) -> str:
    """The cause, where, and since when."""
    layer = f" at {finding.layer}" if finding.layer else ""
    step = f", since step {finding.since_step}" if finding.since_step is not None else ""
    return f"{finding.cause.replace('_', ' ')}{layer}{step}"


def format_numbers(finding: Finding) -> str:
    """The evidence as numbers, in a line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in finding.numbers.items())
