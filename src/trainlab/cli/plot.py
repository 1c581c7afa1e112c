"""`trainlab plot …`: runs as figures in SVG or PNG, and their curves in the terminal too."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer
from typer.core import TyperGroup

from trainlab.analysis import estimate_effects
from trainlab.analysis.varying_settings import setting_columns, varying_settings
from trainlab.cli.arguments import Everything, Last, RunsFolder, Selection, Where
from trainlab.cli.command_app import Context, command_app
from trainlab.cli.run_filter import RunFilter, filter_runs
from trainlab.cli.terminal_plot import MARKERS, print_curves
from trainlab.errors import RequestError, unknown_name
from trainlab.process_limits import available_cores
from trainlab.runs import CorruptRunError, load_runs, read_metrics
from trainlab.runs.resolve_runs import resolve_many
from trainlab.terminal import PlainConsole
from trainlab.units import format_value, pluralize

if TYPE_CHECKING:
    from trainlab.figures.style import Chart

STEP_LOSS, ACCURACY = "train/loss_step", "val/acc"
TERMINAL_METRICS, FIGURE_METRICS = (STEP_LOSS, ACCURACY), ("val/loss", ACCURACY)
METRIC_TITLES = {
    STEP_LOSS: "training loss (nats)",
    ACCURACY: "validation accuracy",
    "val/loss": "validation loss (nats)",
}
MAX_CURVES = len(MARKERS)
STILL_ENDINGS, ENDINGS = (".svg", ".png"), (".svg", ".png", ".html")

Runs = Annotated[list[str], typer.Argument(help="Runs, sweeps or folders.")]
Target = Annotated[Path, typer.Option("--to", "--out", help="The file to write, .svg or .png.")]


class CurvesByDefault(TyperGroup):
    """`plot RUN…` is `plot curves RUN…`; `plot pair`, `plot phase`, … are commands of their own."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Puts `curves` before what is no command; with no arguments at all it is every run, as elsewhere."""
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["curves", *args]
        return super().parse_args(ctx, args)


cli = command_app("Draw runs: curves, pairs of axes, phase diagram.", CurvesByDefault)


@cli.command()
def curves(
    runs: Selection = None,
    by: Annotated[
        str | None, typer.Option(help="Settings to tell curves apart by, separated by commas.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="What to draw, as val/loss; may be repeated. Loss and accuracy when left out."),
    ] = None,
    where: Where = None,
    last: Last = None,
    everything: Everything = False,
    folder: RunsFolder = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--out", "--to", help="A file to draw into: .svg, .png or .html.")
    ] = None,
) -> None:
    """Draw loss and accuracy of runs: trainlab plot RUN…"""
    if out is not None:
        _check_ending(out, ENDINGS, "--out")
    chosen = filter_runs(folder, RunFilter(runs or [], where=where or [], last=last, everything=everything))
    folders, left_out = _folders_by_setting(chosen.frame, folder, by.split(",") if by else None)
    metrics = list(metric or (TERMINAL_METRICS if out is None else FIGURE_METRICS))
    tables = {name: _fold_seeds(folders, name) for name in metrics}
    if all(table.is_empty() for table in tables.values()):
        raise _unmeasured(folders, metric[0] if metric else None)
    notes = []
    if left_out:
        notes.append(f"the best {MAX_CURVES} of {left_out + MAX_CURVES} settings; --by or --where chooses")
    if out is not None:
        _save_curves(tables, out, ": ".join([pluralize(chosen.frame.height, "run"), *notes]))
        return
    console = PlainConsole()
    for name, table in tables.items():
        _print_metric(console, name, table, list(folders))
    console.print_notes([*notes, *chosen.notes])


@cli.command()
def phase(
    runs: Runs,
    scale: Annotated[
        str | None, typer.Option(help="The x axis, as init.sigma_w2; the initializer's when left out.")
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast/--no-forecast", help="Ask the preflight of each run (seconds a run).")
    ] = True,
    processes: Annotated[int, typer.Option(min=1, help="Processes that ask it.")] = available_cores(),
    folder: RunsFolder = Path("runs"),
    to: Target = Path("phase.svg"),
) -> None:
    """Draw scale against depth: what learned, what theory says."""
    _check_ending(to, STILL_ENDINGS, "--to")
    from rich.progress import Progress

    from trainlab.figures import phase_diagram
    from trainlab.forecast.phase_diagram_builder import build_phase_diagram

    folders = resolve_many(folder, runs)
    with Progress(transient=True) as progress:
        task = progress.add_task("preflight", total=len(folders)) if forecast else None
        diagram = build_phase_diagram(
            folders, scale, processes if forecast else 0,
            on_done=None if task is None else lambda *_: progress.advance(task),
        )  # fmt: skip
    subtitle = f"{pluralize(len(diagram.points), 'run')}: {', '.join(runs)}"
    _save(phase_diagram.phase_diagram_plot(diagram, "Where it trains", subtitle), to)


@cli.command()
def pair(
    runs: Runs,
    by: Annotated[
        str | None,
        typer.Option(help="Two axes, separated by a comma; the largest interaction when left out."),
    ] = None,
    metric: Annotated[str, typer.Option(help="The metric to show.")] = "test/acc",
    folder: RunsFolder = Path("runs"),
    to: Target = Path("pair.svg"),
) -> None:
    """Draw what two axes do together, beyond each alone."""
    _check_ending(to, STILL_ENDINGS, "--to")
    from trainlab.figures import grid_heatmaps

    table = load_runs(folder, runs, settings=True)
    axes = by.split(",") if by else None
    if axes is not None and len(axes) != 2:
        raise RequestError(f"--by {by}: expected two axes, as in --by activation,init")
    if axes is None:
        largest = estimate_effects(table, metric=metric).largest_pair
        if largest is None:
            raise RequestError("plot pair: no interaction can be estimated; name two axes with --by")
        axes = list(largest)
    cells = grid_heatmaps.interaction_cells(table, axes, metric)
    subtitle = f"{', '.join(runs)}; mean over all other settings"
    _save(grid_heatmaps.interaction_heatmap(cells, axes, metric, f"{axes[0]} × {axes[1]}", subtitle), to)


