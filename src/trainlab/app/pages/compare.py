"""Compare: which settings learn, and how fast? Runs by their axes; a sweep in progress appears."""

from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from trainlab import analysis
from trainlab.analysis.compare import OTHER_METRICS
from trainlab.analysis.varying_settings import varying_settings
from trainlab.app import compare_views, run_cache
from trainlab.app.compare_curves import curves_view
from trainlab.app.paths import app_paths
from trainlab.app.run_choices import filter_runs, selectable_settings
from trainlab.app.widgets import (
    DEMO_OVERRIDES,
    auto_refresh,
    escape_markdown,
    multiselect_from_url,
    page_heading,
    show_empty_state,
    show_errors,
    train_command,
    url_control,
)
from trainlab.runs import index

REFRESH_SECONDS = 3
MAX_BROKEN_SHOWN = 3
FILTER_PREFIX = "only."
"""Of the names of filters in the address, before the name of the setting."""
VIEWS = {
    "Curves and table": curves_view,
    "Effect of each axis": compare_views.effects_view,
    "Parallel coordinates": compare_views.parallel_coordinates_view,
    "Two runs": compare_views.two_runs_view,
}


def page() -> None:
    page_heading("Compare", "Which settings learn, how fast, and what do they have in common?")
    stamp = index.change_stamp(app_paths().runs)
    table = run_cache.load_run_table()
    shown: list[str] = []
    if table.frame.is_empty():
        folder = escape_markdown(app_paths().runs)
        show_empty_state(
            f"No runs in {folder} yet. This trains four small networks in a minute:",
            train_command(*DEMO_OVERRIDES),
        )
    else:
        shown = _show_comparison(table)
    _warn_of_broken_runs(table.broken)
    tick = run_cache.recheck_tick() if table.has_running else None
    _watch(stamp, shown, run_cache.written_sizes(shown), tick)


def _show_comparison(table: run_cache.RunTable) -> list[str]:
    """Everything below the heading; returns the runs whose curves are shown."""
    runs, by, metric = _choose(table)
    if runs.is_empty():
        st.info("No run is like this: take a filter away.")
        return []
    compare_views.show_run_counts(runs)
    comparison = analysis.compare(runs, by, metric)
    if comparison.worst_note:
        st.caption(escape_markdown(f"{comparison.worst_note}."))
    shown: list[str] = []
    tabs = url_control(st.tabs, list(VIEWS), key="view", on_change="rerun")
    for tab, draw in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:
            with tab, show_errors():
                shown = draw(runs, comparison)
    return shown


def _choose(table: run_cache.RunTable) -> tuple[pl.DataFrame, list[str], str]:
    """The chosen runs, the axes to group them by, and the metric; the address has all of them."""
    left, middle, right, last = st.columns([2, 1.3, 3, 1.2], vertical_alignment="bottom")
    sweep = url_control(
        left.selectbox, "Sweep", list(table.sweeps), index=None, placeholder="all runs", key="sweep"
    )
    runs = run_cache.runs_of_sweep(table.frame, sweep)
    measured = sorted(name for name in runs.columns if "/" in name)
    metrics = [*sorted(measured, key=lambda name: name != "test/acc"), *OTHER_METRICS]
    metric = url_control(middle.selectbox, "Metric", metrics, key="metric")
    with last.popover("Filter", width="stretch"):
        st.caption("Only runs that have one of these values.")
        wanted = {
            name: multiselect_from_url(
                escape_markdown(name), dict(zip(values, values, strict=True)), f"{FILTER_PREFIX}{name}"
            )
            for name, values in table.choices.items()
        }
    _show_filters(wanted, table.choices)
    by = url_control(
        right.multiselect,
        "Group by",
        [*selectable_settings(table.frame), "seed"],
        key="by",
        placeholder="every axis that differs",
    )
    runs = filter_runs(runs, wanted)
    return runs, by or varying_settings(runs), metric or "test/acc"


def _show_filters(wanted: Mapping[str, Sequence[str]], choices: Mapping[str, Sequence[str]]) -> None:
    """The filters in force, and those in the address that match no run: the list itself is folded up."""
    filters = [f"{name} is {' or '.join(values)}" for name, values in wanted.items() if values]
    if filters:
        st.caption(escape_markdown(f"Only runs where {', and '.join(filters)}."))
    for key in st.query_params:
        name = key.removeprefix(FILTER_PREFIX)
        missing = [value for value in st.query_params.get_all(key) if value not in choices.get(name, ())]
        if key.startswith(FILTER_PREFIX) and missing:
            values = " or ".join(missing)
            st.warning(escape_markdown(f"No choice among these runs: {name} is {values}. It is left out."))


def _warn_of_broken_runs(broken: Sequence[str]) -> None:
    """One line for each folder that cannot be read, but not hundreds."""
    for line in broken[:MAX_BROKEN_SHOWN]:
        st.warning(f"skipped {escape_markdown(line)}")
    if len(broken) > MAX_BROKEN_SHOWN:
        st.warning(f"skipped {len(broken) - MAX_BROKEN_SHOWN} more that cannot be read")


@auto_refresh(REFRESH_SECONDS)
def _watch(stamp: tuple[int, ...], shown: list[str], written: tuple[int, ...], tick: int | None) -> None:
    """Runs the page again when a run has begun, ended or gone, or a shown curve has grown.

    With running runs also at each `recheck_tick`: a killed run changes nothing on disk.
    """
    changed = index.change_stamp(app_paths().runs) != stamp or run_cache.written_sizes(shown) != written
    if changed or tick not in (None, run_cache.recheck_tick()):
        st.rerun()


page()
