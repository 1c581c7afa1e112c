"""Views of the page Compare: effect of each axis, parallel coordinates, two runs side by side."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import polars as pl
import streamlit as st

from trainlab import analysis
from trainlab.analysis import Comparison
from trainlab.app import run_cache
from trainlab.app.paths import app_paths
from trainlab.app.widgets import (
    escape_markdown,
    select_from_url,
    show_chart,
    show_run_links,
)
from trainlab.figures import effect_bars
from trainlab.figures.parallel_coordinates import parallel_coordinates_plot
from trainlab.runs import RunFolder
from trainlab.runs.frozen_settings import diff_settings
from trainlab.units import format_value

MAX_PARALLEL = 400


def show_run_counts(runs: pl.DataFrame) -> None:
    """How many runs, and what became of them."""
    fates = Counter(runs["status"].to_list())
    learned = runs["learned"].sum()
    said = [f"**{runs.height:,}** runs", f"**{learned:,}** learned"]
    said += [f"**{count:,}** {status}" for status, count in fates.most_common() if status != "finished"]
    st.markdown(" · ".join(said))


def effects_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """How much each axis matters, alone and with another, and how its levels compare."""
    effect = analysis.estimate_effects(runs, metric=comparison.metric)
    remarks = []
    if effect.unexplained is not None:
        remarks.append(f"single axes leave {effect.unexplained:.1%} to two together and to seeds")
    if not effect.balanced:
        remarks.append("not every combination was run equally often")
    left, right = st.columns(2)
    with left:
        figure = effect_bars.variance_share_bars(
            effect, "How much does each axis matter?", "; ".join(remarks)
        )
        show_chart(figure, f"Share of the variance of {effect.metric} by axis")
    with right:
        said = "mean and 95% interval over the other settings"
        figure = effect_bars.level_mean_plot(effect, "Which level is better?", said)
        show_chart(figure, f"Mean {effect.metric} of each level")
    notes = effect.shares.filter(pl.col("note").is_not_null())
    if not notes.is_empty():
        with st.expander(f"What cannot be told, or only in part: {notes.height}"):
            for row in notes.iter_rows(named=True):
                st.caption(escape_markdown(f"{row['axis']}: {row['note']}"))
    return []


def parallel_coordinates_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """A line a setting through the axes that differ, coloured by the metric."""
    table = comparison.table.filter(pl.col("mean").is_finite())
    if table.is_empty() or not comparison.by:
        st.info(f"Lines need settings that differ, and a finite {escape_markdown(comparison.metric)}.")
        return []
    said = "each line is a setting; colour is the metric"
    if table.height > MAX_PARALLEL:
        said += f"; {MAX_PARALLEL} of {table.height:,}, evenly from the best to the worst"
        table = table.gather_every(table.height // MAX_PARALLEL + 1)
    title = "What do the best settings have in common?"
    with st.container(key="parallel"):  # wider than a telephone: there it is moved sideways
        show_chart(parallel_coordinates_plot(table, comparison.by, comparison.metric, title, said), title)
    return []


def two_runs_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """In which settings two runs differ, and what came of each."""
    names = run_cache.run_labels(runs, comparison.by)
    left, right = st.columns(2)
    with left:
        first = select_from_url("First run", names, "first")
    with right:
        second = select_from_url("Second run", names, "second", min(1, len(names) - 1))
    if first is None or second is None:
        return []
    _show_accuracies(runs, [first, second])
    if first == second:
        st.info("This is one run, twice: choose another.")
        return []
    rows = _differing_settings(
        *(RunFolder(app_paths().runs / run_id).settings() for run_id in (first, second))
    )
    if not rows:
        st.info("The two runs have the same settings.")
    else:
        st.dataframe(rows, hide_index=True, alt="Settings in which the two runs differ")
    return []


def _differing_settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where two runs' settings differ: options by their names, then what is set within them.

    Left out is which class an option builds, and what one of them lacks and the other leaves empty.
    """
    options = [
        (axis, one, other, True)
        for axis in dict.fromkeys([*first.get("axes", {}), *second.get("axes", {})])
        if (one := first.get("axes", {}).get(axis)) != (other := second.get("axes", {}).get(axis))
    ]
    named = {axis for axis, *_ in options}
    rows = [
        *options,
        *(row for row in diff_settings(first, second) if not row.setting.endswith(run_cache.BUILD_KEYS)),
    ]
    return [
        {
            "setting": name,
            "first": format_value(one),
            "second": format_value(other),
            "decides the result": decides,
        }
        for i, (name, one, other, decides) in enumerate(rows)
        if format_value(one) != format_value(other) and (i < len(options) or name not in named)
    ]


def _show_accuracies(runs: pl.DataFrame, ids: list[str]) -> None:
    rows = {row["run_id"]: row for row in runs.filter(pl.col("run_id").is_in(ids)).iter_rows(named=True)}
    for column, run_id in zip(st.columns(2), ids, strict=True):
        row = rows[run_id]
        accuracy = row.get("test/acc")
        column.metric("test accuracy", "–" if accuracy is None else f"{accuracy:.2%}", border=True)
        with column:
            show_run_links({run_id: "look inside"})
