"""What the axes of a grid do together: two of them as heat maps, all of them as tables within a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from trainlab.analysis.compare import counted_runs, ensure_metric, is_fraction
from trainlab.analysis.varying_settings import varying_settings
from trainlab.errors import RequestError
from trainlab.figures.style import chart_title, import_altair
from trainlab.runs.worst_values import with_worst_values
from trainlab.units import format_value

if TYPE_CHECKING:
    from altair import Axis, Column, Row, Scale

    from trainlab.figures.style import Chart

INTERACTION_CELL = 58


def interaction_cells(runs: pl.DataFrame, axes: Sequence[str], metric: str) -> pl.DataFrame:
    """first, second, mean, beyond: of each combination of two axes, over the runs that were made with it.

    `beyond` is the mean less what both levels say by themselves: mean of the first + mean of the second −
    mean of all. A level may be null: a model without a depth, say.

    Raises RequestError where the two are no columns, or nothing has the metric.
    """
    runs = counted_runs(runs, metric)
    if runs.is_empty() or any(axis not in runs.columns for axis in axes):
        raise RequestError(f"no runs that have a {metric} and {' and '.join(axes)}")
    first, second = axes
    value = pl.col(metric).cast(pl.Float64)
    combined = runs.group_by(first, second).agg(mean=value.mean())
    alone = {axis: combined.group_by(axis).agg(pl.col("mean").mean().alias(f"of {axis}")) for axis in axes}
    whole = combined.join(alone[first], on=first, nulls_equal=True)
    whole = whole.join(alone[second], on=second, nulls_equal=True)
    centre = whole["mean"].mean()
    beyond = pl.col("mean") - pl.col(f"of {first}") - pl.col(f"of {second}") + centre
    return whole.select(first=first, second=second, mean="mean", beyond=beyond).sort(
        "first", "second", nulls_last=True
    )


def interaction_heatmap(
    table: pl.DataFrame, axes: Sequence[str], metric: str, title: str, subtitle: str = ""
) -> "Chart":
    """The chart of `cells`, two heat maps side by side."""
    alt = import_altair()
    size = {
        "width": INTERACTION_CELL * table["second"].n_unique(),
        "height": 0.7 * INTERACTION_CELL * table["first"].n_unique(),
    }
    share = is_fraction(metric)
    rows = [row | {name: format_value(row[name]) for name in ("first", "second")} for row in table.to_dicts()]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("second:N", title=axes[1], sort=_level_order(table["second"]), axis=_level_axis()),
        y=alt.Y("first:N", title=axes[0], sort=_level_order(table["first"]), axis=_level_axis()),
    )
    farthest = max(abs(value) for value in table["beyond"]) or 1.0
    middle = (min(table["mean"]) + max(table["mean"])) / 2
    means = _heatmap_layer(
        base, "mean", alt.Scale(scheme="viridis"), ".0%" if share else ".3g", f"datum.mean < {middle}"
    )
    beyond = _heatmap_layer(
        base, "beyond", alt.Scale(scheme="purpleorange", domain=[-farthest, farthest]),
        "+.1%" if share else "+.2g", f"abs(datum.beyond) > {0.6 * farthest}",
    )  # fmt: skip
    return alt.hconcat(
        means.properties(title=f"mean {metric}", **size),
        beyond.properties(title="beyond what each does alone", **size),
        spacing=30,
    ).resolve_scale(color="independent").properties(
        title=chart_title(title, subtitle)
    )  # fmt: skip


def _heatmap_layer(base: "Chart", field: str, scale: "Scale", number: str, dark: str) -> "Chart":
    """Cells with their numbers, white where `dark` holds."""
    alt = import_altair()
    return alt.layer(
        base.mark_rect(stroke="white").encode(color=alt.Color(f"{field}:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=12).encode(
            text=alt.Text(f"{field}:Q", format=number),
            color=alt.condition(dark, alt.value("white"), alt.value("black")),
        ),
    )


def _level_order(values: pl.Series) -> list[str]:
    return [format_value(value) for value in sorted(set(values.to_list()), key=lambda v: (v is None, v))]


def _level_axis() -> "Axis":
    return import_altair().Axis(labelAngle=0, grid=False, labelLimit=120)


COMBINATION_CELL = (46, 24)
NONE_LEARNED, ALL_LEARNED = "#e4e4e4", "#56B4E9"
"""Colours of settings of which no run learned, and all did."""


def combination_cells(runs: pl.DataFrame, axes: Sequence[str] | None = None) -> pl.DataFrame:
    """A row a setting: its levels, learned (share of its runs), text (mean test accuracy in %).

    A run that diverged counts as guessing (`runs.worst_values`): the text is `div.` where all of them did,
    and has a `*` where some did. `axes` are all that differ, those with the most levels first.

    Raises RequestError for runs that differ in fewer than two axes, or of which none has ended.
    """
    runs = runs.filter(pl.col("learned").is_not_null())
    axes = list(axes or sorted(varying_settings(runs), key=lambda axis: -runs[axis].n_unique()))
    if runs.is_empty() or len(axes) < 2:
        raise RequestError("combinations: expected runs with a verdict that differ in two axes at least")
    runs = with_worst_values(ensure_metric(runs, "test/acc"), "test/acc")
    diverged = pl.col("status") == "diverged"
    folded = runs.group_by(axes).agg(
        learned=pl.col("learned").cast(pl.Float64).mean(), accuracy=pl.col("test/acc").mean(), runs=pl.len(),
        diverged=diverged.sum(),
    )  # fmt: skip
    percent = (100 * pl.col("accuracy")).round(0).cast(pl.Int64, strict=False).cast(pl.String)
    text = (
        pl.when(pl.col("diverged") == pl.col("runs"))
        .then(pl.lit("div."))
        .otherwise(percent + pl.when(pl.col("diverged") > 0).then(pl.lit("*")).otherwise(pl.lit("")))
    )
    return folded.with_columns(text=text.fill_null("–")).drop("diverged").sort(axes, nulls_last=True)


def combination_heatmap(table: pl.DataFrame, title: str, subtitle: str = "") -> "Chart":
    """The chart of `cells`: the first two axes inside, the third in rows of tables, all others in columns."""
    alt = import_altair()
    axes = [name for name in table.columns if name not in ("learned", "accuracy", "runs", "text")]
    y, x, rows, columns = axes[0], axes[1], axes[2:3], axes[3:]
    shown = table.select(
        "learned", "text",
        y=_level_text(y), x=_level_text(x),
        row=_level_names(rows), column=_level_names(columns),
    )  # fmt: skip
    base = alt.Chart().encode(
        x=alt.X("x:N", title=x, sort=_order(table[x]), axis=alt.Axis(labelAngle=-40, grid=False)),
        y=alt.Y("y:N", title=y, sort=_order(table[y]), axis=alt.Axis(grid=False)),
    )
    colour = alt.Color(
        "learned:Q",
        scale=alt.Scale(domain=[0, 1], range=[NONE_LEARNED, ALL_LEARNED]),
        legend=alt.Legend(title="share of runs that learned", format="%", orient="top", gradientLength=160,
                          values=[0, 0.5, 1]),
    )  # fmt: skip
    layers = alt.layer(
        base.mark_rect(stroke="white").encode(color=colour),
        base.mark_text(fontSize=11).encode(text="text:N"),
        data=alt.Data(values=shown.to_dicts()),
    ).properties(
        width=COMBINATION_CELL[0] * table[x].n_unique(), height=COMBINATION_CELL[1] * table[y].n_unique()
    )
    facets: dict[str, Row | Column] = {}
    for channel, names, header in (
        (alt.Row, rows, alt.Header(title=rows[0] if rows else None, labelFontSize=12)),
        (alt.Column, columns, alt.Header(title=None, labelFontSize=12)),
    ):
        if names:
            name = channel.__name__.lower()
            levels = table.select(names).unique().sort(names, nulls_last=True)
            order = levels.select(_level_names(names)).to_series().to_list()
            facets[name] = channel(f"{name}:N", sort=order, header=header)
    chart = layers.facet(**facets) if facets else layers
    return chart.properties(title=chart_title(title, subtitle))


def _level_names(axes: Sequence[str]) -> pl.Expr:
    """A level, or several as `depth=4, norm_layer=none`."""
    levels = [_level_text(axis) for axis in axes]
    if len(levels) < 2:
        return levels[0] if levels else pl.lit("")
    parts = [pl.concat_str([pl.lit(f"{axis}="), level]) for axis, level in zip(axes, levels, strict=True)]
    return pl.concat_str(parts, separator=", ")


def _order(values: pl.Series) -> list[str]:
    return [format_value(value) for value in sorted(set(values.to_list()), key=lambda v: (v is None, v))]


def _level_text(axis: str) -> pl.Expr:
    """The levels of an axis as people write them, `–` where there is none: a chart drops what is null."""
    return pl.col(axis).map_elements(format_value, return_dtype=pl.String, skip_nulls=False)
