"""Pruning: a sweep may stop runs that will not learn, by a forecast or by their signals.

`sweep.prune=preflight` runs the forecast before the first step, `sweep.prune=early` judges the signals at
each measured step. What they say is in the record (`pruning`) of every run of such a sweep, whatever came of
it. `sweep.audit` lets a share of the pruned runs go on to their end, to see how often that was wrong.

Signals are judged conservatively: a run that would have learned costs more than the steps that are saved.
Stopped is only what has had a fair share of its steps, stands no better than guessing, does not improve, and
has a fault that training does not mend.
"""

import statistics
from dataclasses import dataclass

import lightning as L

from trainlab.diagnosis.causes.labels_and_splits import UNTESTED_LOSS_SHARE
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import diagnose, rank_findings
from trainlab.diagnosis.known_causes import Finding
from trainlab.diagnosis.run_diagnosis import load_evidence
from trainlab.errors import RequestError
from trainlab.forecast.logistic_model import WILL_NOT_LEARN
from trainlab.json_types import JsonObject
from trainlab.runs import RunFolder, Verdict
from trainlab.settings import RunSettings
from trainlab.signals.measured_steps import measured_steps
from trainlab.training.classifier import Classifier


class Pruned(Exception):
    """The run is not worth what it costs; its record says why."""


@dataclass
class Pruning:
    """How a sweep wants one run to be pruned, and what came of it.

    `by` is "preflight", "early" or "none"; `is_audited`: the run goes on in any case. `learns` is the
    forecast's probability, `reason` why the run is not worth it (None: it is), found after `steps` steps.
    """

    by: str = "none"
    is_audited: bool = False
    learns: float | None = None
    reason: str | None = None
    steps: int | None = None
    verdict: Verdict | None = None

    @classmethod
    def requested_by(cls, settings: RunSettings) -> "Pruning":
        """What the frozen settings request. Which runs are audited depends on their id alone."""
        request = settings.pruning
        if request is None:
            return cls()
        if request.by == "early" and settings.signals is False:
            raise RequestError("sweep.prune=early looks at the signals: expected signals=on, got off")
        return cls(request.by, is_audited=_is_audited(settings.run_id, request.audit))

    def check_forecast(self, settings: RunSettings) -> None:
        """Runs the forecast, if that is requested. Raises Pruned where its answer is "will not learn"."""
        if self.by != "preflight":
            return
        from trainlab.forecast.run_forecast import forecast_run  # most runs never need it

        forecast = forecast_run(settings)
        self.learns = forecast.learns
        if forecast.answer == WILL_NOT_LEARN:
            verdict = Verdict(
                cause=forecast.cause,
                layer=forecast.layer,
                evidence=dict(forecast.evidence),
                remedy=forecast.remedy,
            )
            self.prune(f"{forecast.learns:.0%} likely to learn: {forecast.says}", 0, verdict)

    def prune(self, reason: str, steps: int, verdict: Verdict) -> None:
        """Notes why and when it is not worth its cost. Raises Pruned unless the run is audited."""
        self.reason, self.steps, self.verdict = reason, steps, verdict
        if not self.is_audited:
            raise Pruned(reason)

    def to_json(self) -> JsonObject | None:
        """As it stands in `result.json`; None where no pruning was requested."""
        if self.by == "none":
            return None
        return {
            "by": self.by,
            "audited": self.is_audited,
            "learns": self.learns,
            "reason": self.reason,
            "steps": self.steps,
        }


class EarlyPruning(L.Callback):
    """Judges the signals after each measured step; stands behind the callback that records them."""

    def __init__(self, folder: RunFolder, signals: bool | int, pruning: Pruning):
        self.folder, self.signals, self.pruning = folder, signals, pruning
        self._total = 0
        self._steps: frozenset[int] = frozenset()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The steps at which there is something new to see."""
        self._total = int(trainer.estimated_stepping_batches)
        self._steps = frozenset(measured_steps(self.signals, self._total))

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: Classifier, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Ends a run that cannot learn any more."""
        # after the last step there is nothing left to save
        is_time = trainer.global_step - 1 in self._steps and trainer.global_step < self._total
        if not is_time or self.pruning.reason is not None:
            return
        pl_module.log_losses_and_check_finite()
        evidence = load_evidence(self.folder)
        reason = reason_to_stop(evidence, trainer.global_step, self._total)
        if reason is not None:
            self.pruning.prune(reason, trainer.global_step, diagnose(evidence).to_verdict())


def _is_audited(run_id: str, share: float) -> bool:
    """Whether this run is one of a share 0..1 of all; run ids are hashes, hexadecimal."""
    return int(run_id[:8], 16) < share * 16**8


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
