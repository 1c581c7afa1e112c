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

SECONDS = 3
"""So often the page looks whether anything is new."""
BROKEN_SHOWN = 3
ONLY = "only."
"""How a filter is called in the address, before the name of its setting."""
VIEWS = {
    "Curves and table": curves_view,
    "Effect of each axis": compare_views.effects_view,
    "Parallel coordinates": compare_views.parallel_coordinates_view,
    "Two runs": compare_views.two_runs_view,
}


def page() -> None:
    """The whole page."""
    page_heading("Compare", "Which settings learn, how fast, and what do they have in common?")
    seen = index.change_stamp(app_paths().runs)
    found = run_cache.load_run_table()
    shown: list[str] = []
    if found.frame.is_empty():
        show_empty_state(
            f"No runs in {escape_markdown(app_paths().runs)} yet. This trains four small networks in a "
            f"minute:",
            train_command(*DEMO_OVERRIDES),
        )
    else:
        shown = _compare(found)
    _name_broken(found.broken)
    _watch(
        seen, shown, run_cache.written_sizes(shown), run_cache.recheck_tick() if found.is_going_on else None
    )


def _compare(found: run_cache.RunTable) -> list[str]:
    """Everything below the heading; returns the runs whose curves are shown."""
    runs, by, metric = _choose(found)
    if runs.is_empty():
        st.info("No run is like this: take a filter away.")
        return []
    compare_views.show_run_counts(runs)
    comparison = analysis.compare(runs, by, metric)
    shown: list[str] = []
    tabs = url_control(st.tabs, list(VIEWS), key="view", on_change="rerun")
    for tab, draw in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:
            with tab, show_errors():
                shown = draw(runs, comparison)
    return shown


def _choose(found: run_cache.RunTable) -> tuple[pl.DataFrame, list[str], str]:
    """The runs chosen, the axes to group them by, and the metric. All of it stands in the address."""
    where, what, how, only = st.columns([2, 1.3, 3, 1.2], vertical_alignment="bottom")
    sweep = url_control(
        where.selectbox, "Sweep", list(found.sweeps), index=None, placeholder="all runs", key="sweep"
    )
    runs = run_cache.runs_of_sweep(found.frame, sweep)
    measured = sorted(name for name in runs.columns if "/" in name)
    metrics = [*sorted(measured, key=lambda name: name != "test/acc"), *OTHER_METRICS]
    metric = url_control(what.selectbox, "Metric", metrics, key="metric")
    with only.popover("Filter", width="stretch"):
        st.caption("Only runs that have one of these values.")
        wanted = {
            name: multiselect_from_url(
                escape_markdown(name), dict(zip(values, values, strict=True)), f"{ONLY}{name}"
            )
            for name, values in found.choices.items()
        }
    _say_filters(wanted, found.choices)
    by = url_control(
        how.multiselect,
        "Group by",
        [*run_cache.selectable_settings(found.frame), "seed"],
        key="by",
        placeholder="every axis that differs",
    )
    runs = run_cache.filter_runs(runs, wanted)
    return runs, by or varying_settings(runs), metric or "test/acc"


def _say_filters(wanted: Mapping[str, Sequence[str]], choices: Mapping[str, Sequence[str]]) -> None:
    """What is left out, and what the address asks for in vain, on the page itself: the list is folded up."""
    said = [f"{name} is {' or '.join(values)}" for name, values in wanted.items() if values]
    if said:
        st.caption(escape_markdown(f"Only runs where {', and '.join(said)}."))
    for key in st.query_params:
        name = key.removeprefix(ONLY)
        missing = [value for value in st.query_params.get_all(key) if value not in choices.get(name, ())]
        if key.startswith(ONLY) and missing:
            st.warning(
                escape_markdown(
                    f"No choice among these runs: {name} is {' or '.join(missing)}. It is left out."
                )
            )


def _name_broken(broken: Sequence[str]) -> None:
    """One line each for folders that cannot be read, but not hundreds."""
    for line in broken[:BROKEN_SHOWN]:
        st.warning(f"skipped {escape_markdown(line)}")
    if len(broken) > BROKEN_SHOWN:
        st.warning(f"skipped {len(broken) - BROKEN_SHOWN} more that cannot be read")


@auto_refresh(SECONDS)
def _watch(seen: tuple[int, ...], shown: list[str], written: tuple[int, ...], pulse: int | None) -> None:
    """Draws the page anew where a run has begun, ended or gone, or a curve on show has grown.

    Where runs are going on also at each pulse: one that was killed changes nothing on disk.
    """
    changed = index.change_stamp(app_paths().runs) != seen or run_cache.written_sizes(shown) != written
    if changed or pulse not in (None, run_cache.recheck_tick()):
        st.rerun()


page()
