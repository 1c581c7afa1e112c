"""A run that will not learn is not paid for: a sweep may ask for a forecast, or for a look at the signals.

`sweep.prune=preflight` asks the forecast before the first step, `sweep.prune=early` the signals at each step
that is measured. What they say is in the record (`pruning`) of every run that was asked, whatever came of it.
`sweep.audit` lets a share of those runs go on to their end all the same, to see how often that was wrong.
"""

from dataclasses import dataclass
from typing import Any

import lightning as L

from trainlab.diagnosis.early_pruning import reason_to_stop
from trainlab.diagnosis.explain import diagnose
from trainlab.diagnosis.run_diagnosis import load_evidence
from trainlab.errors import RequestError
from trainlab.forecast.logistic_model import WILL_NOT_LEARN
from trainlab.runs import RunFolder, Verdict
from trainlab.settings import RunSettings
from trainlab.signals.measured_steps import measured_steps
from trainlab.training.classifier import Classifier


class Pruned(Exception):
    """The run is not worth what it costs; its record says why."""


@dataclass
class Pruning:
    """What a sweep asks of one run, and what was found.

    `by` is "preflight", "early" or "none"; `audited`: the run goes on whatever is found. `learns` is the
    forecast's probability, `reason` why the run is not worth it (None: it is), found after `steps` steps.
    """

    by: str = "none"
    audited: bool = False
    learns: float | None = None
    reason: str | None = None
    steps: int | None = None
    verdict: Verdict | None = None

    @classmethod
    def of(cls, settings: RunSettings) -> "Pruning":
        """What the frozen settings ask for. Which runs are audited is a matter of their id alone."""
        asked = settings.get("pruning") or {"by": "none", "audit": 0.0}
        if asked["by"] == "early" and settings["signals"] is False:
            raise RequestError("sweep.prune=early looks at the signals: expected signals=on, got off")
        return cls(asked["by"], audited=_is_audited(settings["run_id"], asked["audit"]))

    def foresee(self, settings: RunSettings) -> None:
        """Asks the forecast, if that is wanted. Raises Pruned where its answer is "will not learn"."""
        if self.by != "preflight":
            return
        from trainlab.forecast.run_forecast import forecast_run  # half of the runs never ask

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
        if not self.audited:
            raise Pruned(reason)

    def record(self) -> dict[str, Any] | None:
        """As it stands in `result.json`; None where nothing was asked."""
        if self.by == "none":
            return None
        return {
            "by": self.by,
            "audited": self.audited,
            "learns": self.learns,
            "reason": self.reason,
            "steps": self.steps,
        }


class EarlyPruning(L.Callback):
    """Looks at what the signals have shown at each measured step; stands behind what records them."""

    def __init__(self, folder: RunFolder, signals: bool | int, pruning: Pruning):
        self.folder, self.signals, self.pruning = folder, signals, pruning
        self._total = 0
        self._steps: frozenset[int] = frozenset()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The steps at which there is something new to see."""
        self._total = int(trainer.estimated_stepping_batches)
        self._steps = frozenset(measured_steps(self.signals, self._total))

    def on_train_batch_end(  # type: ignore[override]
        self, trainer: L.Trainer, pl_module: Classifier, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the run where it cannot learn any more."""
        # after the last step there is nothing left to save
        is_time = trainer.global_step - 1 in self._steps and trainer.global_step < self._total
        if not is_time or self.pruning.reason is not None:
            return
        pl_module.read_losses()
        evidence = load_evidence(self.folder)
        reason = reason_to_stop(evidence, trainer.global_step, self._total)
        if reason is not None:
            self.pruning.prune(reason, trainer.global_step, diagnose(evidence).to_verdict())


def _is_audited(run_id: str, share: float) -> bool:
    """Whether this run is one of a share 0..1 of all; run ids are hashes, hexadecimal."""
    return int(run_id[:8], 16) < share * 16**8
