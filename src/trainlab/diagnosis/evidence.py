"""What is known of a run, as plain numbers: its settings, signals, losses, the confusion matrix of its test.

Everything is read as it was recorded; no torch, no run folder. A quantity that was not measured is empty."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from trainlab.signals.catalogue import NETWORK


@dataclass(frozen=True)
class SettingsSummary:
    """`axes`: option names by axis. None: not known, or the run has no such thing."""

    axes: Mapping[str, Any] = field(default_factory=dict)
    depth: int | None = None
    num_classes: int | None = None
    batch_size: int | None = None
    train_size: int | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    norm_momentum: float | None = None
    gradient_clip: float | None = None
    max_epochs: int | None = None
    max_steps: int | None = None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "SettingsSummary":
        """From frozen settings; what they lack is None, so that half a record can be explained too."""
        data, trainer, optimizer = (_mapping_at(settings, name) for name in ("data", "trainer", "optimizer"))
        return cls(
            axes=_mapping_at(settings, "axes"),
            depth=settings.get("depth"),
            num_classes=data.get("num_classes"),
            batch_size=data.get("batch_size"),
            train_size=data.get("train_size"),
            lr=optimizer.get("lr"),
            momentum=optimizer.get("momentum"),
            weight_decay=optimizer.get("weight_decay"),
            norm_momentum=_mapping_at(_mapping_at(settings, "norm_layer"), "layer").get("momentum"),
            gradient_clip=trainer.get("gradient_clip"),
            max_epochs=trainer.get("max_epochs"),
            max_steps=trainer.get("max_steps"),
        )

    @property
    def has_batchnorm(self) -> bool:
        """Whether the network normalizes by its batch."""
        return str(self.axes.get("norm_layer") or "").startswith("batchnorm")

    @property
    def rescales_gradient(self) -> bool:
        """Whether the optimizer divides the gradient by its own size: its length then decides nothing."""
        return str(self.axes.get("optimizer") or "").startswith(("adam", "rmsprop"))


def _mapping_at(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = settings.get(name)
    return part if isinstance(part, Mapping) else {}


Series = Mapping[int, float]
"""Values by step, in the order of steps."""


@dataclass(frozen=True)
class RecordedSignals:
    """The rows of `signals.parquet`, by layer and quantity; layers in forward order."""

    table: Mapping[str, Mapping[str, Series]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[int, str, str, float | None]]) -> "RecordedSignals":
        """From rows (step, layer, quantity, value), in the order in which they were measured."""
        table: dict[str, dict[str, dict[int, float]]] = {}
        for step, layer, quantity, value in rows:
            series = table.setdefault(layer, {}).setdefault(quantity, {})
            series[step] = math.nan if value is None else value
        return cls(table)

    @property
    def layers(self) -> list[str]:
        """The weight layers, the input's side first."""
        return [layer for layer in self.table if layer != NETWORK]

    @property
    def steps(self) -> list[int]:
        """The measured steps."""
        return sorted({step for of in self.table.values() for series in of.values() for step in series})

    def series(self, layer: str, quantity: str) -> Series:
        """The values of a layer's quantity by step; empty where it was not measured."""
        return self.table.get(layer, {}).get(quantity, {})

    def network(self, quantity: str) -> Series:
        """The values of a quantity of the network as a whole by step."""
        return self.series(NETWORK, quantity)

    def of_layers(self, quantity: str) -> dict[str, Series]:
        """The series of every layer that has this quantity, in forward order."""
        return {layer: series for layer in self.layers if (series := self.series(layer, quantity))}


