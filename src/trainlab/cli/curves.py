"""`trainlab plot RUN…`: loss and accuracy of runs while they trained, in the terminal or as a figure."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.text import Text

from trainlab.analysis.varying_settings import setting_columns, varying_settings
from trainlab.cli.run_selection import RunFilter, select_runs
from trainlab.cli.terminal_plot import MARKERS, render_curves
from trainlab.errors import RequestError, unknown_name
from trainlab.runs import CorruptRunError, read_metrics
from trainlab.terminal import PlainConsole
from trainlab.units import format_value, pluralize

STEP_LOSS, ACCURACY = "train/loss_step", "val/acc"
IN_TERMINAL, IN_FIGURE = (STEP_LOSS, ACCURACY), ("val/loss", ACCURACY)
NAMES = {
    STEP_LOSS: "training loss (nats)",
    ACCURACY: "validation accuracy",
    "val/loss": "validation loss (nats)",
}
COLOURS = ("blue", "red", "green", "magenta", "yellow", "cyan", "white", "bright_black")
MOST = len(MARKERS)
WIDEST = 90
"""Columns of text of a drawing: wider, a screen shows no more of it."""
ENDINGS = (".svg", ".png", ".html")

Curve = Mapping[int, float]


def draw(
    folder: Path, choice: RunFilter, by: Sequence[str] | None, wanted: Sequence[str], out: Path | None
) -> None:
    """Draws one curve a setting, the mean over its seeds; into `out`, or in the terminal.

    Raises:
        RequestError: no such runs, or none that has measured the metric.
    """
    if out is not None and out.suffix.lower() not in ENDINGS:
        raise RequestError(f"--out {out}: expected a file that ends in {', '.join(ENDINGS)}")
    chosen = select_runs(folder, choice)
    settings, left_out = _settings(chosen.frame, folder, by)
    names = list(wanted) or list(IN_TERMINAL if out is None else IN_FIGURE)
    tables = {name: _measured(settings, name) for name in names}
    if all(table.is_empty() for table in tables.values()):
        there = sorted({str(name) for runs in settings.values() for run in runs for name in _names(run)})
        if not wanted or not there:
            raise RequestError("these runs have not measured anything yet")
        raise unknown_name("metric", wanted[0], there)
    notes = [f"the best {MOST} of {left_out + MOST} settings; --by or --where chooses"] if left_out else []
    if out is not None:
        _write(tables, out, f"{pluralize(chosen.frame.height, 'run')}{': ' + notes[0] if notes else ''}")
        return
    console = PlainConsole()
    for name, table in tables.items():
        if not table.is_empty():
            _show(console, name, table, list(settings))
    for note in [*notes, *chosen.notes]:
        console.print(note, style="dim", highlight=False, markup=False, soft_wrap=True)


def _settings(
    frame: pl.DataFrame, folder: Path, by: Sequence[str] | None
) -> tuple[dict[str, list[Path]], int]:
    """The folders of each setting by its name, the best first, and how many more settings there are."""
    for name in by or ():
        if name not in (*setting_columns(frame), "seed"):
            raise unknown_name("column to tell curves apart by", name, [*setting_columns(frame), "seed"])
    names = list(by or varying_settings(frame))
    found: dict[str, list[Path]] = {}
    scores: dict[str, list[float]] = {}
    for row in frame.iter_rows(named=True):
        label = " ".join(f"{name}={format_value(row[name])}" for name in names if row[name] is not None)
        label = label or (row["run_id"] if frame.height == 1 else "all runs")
        found.setdefault(label, []).append(folder / row["run_id"])
        score = row.get("test/acc")
        scores.setdefault(label, []).append(score if score is not None and math.isfinite(score) else -1.0)
    best = sorted(found, key=lambda label: -sum(scores[label]) / len(scores[label]))
    return {label: found[label] for label in best[:MOST]}, max(0, len(best) - MOST)


def _measured(settings: Mapping[str, Sequence[Path]], name: str) -> pl.DataFrame:
    """step, epoch, setting, mean, low, high (over seeds) of a metric."""
    frames = [
        _rows(run).filter(pl.col("name") == name).select("step", "epoch", "value", setting=pl.lit(label))
        for label, runs in settings.items()
        for run in runs
    ]
    value = pl.col("value")
    whole = pl.concat(frames, how="vertical_relaxed")
    over_seeds = {"mean": value.mean(), "low": value.min(), "high": value.max()}
    at = ["setting", "step"] if name == STEP_LOSS else ["setting", "epoch"]
    other = pl.col("epoch" if name == STEP_LOSS else "step").max()
    return whole.group_by(at, maintain_order=True).agg(other, **over_seeds).sort("step")


def _rows(run: Path) -> pl.DataFrame:
    try:
        return read_metrics(run)
    except CorruptRunError as broken:
        raise RequestError(str(broken)) from broken


def _names(run: Path) -> list[str]:
    return _rows(run)["name"].unique().to_list()


def _show(console: PlainConsole, name: str, table: pl.DataFrame, labels: Sequence[str]) -> None:
    """Draws one metric with letters, the legend below with the last value of each curve."""
    of_steps = name == STEP_LOSS
    x = "step" if of_steps else "epoch"
    points = {
        label: {int(row[x]): float(row["mean"]) for row in rows.iter_rows(named=True)}
        for label in labels
        if not (rows := table.filter(pl.col("setting") == label).drop_nulls("mean")).is_empty()
    }
    width = max(20, min(console.width if not console.is_piped else WIDEST, WIDEST) - 10)
    first, last = (function(at for curve in points.values() for at in curve) for function in (min, max))
    offset = 0 if of_steps else 1  # the first epoch is the first, step 0 is before any
    edges = (f"{x} {first + offset}", str(last + offset))
    drawn = {label: _dense(curve, first, last, width) for label, curve in points.items()}
    console.print(Text(NAMES.get(name, name), style="bold"))
    for line in render_curves(drawn, top=_top(name, points), width=width, edges=edges):
        console.print(_coloured(line), soft_wrap=True)
    for mark, colour, (label, curve) in zip(MARKERS, COLOURS, points.items(), strict=False):
        value = list(curve.values())[-1]
        at_end = f"{value:.1%}" if name.endswith("acc") else f"{value:.3g}"
        console.print(Text.assemble((mark, colour), f" {label}  {at_end}"), soft_wrap=True)
    console.print()


def _dense(curve: Curve, first: int, last: int, width: int) -> Curve:
    """A value a column, on the straight line between measured points; more points than columns stay."""
    at = sorted(curve)
    if len(at) > width or last == first:
        return {x - first: curve[x] for x in at}
    dense: dict[int, float] = {}
    for column in range(width):
        x = first + column * (last - first) / (width - 1)
        if at[0] <= x <= at[-1]:
            after = next(i for i, point in enumerate(at) if point >= x)
            left, right = at[max(0, after - 1)], at[after]
            share = 0.0 if right == left else (x - left) / (right - left)
            dense[column] = (1 - share) * curve[left] + share * curve[right]
    return dense


def _top(name: str, curves: Mapping[str, Curve]) -> float:
    """The upper edge: all of an accuracy; of a loss, not so far that a wild one flattens the others."""
    if name.endswith("acc"):
        return 1.0
    finite = [[value for value in curve.values() if math.isfinite(value)] for curve in curves.values()]
    if "loss" in name:
        begins = [values[0] for values in finite if values]
        highest = max((max(values) for values in finite if values), default=1.0)
        return min(1.05 * highest, 1.5 * max(begins, default=1.0)) or 1.0
    return 1.05 * max((max(values) for values in finite if values), default=1.0) or 1.0


def _coloured(line: str) -> Text:
    shown = Text(line)
    for mark, colour in zip(MARKERS, COLOURS, strict=True):
        shown.highlight_words([mark], colour)
    return shown


def _write(tables: Mapping[str, pl.DataFrame], out: Path, said: str) -> None:
    """The figures side by side, as SVG, PNG or a page that needs no network."""
    from trainlab.figures import learning_curves
    from trainlab.figures.style import import_altair, save_figure

    charts: list[Any] = []
    for name, table in tables.items():
        if not table.is_empty():
            shown = table.with_columns(epoch=pl.col("epoch" if name != STEP_LOSS else "step") + 1)
            charts.append(
                learning_curves.learning_curves_plot(shown, name, NAMES.get(name, name), said, legend=True)
            )
    try:
        print(save_figure(import_altair().hconcat(*charts), out))
    except OSError as error:
        raise RequestError(f"cannot write {out}: {error.strerror or error}") from None
