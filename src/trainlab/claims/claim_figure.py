"""A claim's figures: what `figure:` and `pictures:` in its file ask for, drawn from its runs."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from trainlab.claims.claim_page import FIGURE_FILE
from trainlab.claims.pictures import write_picture
from trainlab.claims.runner import ClaimResult
from trainlab.claims.source_evaluator import SourceEvaluator
from trainlab.claims.sources import (
    BaseSource,
    MetricSource,
    ProbeSource,
    ShiftSource,
    SignalSource,
    StepsSource,
    needs_run,
)
from trainlab.claims.spec import FigureSpec
from trainlab.errors import RequestError
from trainlab.figures import (
    bar_charts,
    curve_panels,
    interval_plots,
    layer_profiles,
    learning_curves,
    phase_diagram,
    signal_heatmap,
)
from trainlab.figures.style import save_figure
from trainlab.runs import read_signals

if TYPE_CHECKING:
    from trainlab.figures.style import Chart

METRIC_NAMES = {"acc": "accuracy", "loss": "loss (nats)"}
LINEAR_PROBE = "accuracy of a linear classifier"
SPLIT_NAMES = {"test": "test ", "train": "training ", "val": "validation "}


def save_claim_figures(result: ClaimResult, folder: Path) -> list[str]:
    """Writes the figure and the pictures beside the claim.

    Returns a line for each named picture that cannot be drawn here: its data may be others than the claim's.

    Raises:
        RequestError: nothing was recorded that the figure, or one of the claim's runs, could show.
        OSError: a file cannot be written.
    """
    claim, evaluator = result.entry.claim, result.evaluator
    save_figure(draw_claim_figure(result, claim.figure), folder / FIGURE_FILE)
    faults = []
    for picture, file in zip(claim.pictures, claim.picture_files(), strict=True):
        if isinstance(picture, FigureSpec):
            save_figure(draw_claim_figure(result, picture), folder / file)
            continue
        arm = claim.shown_arms[-1]
        paths = evaluator.settings[arm].paths
        run = next(iter(evaluator.runs.get(arm, {}).values()), None)
        try:
            evaluator.server.call(
                write_picture, folder / file, picture, Path(paths.data), Path(paths.cache), run
            )
        except RequestError as error:
            faults.append(f"picture {picture} is left out: {error}")
    return faults


def draw_claim_figure(result: ClaimResult, figure: FigureSpec) -> "Chart":
    """The chart that a figure of the claim's file asks for, from the claim's runs.

    Raises:
        RequestError: nothing was recorded that it could show.
    """
    claim, evaluator = result.entry.claim, result.evaluator
    subtitle = _subtitle(evaluator)
    if figure.kind == "phase_diagram":
        diagram = evaluator.phase_diagram(claim.grid, list(claim.cells))
        return phase_diagram.phase_diagram_plot(diagram, figure.title, subtitle)
    draw = {
        "curves": _curves, "arms": _arms, "sources": _sources, "interaction": _interaction,
        "heat_map": _heat_map, "depth": _depth, "layers": _layers,
    }  # fmt: skip
    return draw[figure.kind](figure, evaluator, claim.arms_of(figure), subtitle)


def _subtitle(evaluator: SourceEvaluator) -> str:
    results = [result for runs in evaluator.results.values() for result in runs.values()]
    copies = sorted({f"{r.data['name']}, {str(r.data['copy']).partition(' (')[0]}" for r in results})
    seeds = len({r.seed for r in results})
    return f"{seeds} seeds; {'; '.join(copies)}" if results else ""


def _curves(figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str) -> "Chart":
    folders = {arm: list(evaluator.runs[arm].values()) for arm in shown}
    classes = evaluator.settings[shown[0]].data.num_classes
    metrics = [figure.metric] if isinstance(figure.metric, str) else figure.metric
    chance = None
    if classes:
        chance = 1 / classes if metrics[0].endswith("acc") else math.log(classes)
    if len(metrics) == 1:
        table = learning_curves.curves_of_runs(folders, metrics[0])
        return learning_curves.learning_curves_plot(table, metrics[0], figure.title, subtitle, chance)
    panels = {
        arm: {metric: learning_curves.curves_of_runs({arm: runs}, metric) for metric in metrics}
        for arm, runs in folders.items()
    }
    return curve_panels.curve_panels_plot(panels, figure.title, subtitle, chance)


def _arms(figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str) -> "Chart":
    source = _require_source(figure.of)
    if needs_run(source):
        values = _values_by_arm(evaluator, source, shown)
    else:
        values = {arm: [evaluator.number(source, arm)] for arm in shown}
    return interval_plots.group_means_plot(
        values, figure.title, subtitle, source.unit(), source_label(source)
    )


def _sources(figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str) -> "Chart":
    """Several sources of one arm, a row each."""
    values = {
        label: _values_by_arm(evaluator, source, shown[:1])[shown[0]] for label, source in figure.rows.items()
    }
    unit = next(iter(figure.rows.values())).unit()
    return interval_plots.group_means_plot(
        values, figure.title, subtitle, unit, common_label(list(figure.rows.values()))
    )


def _interaction(
    figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str
) -> "Chart":
    source = _require_source(figure.of)
    values = _values_by_arm(evaluator, source, shown)
    name = source_label(source)
    factors = (figure.names[0], figure.names[1])
    return interval_plots.interaction_plot(values, factors, figure.title, subtitle, source.unit(), name)


def _heat_map(figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str) -> "Chart":
    seeds = {arm: _first_recorded_seed(evaluator, arm) for arm in shown}
    panels = {
        arm: signal_heatmap.signal_cells(read_signals(evaluator.runs[arm][seed]), figure.quantity)
        for arm, seed in seeds.items()
    }
    drawn = ", ".join(map(str, sorted(set(seeds.values()))))
    return signal_heatmap.signal_heatmap_grid(
        panels, figure.quantity, figure.title, f"seed {drawn}; {subtitle.partition('; ')[2]}"
    )


def _depth(figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str) -> "Chart":
    """The forward signal (`preactivation_std`), or the backpropagated gradient over the last hidden one's."""
    backward = "grad" in figure.quantity
    measured, predicted = {}, {}
    for arm in shown:
        layers = evaluator.theory_layers(arm)
        predictions = [layer.gradient if backward else layer.scale for layer in layers]
        predicted[arm] = [prediction for prediction in predictions if prediction is not None]
        folder = evaluator.runs[arm][_first_recorded_seed(evaluator, arm)]
        table = read_signals(folder).filter(pl.col("step") == 0)
        sizes = table.filter(pl.col("quantity") == figure.quantity)["value"].to_list()[: len(predicted[arm])]
        measured[arm] = [size / sizes[-1] for size in sizes] if backward else sizes
    name = (
        "gradient at a layer's output, over the last hidden one's" if backward else "std of pre-activations"
    )
    return layer_profiles.theory_profile_plot(measured, predicted, name, figure.title, subtitle)


