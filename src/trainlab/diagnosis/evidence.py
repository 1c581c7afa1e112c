"""What is known of a run, as plain numbers: its settings, signals, losses, the confusion matrix of its test.

Everything is read as it was recorded; no torch, no run folder. A quantity that was not measured is empty.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from trainlab.runs.run_folder import OWN_LOOP
from trainlab.settings import Settings
from trainlab.signals.catalogue import NETWORK
from trainlab.stats import confusion
from trainlab.stats.confusion import ConfusionMatrix


@dataclass(frozen=True)
class SettingsSummary:
    """How a run was set up, as far as a verdict or a remedy needs it. `axes`: option names by axis.

    None: not known, or the run has no such thing. is_own_loop: it is no run of the platform, but a loop that
    `trainlab.watch` has recorded.
    """

    axes: Mapping[str, object] = field(default_factory=dict)
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
    is_own_loop: bool = False

    @classmethod
    def from_settings(cls, settings: Settings) -> "SettingsSummary":
        return cls.from_record(settings.to_plain())

    @classmethod
    def from_record(cls, settings: Mapping[str, object]) -> "SettingsSummary":
        """From a run's `config.yaml`; what it lacks is None, so that half a record can be explained too."""
        data, trainer, optimizer = (_section(settings, name) for name in ("data", "trainer", "optimizer"))
        return cls(
            axes=_section(settings, "axes"),
            depth=_integer(settings, "depth"),
            num_classes=_integer(data, "num_classes"),
            batch_size=_integer(data, "batch_size"),
            train_size=_integer(data, "train_size"),
            lr=_number(optimizer, "lr"),
            momentum=_number(optimizer, "momentum"),
            weight_decay=_number(optimizer, "weight_decay"),
            norm_momentum=_number(_section(_section(settings, "norm_layer"), "layer"), "momentum"),
            gradient_clip=_number(trainer, "gradient_clip"),
            max_epochs=_integer(trainer, "max_epochs"),
            max_steps=_integer(trainer, "max_steps"),
            is_own_loop=settings.get(OWN_LOOP) is True,
        )

    @property
    def has_batchnorm(self) -> bool:
        """Whether the network normalizes by its batch."""
        return str(self.axes.get("norm_layer") or "").startswith("batchnorm")

    @property
    def rescales_gradient(self) -> bool:
        """Whether the optimizer divides the gradient by its own size: its length then decides nothing."""
        return str(self.axes.get("optimizer") or "").startswith(("adam", "rmsprop"))


@dataclass(frozen=True)
class ReferenceScores:
    """What simple models, fitted to the same images, make of them; None where it is not known.

    accuracy: the linear model's, on test images. best_accuracy, permuted_accuracy: the better model's on
    `held_images` other images, by the labels as they are and by permuted ones; `images` were fitted, of
    `classes` classes. test_in_training: share of the test images that are training images too. rarest_…: the
    rarest class of the training images: its number, its share of them, its name.
    """

    accuracy: float | None = None
    best_accuracy: float | None = None
    permuted_accuracy: float | None = None
    images: int | None = None
    held_images: int | None = None
    classes: int | None = None
    test_in_training: float | None = None
    rarest_class: int | None = None
    rarest_share: float | None = None
    rarest_name: str | None = None

    @classmethod
    def from_record(cls, record: Mapping[str, object] | None) -> "ReferenceScores | None":
        """From a run's record (`verdict.reference`); what is no number there is not known."""
        if record is None:
            return None
        name = record.get("rarest_name")
        return cls(
            accuracy=_number(record, "accuracy"),
            best_accuracy=_number(record, "best_accuracy"),
            permuted_accuracy=_number(record, "permuted_accuracy"),
            images=_integer(record, "images"),
            held_images=_integer(record, "held_images"),
            classes=_integer(record, "classes"),
            test_in_training=_number(record, "test_in_training"),
            rarest_class=_integer(record, "rarest_class"),
            rarest_share=_number(record, "rarest_share"),
            rarest_name=None if name is None else str(name),
        )


