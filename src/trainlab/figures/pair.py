"""What do two axes do together? The mean of each combination, and what it has beyond each axis alone."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from trainlab.analysis.choose import text
from trainlab.analysis.compare import is_share, measured, with_metric
from trainlab.errors import RequestError
from trainlab.figures.style import altair

CELL = 58


def cells(runs: pl.DataFrame, axes: Sequence[str], metric: str) -> pl.DataFrame:
    """first, second, mean, beyond: of each combination of two axes, over the runs that were made with it.

    `beyond` is the mean less what both levels say by themselves: mean of the first + mean of the second −
    mean of all. A level may be null: a model without a depth, say.

    Raises RequestError where the two are no columns, or nothing has the metric.
    """
    runs = measured(with_metric(runs, metric), metric)
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


def figure(table: pl.DataFrame, axes: Sequence[str], metric: str, title: str, subtitle: str = "") -> Any:
    """The chart of `cells`, two heat maps side by side."""
    alt = altair()
    size = {"width": CELL * table["second"].n_unique(), "height": 0.7 * CELL * table["first"].n_unique()}
    share = is_share(metric)
    rows = [row | {name: text(row[name]) for name in ("first", "second")} for row in table.to_dicts()]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("second:N", title=axes[1], sort=_levels(table["second"]), axis=_axis()),
        y=alt.Y("first:N", title=axes[0], sort=_levels(table["first"]), axis=_axis()),
    )
    farthest = max(abs(value) for value in table["beyond"]) or 1.0
    middle = (min(table["mean"]) + max(table["mean"])) / 2
    means = _heat(
        base, "mean", alt.Scale(scheme="viridis"), ".0%" if share else ".3g", f"datum.mean < {middle}"
    )
    beyond = _heat(
        base, "beyond", alt.Scale(scheme="purpleorange", domain=[-farthest, farthest]),
        "+.1%" if share else "+.2g", f"abs(datum.beyond) > {0.6 * farthest}",
    )  # fmt: skip
    return alt.hconcat(
        means.properties(title=f"mean {metric}", **size),
        beyond.properties(title="beyond what each does alone", **size),
        spacing=30,
    ).resolve_scale(color="independent").properties(
        title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )  # fmt: skip


def _heat(base: Any, field: str, scale: Any, number: str, dark: str) -> Any:
    """Cells with their numbers, white where `dark` holds."""
    alt = altair()
    return alt.layer(
        base.mark_rect(stroke="white").encode(color=alt.Color(f"{field}:Q", scale=scale, legend=None)),
        base.mark_text(fontSize=12).encode(
            text=alt.Text(f"{field}:Q", format=number),
            color=alt.condition(dark, alt.value("white"), alt.value("black")),
        ),
    )


def _levels(values: pl.Series) -> list[str]:
    return [text(value) for value in sorted(set(values.to_list()), key=lambda v: (v is None, v))]


def _axis() -> Any:
    return altair().Axis(labelAngle=0, grid=False, labelLimit=120)
