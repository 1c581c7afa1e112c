"""A claim's picture: what `figure:` in its file asks for, drawn from its runs."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl

from trainlab.claims.runner import ClaimResult
from trainlab.claims.source_evaluator import SourceEvaluator
from trainlab.claims.sources import Metric, Shift, Signal, needs_run
from trainlab.claims.spec import FigureSpec
from trainlab.figures import (
    bar_charts,
    interval_plots,
    layer_profiles,
    learning_curves,
    phase_diagram,
    signal_heatmap,
)
from trainlab.runs import read_signals

METRIC_NAMES = {"acc": "accuracy", "loss": "loss (nats)"}
SPLIT_NAMES = {"test": "test ", "train": "training ", "val": "validation "}


def draw_claim_figure(judged: ClaimResult) -> Any:
    """The chart that answers the claim's question.

    Raises:
        RequestError: nothing was recorded that it could show.
    """
    figure, evidence = judged.entry.claim.figure, judged.evidence
    shown = judged.entry.claim.shown_arms
    if figure.kind == "phase_diagram":
        claim = judged.entry.claim
        return phase_diagram.phase_diagram_plot(
            evidence.diagram(claim.grid, list(claim.cells)), figure.title, _subtitle(judged)
        )
    draw = {
        "curves": _curves, "arms": _arms, "sources": _sources, "interaction": _interaction,
        "heat_map": _heat_map, "depth": _depth, "layers": _layers,
    }  # fmt: skip
    return draw[figure.kind](figure, evidence, shown, _subtitle(judged))


def _subtitle(judged: ClaimResult) -> str:
    results = [r for of in judged.evidence.results.values() for r in of.values()]
    copies = sorted({f"{r.data['name']}, {str(r.data['copy']).partition(' (')[0]}" for r in results})
    seeds = len({r.seed for r in results})
    return f"{seeds} seeds; {'; '.join(copies)}" if results else ""


def _curves(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    folders = {arm: list(evidence.runs[arm].values()) for arm in shown}
    table = learning_curves.curves_of_runs(folders, figure.metric)
    classes = evidence.settings[shown[0]]["data"]["num_classes"]
    chance = None
    if classes:
        chance = 1 / classes if figure.metric.endswith("acc") else math.log(classes)
    return learning_curves.learning_curves_plot(table, figure.metric, figure.title, subtitle, chance)


def _arms(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    source: Any = figure.of
    if needs_run(source):
        values = {arm: list(of.values()) for arm, of in evidence.values(source, shown).items()}
    else:
        values = {arm: [float(evidence.fact(source, arm))] for arm in shown}
    return interval_plots.group_means_plot(
        values, figure.title, subtitle, source.unit(), source_label(source)
    )


def _sources(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    """Several sources of one arm, a row each."""
    values = {
        label: list(evidence.values(source, shown[:1])[shown[0]].values())
        for label, source in figure.rows.items()
    }
    source: Any = next(iter(figure.rows.values()))
    return interval_plots.group_means_plot(
        values, figure.title, subtitle, source.unit(), source_label(source)
    )


def _interaction(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    source: Any = figure.of
    values = {arm: list(of.values()) for arm, of in evidence.values(source, shown).items()}
    name = source_label(source)
    factors = (figure.names[0], figure.names[1])
    return interval_plots.interaction_plot(values, factors, figure.title, subtitle, source.unit(), name)


def _heat_map(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    first_seed = {arm: next(iter(evidence.runs[arm].values())) for arm in shown}
    panels = {
        arm: signal_heatmap.signal_cells(read_signals(folder), figure.quantity)
        for arm, folder in first_seed.items()
    }
    return signal_heatmap.signal_heatmap_grid(
        panels, figure.quantity, figure.title, f"seed 0; {subtitle.partition('; ')[2]}"
    )


def _depth(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    """The forward signal (`preactivation_std`), or the backpropagated gradient over the last hidden one's."""
    backward = "grad" in figure.quantity
    measured, predicted = {}, {}
    for arm in shown:
        rows = evidence.theory_rows(arm)
        key = "gradient" if backward else "scale"
        predicted[arm] = [row[key] for row in rows if row[key] is not None]
        table = read_signals(next(iter(evidence.runs[arm].values()))).filter(pl.col("step") == 0)
        sizes = table.filter(pl.col("quantity") == figure.quantity)["value"].to_list()[: len(predicted[arm])]
        measured[arm] = [size / sizes[-1] for size in sizes] if backward else sizes
    name = (
        "gradient at a layer's output, over the last hidden one's" if backward else "std of pre-activations"
    )
    return layer_profiles.theory_profile_plot(measured, predicted, name, figure.title, subtitle)


def _layers(figure: FigureSpec, evidence: SourceEvaluator, shown: Sequence[str], subtitle: str) -> Any:
    rows = [
        {"layer": row["name"] if len(shown) == 1 else f"{arm}: {row['name']}",
         "parameters": row["parameters"], "shape": "×".join(map(str, row["out_shape"]))}
        for arm in shown
        for row in evidence.layer_rows(arm)
    ]  # fmt: skip
    return bar_charts.parameter_bars(rows, figure.title, subtitle)


def source_label(source: Any) -> str:
    """What a source is, as an axis says it: `training accuracy − test accuracy`."""
    if isinstance(source, Metric):
        split, _, what = source.metric.rpartition("/")
        name = SPLIT_NAMES.get(split, "") + METRIC_NAMES.get(what, source.metric)
    elif isinstance(source, Signal):
        name = f"{source.signal.replace('_', ' ')}, {source.layer} layer"
    elif isinstance(source, Shift):
        name = f"{source.measure}, {source.named[0].replace('_', ' ')} {source.named[1]}"
    else:
        name = str(getattr(source, "anatomy", None) or getattr(source, "theory", ""))
    name += f" − {source_label(source.minus)}" if source.minus is not None else ""
    name += f" / {source_label(source.over)}" if source.over is not None else ""
    return f"log10 of {name}" if source.log10 else name
