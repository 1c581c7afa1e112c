"""Pruning: a sweep may stop runs that will not learn, by a forecast or by their signals.

`sweep.prune=preflight` runs the forecast before the first step, `sweep.prune=early` judges the signals at
each measured step. What they say is in the record (`pruning`) of every run of such a sweep, whatever came of
it. `sweep.audit` lets a share of the pruned runs go on to their end, to see how often that was wrong.
"""

from dataclasses import dataclass

import lightning as L

from trainlab.diagnosis.early_pruning import reason_to_stop
from trainlab.diagnosis.explain import diagnose
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