def _first_recorded_seed(evaluator: SourceEvaluator, arm: str) -> int:
    """The first seed whose run did not fail: one that did may have measured nothing. RequestError without."""
    seeds = (seed for seed, result in evaluator.results[arm].items() if result.status != "failed")
    seed = next(seeds, None)
    if seed is None:
        raise RequestError(f"arm '{arm}': all its runs failed, there are no signals to draw")
    return seed


def _layers(figure: FigureSpec, evaluator: SourceEvaluator, shown: Sequence[str], subtitle: str) -> "Chart":
    rows = [
        {"layer": layer.name if len(shown) == 1 else f"{arm}: {layer.name}",
         "parameters": layer.parameters, "shape": "×".join(map(str, layer.out_shape))}
        for arm in shown
        for layer in evaluator.network_facts(arm).layers
    ]  # fmt: skip
    return bar_charts.parameter_bars(rows, figure.title, subtitle)


def _require_source(source: BaseSource | None) -> BaseSource:
    if source is None:
        raise RequestError("figure: expected `of`, a source")
    return source


def _values_by_arm(
    evaluator: SourceEvaluator, source: BaseSource, arms: Sequence[str]
) -> dict[str, list[float]]:
    """What can be drawn: the subtitle counts the runs, and the page those without a finite value."""
    values = evaluator.values(source, arms)
    return {arm: list(filter(math.isfinite, by_seed.values())) for arm, by_seed in values.items()}


def common_label(sources: Sequence[BaseSource]) -> str:
    """Several sources in words, for the axis that they share: the rows say what each one is of."""
    labels = list(dict.fromkeys(map(source_label, sources)))
    if len(labels) == 1:
        return labels[0]
    if all(isinstance(source, ProbeSource) for source in sources):
        return LINEAR_PROBE
    return "accuracy" if all(source.unit() == "share" for source in sources) else "value"


def source_label(source: BaseSource) -> str:
    """A source in words, for an axis: `training accuracy − test accuracy`."""
    if isinstance(source, MetricSource):
        split, _, what = source.metric.rpartition("/")
        name = SPLIT_NAMES.get(split, "") + METRIC_NAMES.get(what, source.metric)
    elif isinstance(source, SignalSource):
        name = f"{source.signal.replace('_', ' ')}, {source.layer} layer"
    elif isinstance(source, ShiftSource):
        shift, amount = source.name_and_amount
        name = f"{source.measure}, {shift.replace('_', ' ')} {amount}"
    elif isinstance(source, ProbeSource):
        name = f"{LINEAR_PROBE} on {source.probe.layer}"
    elif isinstance(source, StepsSource):
        goal = source.steps_to
        name = f"steps until {goal.metric} is {'below' if goal.above is None else 'above'} "
        name += f"{goal.below if goal.above is None else goal.above:g}"
    else:
        name = str(getattr(source, source.kind)).replace("_", " ")
    name += f" − {source_label(source.minus)}" if source.minus is not None else ""
    name += f" / {source_label(source.over)}" if source.over is not None else ""
    return f"log10 of {name}" if source.log10 else name
