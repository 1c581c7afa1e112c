"""`trainlab.Doctor`: watches the training of any LightningModule.

trainer = L.Trainer(callbacks=[doctor := trainlab.Doctor()])
trainer.fit(module, loader)
print(doctor.explain())
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import lightning as L

from trainlab.doctor.report import CheckReport
from trainlab.doctor.training_watch import OnFinding, TrainingWatch
from trainlab.doctor.watch import DEFAULT_BUDGET, DEFAULT_MEASUREMENTS, watch
from trainlab.errors import RequestError


class Doctor(L.Callback):
    """Watches from the first training step to the end of `fit`, as `trainlab.watch` does; the same options.

    What cannot be watched is said in one line, as a RequestError, before the first step. Of several processes
    the first one watches.
    """

    def __init__(
        self,
        *,
        budget: float = DEFAULT_BUDGET,
        measurements: int = DEFAULT_MEASUREMENTS,
        layers: str | Sequence[str] | None = None,
        runs: Path | str | None = "runs",
        name: str | None = None,
        on_finding: OnFinding | None = None,
    ) -> None:
        self.watch: TrainingWatch | None = None
        self._begin = partial(
            watch,
            budget=budget,
            measurements=measurements,
            layers=layers,
            runs=runs,
            name=name,
            on_finding=on_finding,
        )

    def explain(self) -> CheckReport:
        """What is wrong so far. Raises RequestError before training has begun."""
        if self.watch is None:
            raise RequestError("Doctor: no training has begun: give it to a Trainer, and call fit")
        return self.watch.explain()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Optimizers are there: begins to watch, in the first process."""
        if not trainer.is_global_zero:
            return
        steps = trainer.estimated_stepping_batches
        left = None if steps == float("inf") else max(1, int(steps) - trainer.global_step)
        self.watch = self._begin(pl_module, trainer.optimizers, steps=left)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The run is recorded as finished."""
        if self.watch is not None:
            self.watch.stop()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """The run is recorded as failed, or as interrupted."""
        if self.watch is not None:
            self.watch.stop_because_of(exception)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Whatever ended it: no hook is left."""
        if self.watch is not None:
            self.watch.stop()
