"""Training and validation curves, a panel an arm: where the two part, and what a repair does to both."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from trainlab.figures.learning_curves import (
    FEW_POINTS,
    chance_level,
    describe_bands,
    epoch_axis,
    metric_title,
)
from trainlab.figures.style import COLOURS, chart_title, import_altair

if TYPE_CHECKING:
    from trainlab.figures.style import Chart

SPLITS = {"train": "training", "val": "validation", "test": "test"}
MAX_WIDTH = 560
"""Of all panels together, in points."""


def curve_panels_plot(
    panels: Mapping[str, Mapping[str, pl.DataFrame]],
    title: str,
    subtitle: str = "",
    chance: float | None = None,
) -> "Chart":
    """The chart of tables of `curves_of_runs`, by arm and metric; both metrics of an arm share its panel.

    `chance` draws the level of guessing (a share, for accuracies). The panels share the y axis.
    """
    alt = import_altair()
    tables = [
        table.with_columns(pl.lit(arm).alias("arm"), pl.lit(_split_name(metric)).alias("split"))
        for arm, by_metric in panels.items()
        for metric, table in by_metric.items()
    ]
    rows = pl.concat(tables)
    metric = next(iter(next(iter(panels.values()))))
    is_share = metric.endswith("acc")
    splits = list(dict.fromkeys(rows["split"].to_list()))
    epochs = sorted(set(rows["epoch"].to_list()))
    axis = epoch_axis(epochs, FEW_POINTS // len(panels))
    top = 1.0 if is_share else float(rows["high"].max())  # pyrefly: ignore
    y = alt.Y(
        "mean:Q",
        title=metric_title(metric),
        scale=alt.Scale(domain=[0, top]),
        axis=alt.Axis(format="%" if is_share else ""),
    )
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", symbolOpacity=1)
    colour = alt.Color("split:N", sort=splits, legend=legend)
    dash = alt.StrokeDash("split:N", sort=splits, legend=None)
    charts = []
    for number, arm in enumerate(panels):
        base = alt.Chart(rows.filter(pl.col("arm") == arm)).encode(
            x=alt.X("epoch:Q", title="epoch", axis=axis), color=colour
        )
        shown_y = y if number == 0 else y.title(None)
        layers = [
            base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")),
            base.mark_line(strokeWidth=2.5).encode(y=shown_y, strokeDash=dash),
        ]
        if chance is not None:
            layers += chance_level(chance)
        panel = alt.layer(*layers).properties(width=max(150, MAX_WIDTH // len(panels)), height=240)
        charts.append(panel.properties(title=alt.TitleParams(arm, fontSize=13, anchor="middle")))
    return alt.hconcat(*charts, title=chart_title(title, subtitle, describe_bands(rows))).configure_range(
        category=COLOURS
    )


def _split_name(metric: str) -> str:
    return SPLITS.get(metric.partition("/")[0], metric)
