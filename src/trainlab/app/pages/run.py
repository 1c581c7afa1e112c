"""Inside a run: what happened in this network, layer by layer? One run, or two side by side."""

from collections.abc import Callable

import streamlit as st

from trainlab.app import run_cache, run_images, run_layers
from trainlab.app.paths import app_paths
from trainlab.app.run_choices import run_labels
from trainlab.app.run_verdict import show_verdict
from trainlab.app.widgets import (
    DEMO_OVERRIDES,
    auto_refresh,
    escape_markdown,
    page_heading,
    select_from_url,
    show_empty_state,
    show_errors,
    train_command,
    url_control,
)
from trainlab.runs import RunFolder, index

REFRESH_SECONDS = 3
PARTS = {
    "Layers": run_layers.layers_view,
    "What it sees": run_images.feature_maps_view,
    "Mistakes": run_images.errors_view,
}


def page() -> None:
    """The page; it refreshes in any state: a run may begin, go on, end or be deleted."""
    page_heading(
        "Inside a run", "What happened in this network, layer by layer, and why did it learn or not?"
    )
    stamp = index.change_stamp(app_paths().runs)
    shown: list[str] = []
    with show_errors():
        shown = _show_runs()
    running = [name for name in shown if RunFolder(app_paths().runs / name).is_locked()]
    _watch(stamp, shown, run_cache.written_sizes(shown), running)


def _show_runs() -> list[str]:
    """The verdicts of the chosen runs, and the parts below; returns their ids."""
    table = run_cache.load_run_table()
    if table.frame.is_empty():
        show_empty_state(
            f"No runs in {escape_markdown(app_paths().runs)} yet. Either of these makes some:",
            train_command(*DEMO_OVERRIDES),
            train_command("model=lenet5"),
        )
        return []
    for line in table.broken:
        if line.partition(":")[0] in (st.query_params.get("run"), st.query_params.get("beside")):
            st.warning(escape_markdown(f"cannot be read: {line}"))
    names = run_labels(table.frame.sort("finished", descending=True, nulls_last=True))
    left, right = st.columns(2)
    with left:
        chosen = select_from_url("Run", names, "run")
    with right:
        others = {name: label for name, label in names.items() if name != chosen}
        beside = select_from_url("Beside it", others, "beside", None)
    runs = [RunFolder(app_paths().runs / name) for name in (chosen, beside) if name is not None]
    if not runs:
        return []
    _side_by_side(runs, show_verdict)
    parts = url_control(st.tabs, list(PARTS), key="part", on_change="rerun")
    for tab, draw in zip(parts, PARTS.values(), strict=True):
        if tab.open:
            with tab, show_errors():
                draw(runs)
    return [run.run_id for run in runs]


def _side_by_side(runs: list[RunFolder], draw: Callable[[RunFolder], None]) -> None:
    for column, run in zip(st.columns(len(runs)), runs, strict=True):
        with column, show_errors():
            draw(run)


@auto_refresh(REFRESH_SECONDS)
def _watch(stamp: tuple[int, ...], shown: list[str], written: tuple[int, ...], running: list[str]) -> None:
    """Runs the page again when a shown run has written or stopped, or runs have come or gone."""
    stopped = any(not RunFolder(app_paths().runs / name).is_locked() for name in running)
    if index.change_stamp(app_paths().runs) != stamp or run_cache.written_sizes(shown) != written or stopped:
        st.rerun()


page()
