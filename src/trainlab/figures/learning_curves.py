"""Did it learn, and how fast? A metric against the epoch, with a band over seeds; losses of two runs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from trainlab.errors import RequestError
from trainlab.figures.style import GREY, chart_title, import_altair
from trainlab.runs import CorruptRunError, load_runs, read_metrics

if TYPE_CHECKING:
    import altair

    from trainlab.figures.style import Chart

FEW_POINTS = 30
"""Up to so many epochs each has its dot, and its number on the axis."""
MOST_POINTS = 100
WHAT_BANDS_ARE = "line: mean over seeds; band: from the least to the largest"
LINE_OF_TEXT = 0.055
"""The height of a name beside a line, as a share of the axis."""


def load_curves(
    root: Path | str, select: Sequence[str], by: Sequence[str], metric: str = "val/acc"
) -> pl.DataFrame:
    """epoch (1 is the first), setting, mean, low, high (least and largest over seeds) of a metric.

    Raises:
        RequestError: none of the runs has measured the metric.
    """
    folders: dict[str, list[Path]] = {}
    for run in load_runs(root, select, settings=True).iter_rows(named=True):
        setting = ", ".join(str(run[axis]) for axis in by)
        folders.setdefault(setting, []).append(Path(root) / run["run_id"])
    return curves_of_runs(folders, metric)


def curves_of_runs(
    folders: Mapping[str, Sequence[Path]],
    metric: str = "val/acc",
    broken: list[CorruptRunError] | None = None,
) -> pl.DataFrame:
    """The same of run folders by setting. Raises RequestError where none has measured the metric.

    A run whose metrics cannot be read is added to `broken` and left out; without that list it is raised.
    """
    rows = [
        table.filter(pl.col("name") == metric).select(pl.col("epoch") + 1, "value", setting=pl.lit(setting))
        for setting, runs in folders.items()
        for folder in runs
        if (table := _metrics(folder, broken)) is not None
    ]
    table = pl.concat(rows) if rows else pl.DataFrame()
    if table.is_empty():
        raise RequestError(f"no run of {', '.join(folders) or 'none'} has measured {metric}")
    spread = {"mean": pl.col("value").mean(), "low": pl.col("value").min(), "high": pl.col("value").max()}
    return _thin_epochs(table.group_by("setting", "epoch").agg(**spread).sort("setting", "epoch"))


def _metrics(folder: Path, broken: list[CorruptRunError] | None) -> pl.DataFrame | None:
    try:
        return read_metrics(folder)
    except CorruptRunError as problem:
        if broken is None:
            raise
        broken.append(problem)
        return None


def _thin_epochs(table: pl.DataFrame) -> pl.DataFrame:
    """Of many epochs every so many, and the last: a line has no more points than a screen can show."""
    last = int(table["epoch"].max())  # pyrefly: ignore
    every = -(-last // MOST_POINTS)
    return table.filter((pl.col("epoch") % every == 0) | (pl.col("epoch") == last) | (pl.col("epoch") == 1))


def learning_curves_plot(
    table: pl.DataFrame,
    metric: str,
    title: str,
    subtitle: str = "",
    chance: float | None = None,
    legend: bool = False,
    colours: Mapping[str, str] | None = None,
) -> "Chart":
    """The chart of `curves`; `chance` draws the level of guessing (a share, for accuracies).

    With `legend` the names stand below, for names longer than there is room beside the lines. `colours` are
    those of the settings, in the order of the legend; without them they go by their order.
    """
    alt = import_altair()
    is_share = metric.endswith("acc")
    split = {"val": "validation ", "train": "training ", "test": "test "}.get(metric.partition("/")[0], "")
    number = ".2%" if is_share else ".4g"
    epochs = sorted(set(table["epoch"].to_list()))
    below = alt.Legend(
        title=None,
        orient="bottom",
        direction="vertical",
        labelLimit=600,
        symbolType="stroke",
        symbolOpacity=1,
    )
    scale = alt.Scale(domain=list(colours), range=list(colours.values())) if colours else alt.Undefined
    base = alt.Chart(table).encode(
        x=alt.X("epoch:Q", title="epoch", axis=epoch_axis(epochs)),
        color=alt.Color("setting:N", sort=None, legend=below if legend else None, scale=scale),
        tooltip=[
            alt.Tooltip("setting:N"),
            alt.Tooltip("epoch:Q"),
            *(alt.Tooltip(f"{field}:Q", format=number) for field in ("mean", "low", "high")),
        ],
    )
    y = alt.Y(
        "mean:Q",
        title=split + metric_title(metric),
        scale=alt.Scale(domain=[0, 1]) if is_share else alt.Undefined,
        axis=alt.Axis(format="%" if is_share else ""),
    )
    layers = [
        base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
        base.mark_line(strokeWidth=2.5).encode(y=y),
    ]
    if len(epochs) <= FEW_POINTS:
        layers.append(base.mark_point(filled=True, size=45, opacity=1).encode(y=y))
    if not legend:  # each line carries its name at its end: no legend to match colours with
        names = base.properties(data=alt.Data(values=_line_ends(table)))
        names = names.mark_text(align="left", dx=8, fontSize=12)
        layers.append(names.encode(y=y, text="setting:N"))
    if chance is not None:
        layers += chance_level(chance)
    return alt.layer(
        *layers,
        width=520,
        height=280 + 22 * len(set(table["setting"])) * legend,
        title=chart_title(title, subtitle, describe_bands(table)),
    )


def metric_title(metric: str) -> str:
    """What an axis calls a metric, without its split."""
    return {"acc": "accuracy", "loss": "loss (nats)"}.get(metric.rpartition("/")[2], metric)


def epoch_axis(epochs: Sequence[int], most: int = FEW_POINTS) -> "altair.Axis":
    """The axis of these epochs; up to `most` of them have each its number."""
    alt = import_altair()
    return alt.Axis(values=epochs if len(epochs) <= most else alt.Undefined, format="d", grid=False)


def chance_level(chance: float) -> "list[altair.Chart]":
    """The level of guessing: a line, and its name."""
    alt = import_altair()
    level = alt.Chart(alt.Data(values=[{"y": chance, "text": "chance"}])).encode(y="y:Q")
    name = level.mark_text(align="left", dx=4, dy=-7, color=GREY, fontSize=11)
    return [
        level.mark_rule(color=GREY, strokeDash=[2, 3]),
        name.encode(x=alt.value(0), text="text:N"),
    ]


def _line_ends(table: pl.DataFrame) -> list[dict[str, object]]:
    """Where each line's name stands: behind the last epoch, none on another."""
    ends = dodge_labels({row["setting"]: row["mean"] for row in table.sort("epoch").iter_rows(named=True)})
    return [{"epoch": table["epoch"].max(), "setting": setting, "mean": at} for setting, at in ends.items()]


