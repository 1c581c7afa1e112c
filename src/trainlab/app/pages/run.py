"""Inside a run: what happened in this network, layer by layer? One run, or two side by side."""

from collections.abc import Callable

import streamlit as st

from trainlab.app import inside, records, seeing
from trainlab.app.place import place
from trainlab.app.shell import heading, live, nothing_yet, one_of, plain, plainly
from trainlab.runs import RunFolder

SECONDS = 3
FIRST = ("make demo", "python train.py model=lenet5")
PARTS = {
    "Layers": inside.layers,
    "What it sees": seeing.sees,
    "Mistakes": seeing.mistakes,
}


def page() -> None:
    """The whole page."""
    heading("Inside a run", "What happened in this network, layer by layer, and why did it learn or not?")
    found = records.table()
    if found.frame.is_empty():
        nothing_yet(f"No runs in {plain(place().runs)} yet. Either of these makes some:", *FIRST)
        return
    names = records.names(found.frame.sort("finished", descending=True, nulls_last=True))
    left, right = st.columns(2)
    with left:
        chosen = one_of("Run", names, "run")
    with right:
        others = {name: says for name, says in names.items() if name != chosen}
        beside = one_of("Beside it", others, "beside", None)
    runs = [RunFolder(place().runs / name) for name in (chosen, beside) if name is not None]
    if not runs:
        return
    _side_by_side(runs, inside.verdict)
    parts = st.tabs(list(PARTS), key="part", on_change="rerun", bind="query-params")
    for tab, draw in zip(parts, PARTS.values(), strict=True):
        if tab.open:
            with tab:
                draw(runs)
    _watch([run.run_id for run in runs], records.written(run.run_id for run in runs))


def _side_by_side(runs: list[RunFolder], draw: Callable[[RunFolder], None]) -> None:
    for column, run in zip(st.columns(len(runs)), runs, strict=True):
        with column, plainly():
            draw(run)


@live(SECONDS)
def _watch(shown: list[str], written: tuple[int, ...]) -> None:
    """Draws the page anew where a run on show has written something, or is gone."""
    if records.written(shown) != written:
        st.rerun()


page()