def _section(settings: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = settings.get(name)
    return value if isinstance(value, Mapping) else {}


def _number(values: Mapping[str, object], name: str) -> float | None:
    value = values.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _integer(values: Mapping[str, object], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


Series = Mapping[int, float]
"""Values by step, in the order of steps."""

SignalRow = tuple[int, str, str, float | None]
"""(step, layer, quantity, value), as in `signals.parquet`."""

MetricRow = tuple[int, int, str, float | None]
"""(step, epoch, name, value), as in `metrics.parquet`."""


SignalTable = dict[str, dict[str, dict[int, float]]]
"""Series by layer and quantity, as rows are added to them."""


def add_signals(table: SignalTable, rows: Iterable[SignalRow]) -> None:
    """Adds rows to a table, in the order in which they were measured."""
    for step, layer, quantity, value in rows:
        series = table.setdefault(layer, {}).setdefault(quantity, {})
        series[step] = math.nan if value is None else value


@dataclass(frozen=True)
class RecordedSignals:
    """The rows of `signals.parquet`, by layer and quantity; layers in forward order."""

    table: Mapping[str, Mapping[str, Series]] = field(default_factory=dict)

    @classmethod
    def from_rows(cls, rows: Iterable[SignalRow]) -> "RecordedSignals":
        """From rows in the order in which they were measured."""
        table: SignalTable = {}
        add_signals(table, rows)
        return cls(table)

    @property
    def layers(self) -> list[str]:
        """The weight layers, the input's side first."""
        return [layer for layer in self.table if layer != NETWORK]

    @property
    def measured_steps(self) -> list[int]:
        quantities = [series for layer in self.table.values() for series in layer.values()]
        return sorted({step for series in quantities for step in series})

    def series(self, layer: str, quantity: str) -> Series:
        """The values of a layer's quantity by step; empty where it was not measured."""
        return self.table.get(layer, {}).get(quantity, {})

    def network_series(self, quantity: str) -> Series:
        """The values of a quantity of the network as a whole by step."""
        return self.series(NETWORK, quantity)

    def by_layer(self, quantity: str) -> dict[str, Series]:
        """The series of every layer that has this quantity, in forward order."""
        return {layer: series for layer in self.layers if (series := self.series(layer, quantity))}


@dataclass(frozen=True)
class Evidence:
    """A run, or the part of one that has been.

    `losses`: the training loss by step, nats. `metrics`: the last value of each metric (`train/acc`, …).
    `confusion_KK`: images by true class (row) and predicted class, None before the test. `diverged_step`: the
    step at which a loss was not finite, by the run's own record. `reference`: what simple models make of the
    same images (`training.reference_model`), None where none was fitted. `is_running`: it has not ended yet.
    """

    signals: RecordedSignals = field(default_factory=RecordedSignals)
    losses: Series = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    confusion_KK: ConfusionMatrix | None = None
    diverged_step: int | None = None
    setup: SettingsSummary = field(default_factory=SettingsSummary)
    reference: ReferenceScores | None = None
    is_running: bool = False

    @classmethod
    def from_tables(
        cls,
        signals: Iterable[SignalRow],
        metrics: Iterable[MetricRow],
        confusion_KK: ConfusionMatrix | None,
        setup: SettingsSummary,
        diverged_step: int | None = None,
        reference: ReferenceScores | None = None,
        is_running: bool = False,
    ) -> "Evidence":
        """From the rows of a run's tables."""
        recorded, losses, latest = RecordedSignals.from_rows(signals), dict[int, float](), dict[str, float]()
        for step, _, name, value in metrics:
            if name == "train/loss_step":
                losses[step] = math.nan if value is None else value
            elif value is not None:
                latest[name] = value
        losses = losses or dict(recorded.network_series("loss"))
        return cls(recorded, losses, latest, confusion_KK, diverged_step, setup, reference, is_running)

    @property
    def steps(self) -> int:
        """How many steps the run has made, as far as it is recorded."""
        return max([-1, *self.losses, *self.signals.measured_steps]) + 1

    def path_length(self, layer: str) -> float:
        """How far the layer's weights have gone in the whole run, in units of their own length.

        The platform measures the last step too; a loop of one's own may have gone on long after the last
        measured one: its steps since then are taken to be as long as that one.
        """
        ratios = self.signals.series(layer, "update_ratio")
        length, last = path_length(ratios), max(ratios, default=0)
        if self.setup.is_own_loop and ratios and math.isfinite(ratios[last]):
            length += (self.steps - 1 - last) * ratios[last]
        return length

    @property
    def test_accuracy(self) -> float:
        """Share of the test images that were classified correctly; NaN before a test."""
        return confusion.accuracy(self.confusion_KK or ())

    @property
    def majority_share(self) -> float:
        """Share of the test images that are of the most common class, NaN before a test."""
        return confusion.majority_share(self.confusion_KK or ())

    @property
    def chance_loss(self) -> float:
        """Loss in nats of a network that knows the classes' shares and nothing of the image.

        H = −Σ p_k ln p_k over the test's classes; ln K before there is a test; NaN where K is not known.
        """
        entropy = confusion.class_entropy(self.confusion_KK or ())
        compared = self.signals.network_series("output_units")  # in a loop of one's own
        classes = self.setup.num_classes or max(compared.values(), default=0)
        return entropy if math.isfinite(entropy) or not classes else math.log(classes)

    def final_loss(self) -> float:
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


def first_sustained_step(series: Series, condition: Callable[[float], bool]) -> int | None:
    """The first step from which on `condition` is true of every value, None where it is not at the end.

    A value that is not finite (a comparison with NaN is false) ends it, so that what came after a divergence
    is never taken for a cause.
    """
    start = None
    for step in sorted(series, reverse=True):
        if not condition(series[step]):
            break
        start = step
    return start


def first_and_last(series: Series) -> tuple[float, float]:
    """The first and the last value of a series that is not empty."""
    return series[min(series)], series[max(series)]
