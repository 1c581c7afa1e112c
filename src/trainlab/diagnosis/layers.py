"""A run's layers side by side: how signal and gradient went through them, at the start and at the end."""

from typing import NamedTuple

from trainlab.diagnosis.evidence import Series, Signals, path_length
from trainlab.diagnosis.finding import first_and_last


class LayerRow(NamedTuple):
    """One weight layer. Pairs are the first and the last measured step; None where it was not measured.

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


def layer_rows(signals: Signals) -> list[LayerRow]:
    """A row for each layer, the input's side first; none where nothing was measured."""
    return [
        LayerRow(
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