def describe_bands(table: pl.DataFrame) -> str:
    """What the bands are; empty where each setting has one run, and no band."""
    return WHAT_BANDS_ARE if (table["low"] < table["high"]).any() else ""


def dodge_labels(ends: Mapping[str, float]) -> dict[str, float]:
    """Where the names of lines stand that end at these values: in the same order, none on another.

    The lowest stays; one that is nearer than a line of text to the one below is moved up.
    """
    gap = LINE_OF_TEXT * (1.0 if max(ends.values()) <= 1 else max(ends.values()))
    places: dict[str, float] = {}
    below = -math.inf
    for setting, value in sorted(ends.items(), key=lambda item: item[1]):
        places[setting] = below = max(value, below + gap)
    return places


MAX_LOSS_RATIO = 1.5
"""Times the chance loss that the axis goes up to: a loss that leaves it is drawn at its edge."""


def loss_comparison_plot(
    curves: Mapping[str, Mapping[int, float]], chance_loss: float, title: str
) -> "Chart":
    """The chart of losses (nats) by step, a line per name; `chance_loss` is the level of guessing.

    Raises RequestError where Altair is not installed.
    """
    alt = import_altair()
    rows = [
        {"run": name, "step": step, "loss": loss}
        for name, losses in curves.items()
        for step, loss in losses.items()
        if math.isfinite(loss)
    ]
    scale = alt.Scale(domain=[0, MAX_LOSS_RATIO * chance_loss], clamp=True)
    lines = (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format="d", grid=False)),
            y=alt.Y("loss:Q", title="training loss (nats)", scale=scale),
            color=alt.Color("run:N", sort=list(curves), legend=alt.Legend(title=None, orient="top")),
        )
    )
    level = alt.Chart(alt.Data(values=[{"loss": chance_loss, "text": "guessing"}])).encode(y="loss:Q")
    guessing = level.mark_rule(color="#777", strokeDash=[2, 3])
    named = level.mark_text(align="left", dx=4, dy=10, color="#555", fontSize=11).encode(
        x=alt.value(0), text="text:N"
    )
    return alt.layer(lines, guessing, named).properties(width=520, height=280, title=title)