@cli.command()
def combinations(
    runs: Runs,
    by: Annotated[
        str | None, typer.Option(help="Axes, separated by commas: rows and columns inside, then of tables.")
    ] = None,
    folder: RunsFolder = Path("runs"),
    to: Target = Path("combinations.svg"),
) -> None:
    """Draw which combinations of all axes learn."""
    _check_ending(to, STILL_ENDINGS, "--to")
    from trainlab.figures import grid_heatmaps

    cells = grid_heatmaps.combination_cells(
        load_runs(folder, runs, settings=True), by.split(",") if by else None
    )
    subtitle = f"{', '.join(runs)}; number: mean test accuracy, %"
    _save(grid_heatmaps.combination_heatmap(cells, "Which combinations learn", subtitle), to)


def _folders_by_setting(
    frame: pl.DataFrame, folder: Path, by: Sequence[str] | None
) -> tuple[dict[str, list[Path]], int]:
    """The run folders of each setting by its label, the best first, and how many more settings there are."""
    columns = [*setting_columns(frame), "seed"]
    for name in by or ():
        if name not in columns:
            raise unknown_name("column to tell curves apart by", name, columns)
    names = list(by or varying_settings(frame))
    folders: dict[str, list[Path]] = {}
    scores: dict[str, list[float]] = {}
    for row in frame.iter_rows(named=True):
        label = " ".join(f"{name}={format_value(row[name])}" for name in names if row[name] is not None)
        label = label or (row["run_id"] if frame.height == 1 else "all runs")
        folders.setdefault(label, []).append(folder / row["run_id"])
        score = row.get("test/acc")
        scores.setdefault(label, []).append(score if score is not None and math.isfinite(score) else -1.0)
    best = sorted(folders, key=lambda label: -sum(scores[label]) / len(scores[label]))
    return {label: folders[label] for label in best[:MAX_CURVES]}, max(0, len(best) - MAX_CURVES)


def _fold_seeds(folders: Mapping[str, Sequence[Path]], metric: str) -> pl.DataFrame:
    """step, epoch, setting, mean, low, high (over seeds) of a metric."""
    frames = [
        _read_metrics(run)
        .filter(pl.col("name") == metric)
        .select("step", "epoch", "value", setting=pl.lit(label))
        for label, runs in folders.items()
        for run in runs
    ]
    value = pl.col("value")
    over_seeds = {"mean": value.mean(), "low": value.min(), "high": value.max()}
    x, other = ("step", "epoch") if metric == STEP_LOSS else ("epoch", "step")
    groups = pl.concat(frames, how="vertical_relaxed").group_by(["setting", x], maintain_order=True)
    return groups.agg(pl.col(other).max(), **over_seeds).sort("step")


def _read_metrics(run: Path) -> pl.DataFrame:
    try:
        return read_metrics(run)
    except CorruptRunError as broken:
        raise RequestError(str(broken)) from broken


def _unmeasured(folders: Mapping[str, Sequence[Path]], metric: str | None) -> RequestError:
    """The error for runs without the metric; `metric` is None where the user named none."""
    measured = {
        name for runs in folders.values() for run in runs for name in _read_metrics(run)["name"].unique()
    }
    if metric is None or not measured:
        return RequestError("these runs have not measured anything yet")
    return unknown_name("metric", metric, measured)


def _print_metric(console: PlainConsole, metric: str, table: pl.DataFrame, labels: Sequence[str]) -> None:
    """Draws one metric in the terminal: the loss of each step against the step, others against the epoch."""
    x, offset = ("step", 0) if metric == STEP_LOSS else ("epoch", 1)  # the first epoch is recorded as 0
    rows_by_label = {label: table.filter(pl.col("setting") == label).drop_nulls("mean") for label in labels}
    curves = {
        label: {int(row[x]): float(row["mean"]) for row in rows.iter_rows(named=True)}
        for label, rows in rows_by_label.items()
        if not rows.is_empty()
    }
    if curves:
        print_curves(console, curves, metric, METRIC_TITLES.get(metric, metric), x, offset)


def _save_curves(tables: Mapping[str, pl.DataFrame], out: Path, subtitle: str) -> None:
    """The metrics side by side, as SVG, PNG or a page that needs no network."""
    from trainlab.figures.learning_curves import learning_curves_plot
    from trainlab.figures.style import import_altair

    charts: list[Chart] = []
    for metric, table in tables.items():
        if not table.is_empty():
            rows = table.with_columns(epoch=pl.col("epoch" if metric != STEP_LOSS else "step") + 1)
            title = METRIC_TITLES.get(metric, metric)
            charts.append(learning_curves_plot(rows, metric, title, subtitle, legend=True))
    _save(import_altair().hconcat(*charts), out)


def _check_ending(path: Path, endings: Sequence[str], option: str) -> None:
    if path.suffix.lower() not in endings:
        separator = " or " if len(endings) == 2 else ", "
        raise RequestError(f"{option} {path}: expected a file that ends in {separator.join(endings)}")


def _save(chart: "Chart", path: Path) -> None:
    from trainlab.figures.style import save_figure

    try:
        print(save_figure(chart, path))
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror or error}") from None
