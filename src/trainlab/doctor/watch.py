"""`trainlab.watch`: says of any training loop why its network does not learn, while it trains.

    doctor = trainlab.watch(model, optimizer)
    for x, y in loader:
        …                                       # the loop, unchanged
    print(doctor.explain())

The loop stays as it is, and its losses and weights the same to the bit.
"""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from trainlab.diagnosis.known_causes import Finding
from trainlab.doctor.measurement_plan import MeasurementPlan
from trainlab.doctor.subjects import (
    OptimizerLike,
    claim,
    is_compiled,
    is_other_process,
    layer_filter,
    network_of,
    optimizers_of,
    release,
)
from trainlab.doctor.training_watch import OnFinding, TrainingWatch
from trainlab.errors import RequestError

DEFAULT_BUDGET = 3.0
"""Percent of the loop's time that measuring may take."""

DEFAULT_MEASUREMENTS = 10
"""Measured steps of a loop whose length is known."""


def watch(
    model: nn.Module,
    optimizer: OptimizerLike,
    *,
    steps: int | None = None,
    budget: float = DEFAULT_BUDGET,
    measurements: int = DEFAULT_MEASUREMENTS,
    layers: str | Sequence[str] | None = None,
    runs: Path | str | None = "runs",
    name: str | None = None,
    on_finding: OnFinding | None = None,
) -> TrainingWatch:
    """Watches the training of `model` by `optimizer` (or several, in a list or by name) from now on.

    steps: how many the loop makes, where that is known: `measurements` log-spaced ones are measured; else
    each that comes half as late again as the last. budget: percent of the loop's time that measuring may
    take (100: no limit); the first three steps are measured whatever they cost, some tens of milliseconds.
    layers: patterns of the names of the layers to measure (`features.*`). runs: the folder in which the run
    is recorded, None for no record; name: of its group there. on_finding: called with each finding when it is
    sure, instead of a line on the console.

    Of several processes that train together the first one records and tells.

    Raises RequestError, in one line, for what cannot be watched.
    """
    network = network_of(model)
    optimizers = optimizers_of(optimizer, network)
    if not 0 < budget <= 100:
        raise RequestError(
            f"watch: budget is {budget:g}, expected a share of the loop's time in percent, 0 … 100"
        )
    if measurements < 1 or (steps is not None and steps < 1):
        raise RequestError(
            f"watch: got {measurements} measurements, {steps} steps; expected 1 or more of each"
        )
    is_wanted = layer_filter(layers, network)
    if is_other_process():
        runs, on_finding = None, _say_nothing
    claim(network)
    try:
        return TrainingWatch(
            network,
            optimizers,
            is_wanted,
            is_compiled(network, model),
            MeasurementPlan(steps, measurements, budget / 100),
            runs=runs,
            name=name,
            steps=steps,
            on_finding=on_finding,
        )
    except BaseException:
        release(network)
        raise


def _say_nothing(finding: Finding) -> None:
    """In processes of which another one tells."""
