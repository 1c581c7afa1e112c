"""Compare: which settings learn, and how fast? Runs by their axes; a sweep in progress appears."""

from collections.abc import Mapping, Sequence

import polars as pl
import streamlit as st

from trainlab import analysis
from trainlab.analysis import choose
from trainlab.analysis.compare import OTHER_MEASURES, varying_settings
from trainlab.app import comparing, records
from trainlab.app.place import place
from trainlab.app.shell import (
    DEMO,
    control,
    heading,
    into_these_runs,
    live,
    nothing_yet,
    plain,
    plainly,
    some_of,
)
from trainlab.runs import index

SECONDS = 3
"""So often the page looks whether anything is new."""
BROKEN_SHOWN = 3
ONLY = "only."
"""How a filter is called in the address, before the name of its setting."""
VIEWS = {
    "Curves and table": comparing.overview,
    "Effect of each axis": comparing.effects,
    "Parallel coordinates": comparing.parallel_coordinates,
    "Two runs": comparing.two_runs,
}


def page() -> None:
    """The whole page."""
    heading("Compare", "Which settings learn, how fast, and what do they have in common?")
    seen = index.stamp(place().runs)
    found = records.table()
    shown: list[str] = []
    if found.frame.is_empty():
        nothing_yet(
            f"No runs in {plain(place().runs)} yet. This trains four small networks in a minute:",
            into_these_runs(*DEMO),
        )
    else:
        shown = _compare(found)
    _name_broken(found.broken)
    _watch(seen, shown, records.written(shown), records.pulse() if found.is_going_on else None)


def _compare(found: records.Table) -> list[str]:
    """Everything below the heading; returns the runs whose curves are shown."""
    runs, by, metric = _choose(found)
    if runs.is_empty():
        st.info("No run is like this: take a filter away.")
        return []
    comparing.counts(runs)
    comparison = analysis.compare(runs, by, metric)
    shown: list[str] = []
    tabs = control(st.tabs, list(VIEWS), key="view", on_change="rerun")
    for tab, draw in zip(tabs, VIEWS.values(), strict=True):
        if tab.open:
            with tab, plainly():
                shown = draw(runs, comparison)
    return shown


def _choose(found: records.Table) -> tuple[pl.DataFrame, list[str], str]:
    """The runs chosen, the axes to group them by, and the metric. All of it stands in the address."""
    where, what, how, only = st.columns([2, 1.3, 3, 1.2], vertical_alignment="bottom")
    sweep = control(
        where.selectbox, "Sweep", list(found.sweeps), index=None, placeholder="all runs", key="sweep"
    )
    runs = records.of_sweep(found.frame, sweep)
    measured = sorted(name for name in runs.columns if "/" in name)
    metrics = [*sorted(measured, key=lambda name: name != "test/acc"), *OTHER_MEASURES]
    metric = control(what.selectbox, "Metric", metrics, key="metric")
    with only.popover("Filter", width="stretch"):
        st.caption("Only runs that have one of these values.")
        wanted = {
            name: some_of(plain(name), dict(zip(values, values, strict=True)), f"{ONLY}{name}")
            for name, values in found.choices.items()
        }
    _say_filters(wanted, found.choices)
    by = control(
        how.multiselect,
        "Group by",
        [*records.settings_offered(found.frame), "seed"],
        key="by",
        placeholder="every axis that differs",
    )
    runs = choose.keep(runs, wanted)
    return runs, by or varying_settings(runs), metric or "test/acc"


def _say_filters(wanted: Mapping[str, Sequence[str]], choices: Mapping[str, Sequence[str]]) -> None:
    """What is left out, and what the address asks for in vain, on the page itself: the list is folded up."""
    said = [f"{name} is {' or '.join(values)}" for name, values in wanted.items() if values]
    if said:
        st.caption(plain(f"Only runs where {', and '.join(said)}."))
    for key in st.query_params:
        name = key.removeprefix(ONLY)
        missing = [value for value in st.query_params.get_all(key) if value not in choices.get(name, ())]
        if key.startswith(ONLY) and missing:
            st.warning(
                plain(f"No choice among these runs: {name} is {' or '.join(missing)}. It is left out.")
            )


def _name_broken(broken: Sequence[str]) -> None:
    """One line each for folders that cannot be read, but not hundreds."""
    for line in broken[:BROKEN_SHOWN]:
        st.warning(f"skipped {plain(line)}")
    if len(broken) > BROKEN_SHOWN:
        st.warning(f"skipped {len(broken) - BROKEN_SHOWN} more that cannot be read")


@live(SECONDS)
def _watch(seen: tuple[int, ...], shown: list[str], written: tuple[int, ...], pulse: int | None) -> None:
    """Draws the page anew where a run has begun, ended or gone, or a curve on show has grown.

    Where runs are going on also at each pulse: one that was killed changes nothing on disk.
    """
    changed = index.stamp(place().runs) != seen or records.written(shown) != written
    if changed or pulse not in (None, records.pulse()):
        st.rerun()


page()
