"""Views of the page Compare: effect of each axis, parallel coordinates, two runs side by side."""

from collections import Counter
from collections.abc import Mapping

import polars as pl
import streamlit as st

from trainlab import analysis
from trainlab.analysis import Comparison
from trainlab.app.paths import app_paths
from trainlab.app.run_choices import BUILD_KEYS, run_labels
from trainlab.app.widgets import escape_markdown, select_from_url, show_chart, show_run_links
from trainlab.figures import effect_bars
from trainlab.figures.parallel_coordinates import parallel_coordinates_plot
from trainlab.json_types import JsonObject
from trainlab.runs.frozen_settings import diff_settings, read_settings
from trainlab.units import format_value

MAX_PARALLEL = 400


def show_run_counts(runs: pl.DataFrame) -> None:
    """How many runs, how many learned, and the other statuses."""
    statuses = Counter(runs["status"].to_list())
    parts = [f"**{runs.height:,}** runs", f"**{runs['learned'].sum():,}** learned"]
    parts += [f"**{count:,}** {status}" for status, count in statuses.most_common() if status != "finished"]
    st.markdown(" · ".join(parts))


def effects_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """How much each axis matters, alone and with another, and how its levels compare."""
    effects = analysis.estimate_effects(runs, metric=comparison.metric)
    remarks = []
    if effects.unexplained is not None:
        remarks.append(f"single axes leave {effects.unexplained:.1%} to two together and to seeds")
    if not effects.balanced:
        remarks.append("not every combination was run equally often")
    left, right = st.columns(2)
    with left:
        if effects.has_seeds:
            figure = effect_bars.variance_share_bars(
                effects, "How much does each axis matter?", "; ".join(remarks)
            )
            show_chart(figure, f"Share of the variance of {effects.metric} by axis")
        else:
            st.info("How much each axis matters beside chance takes more seeds: `seed=range(3)`.")
    with right:
        subtitle = "mean and 95% interval within blocks: what the other axes do is not in it"
        figure = effect_bars.level_mean_plot(effects, "Which level is better?", subtitle)
        show_chart(figure, f"Mean {effects.metric} of each level")
    notes = effects.shares.filter(pl.col("note").is_not_null())
    if not notes.is_empty():
        with st.expander(f"Not estimable, or only in part: {notes.height}"):
            for row in notes.iter_rows(named=True):
                st.caption(escape_markdown(f"{row['axis']}: {row['note']}"))
    return []


def parallel_coordinates_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """One line per setting through the axes that differ, coloured by the metric."""
    table = comparison.table.filter(pl.col("mean").is_finite())
    if table.is_empty() or not comparison.by:
        st.info(f"Lines need settings that differ, and a finite {escape_markdown(comparison.metric)}.")
        return []
    subtitle = "each line is a setting; colour is the metric"
    if table.height > MAX_PARALLEL:
        subtitle += f"; {MAX_PARALLEL} of {table.height:,}, evenly from the best to the worst"
        table = table.gather_every(table.height // MAX_PARALLEL + 1)
    title = "What do the best settings have in common?"
    figure = parallel_coordinates_plot(table, comparison.by, comparison.metric, title, subtitle)
    with st.container(key="parallel"):  # on a telephone it scrolls sideways
        show_chart(figure, title)
    return []


def two_runs_view(runs: pl.DataFrame, comparison: Comparison) -> list[str]:
    """In which settings two runs differ, and the accuracy of each."""
    names = run_labels(runs, comparison.by)
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
    root = app_paths().runs
    rows = _differing_settings(read_settings(root / first), read_settings(root / second))
    if not rows:
        st.info("The two runs have the same settings.")
    else:
        st.dataframe(rows, hide_index=True, alt="Settings in which the two runs differ")
    return []


def _differing_settings(first: JsonObject, second: JsonObject) -> list[dict[str, object]]:
    """Where two runs' settings differ: options by their names, then what is set within them.

    Without the class that an option builds, and without settings that one lacks and the other leaves empty.
    """
    axes, other_axes = _option_names(first), _option_names(second)
    options = [
        (axis, axes.get(axis), other_axes.get(axis), True)
        for axis in dict.fromkeys([*axes, *other_axes])
        if axes.get(axis) != other_axes.get(axis)
    ]
    named = {axis for axis, *_ in options}
    details = [
        row
        for row in diff_settings(first, second)
        if not row.setting.endswith(BUILD_KEYS) and row.setting not in named
    ]
    return [
        {
            "setting": name,
            "first": format_value(one),
            "second": format_value(other),
            "decides the result": decides,
        }
        for name, one, other, decides in [*options, *details]
        if format_value(one) != format_value(other)
    ]


def _option_names(settings: JsonObject) -> JsonObject:
    axes = settings.get("axes")
    return axes if isinstance(axes, Mapping) else {}


def _show_accuracies(runs: pl.DataFrame, ids: list[str]) -> None:
    rows = {row["run_id"]: row for row in runs.filter(pl.col("run_id").is_in(ids)).iter_rows(named=True)}
    for column, run_id in zip(st.columns(2), ids, strict=True):
        row = rows[run_id]
        accuracy = row.get("test/acc")
        column.metric("test accuracy", "–" if accuracy is None else f"{accuracy:.2%}", border=True)
        with column:
            show_run_links({run_id: "look inside"})