@dataclass(frozen=True)
class Evidence:
    """A run, or the part of one that has been.

    `losses`: the training loss by step, nats. `metrics`: the last value of each metric (`train/acc`, …).
    `confusion_KK`: images by true class (row) and predicted class, None before the test. `diverged`: the
    step at which a loss was not finite, by the run's own record. `reference`: what simple models make of the
    same images (`training.reference`), None where none was fitted. `running`: it has not ended yet.
    """

    signals: RecordedSignals = field(default_factory=RecordedSignals)
    losses: Series = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    confusion_KK: Sequence[Sequence[int]] | None = None
    diverged: int | None = None
    setup: SettingsSummary = field(default_factory=SettingsSummary)
    reference: Mapping[str, Any] | None = None
    running: bool = False

    @classmethod
    def of(
        cls,
        signals: Iterable[tuple[int, str, str, float | None]],
        metrics: Iterable[tuple[int, int, str, float | None]],
        confusion_KK: Sequence[Sequence[int]] | None,
        setup: SettingsSummary,
        diverged: int | None = None,
        reference: Mapping[str, Any] | None = None,
        running: bool = False,
    ) -> "Evidence":
        """From the rows of a run's tables: (step, layer, quantity, value) and (step, epoch, name, value)."""
        measured, losses, latest = RecordedSignals.of(signals), dict[int, float](), dict[str, float]()
        for step, _, name, value in metrics:
            if name == "train/loss_step":
                losses[step] = math.nan if value is None else value
            elif value is not None:
                latest[name] = value
        losses = losses or dict(measured.network("loss"))
        return cls(measured, losses, latest, confusion_KK, diverged, setup, reference, running)

    @property
    def steps(self) -> int:
        """How many steps the run has made, as far as it is recorded."""
        return max([-1, *self.losses, *self.signals.steps]) + 1

    @property
    def test_accuracy(self) -> float:
        """Share of the test images that were classified rightly; NaN before a test."""
        confusion_KK = self.confusion_KK or ()
        total = sum(map(sum, confusion_KK))
        return sum(row[k] for k, row in enumerate(confusion_KK)) / total if total else math.nan

    @property
    def commonest_class(self) -> float:
        """Share of the test images that are of the commonest class, which guessing gets; NaN before a
        test."""
        counts = [sum(row) for row in self.confusion_KK or ()]
        return max(counts) / sum(counts) if sum(counts) else math.nan

    @property
    def chance_loss(self) -> float:
        """Loss in nats of a network that knows the classes' shares and nothing of the image.

        H = −Σ p_k ln p_k over the test's classes; ln K before there is a test; NaN where K is not known.
        """
        total = sum(map(sum, self.confusion_KK or ()))
        if total:
            shares = [sum(row) / total for row in self.confusion_KK or ()]
            return -sum(p * math.log(p) for p in shares if p)
        return math.log(self.setup.num_classes) if self.setup.num_classes else math.nan

    def late_loss(self) -> float:
        """Mean training loss of the last tenth of the steps (five at least); NaN where none is recorded."""
        last = [value for _, value in sorted(self.losses.items())][-max(5, len(self.losses) // 10) :]
        return sum(last) / len(last) if last else math.nan


def path_length(ratios: Series) -> float:
    """How far the weights have gone, in units of their own length: Σ over all steps of ‖Δw‖/‖w‖.

    Between measured steps the ratio is interpolated (trapezoid). An upper bound of ‖w_T − w_0‖/‖w‖, since
    steps may turn. Ratios that are not finite (weights that started at zero) are left out.
    """
    known = [(step, ratio) for step, ratio in sorted(ratios.items()) if math.isfinite(ratio)]
    if not known:
        return math.nan
    between = sum(
        (later - step) * (ratio + next_ratio) / 2 for (step, ratio), (later, next_ratio) in pairwise(known)
    )
    return between + (known[0][1] + known[-1][1]) / 2


def first_sustained_step(series: Series, holds: Callable[[float], bool]) -> int | None:
    """The first step from which on `holds` is true of every value, None where it is not at the end.

    A value that is not finite (a comparison with NaN is false) ends it, so that what came after a divergence
    is never taken for a cause.
    """
    start = None
    for step in sorted(series, reverse=True):
        if not holds(series[step]):
            break
        start = step
    return start


def first_and_last(series: Series) -> tuple[float, float]:
    """The first and the last value of a series that is not empty."""
    return series[min(series)], series[max(series)]
