"""Inside a run: what happened in this network, layer by layer? One run, or two side by side."""

from collections.abc import Callable

import streamlit as st

from trainlab.app import inside, records, seeing
from trainlab.app.place import place
from trainlab.app.shell import (
    DEMO,
    control,
    heading,
    into_these_runs,
    live,
    nothing_yet,
    one_of,
    plain,
    plainly,
)
from trainlab.runs import RunFolder, index

SECONDS = 3
PARTS = {
    "Layers": inside.layers,
    "What it sees": seeing.sees,
    "Mistakes": seeing.mistakes,
}


def page() -> None:
    """The whole page, which looks again whatever there is: a run may begin, go on, end or go."""
    heading("Inside a run", "What happened in this network, layer by layer, and why did it learn or not?")
    seen = index.stamp(place().runs)
    shown: list[str] = []
    with plainly():
        shown = _runs()
    going = [name for name in shown if RunFolder(place().runs / name).is_locked()]
    _watch(seen, shown, records.written(shown), going)


def _runs() -> list[str]:
    """The runs chosen, each in words, and the parts below; returns their ids."""
    found = records.table()
    if found.frame.is_empty():
        nothing_yet(
            f"No runs in {plain(place().runs)} yet. Either of these makes some:",
            into_these_runs(*DEMO),
            into_these_runs("model=lenet5"),
        )
        return []
    for line in found.broken:
        if line.partition(":")[0] in (st.query_params.get("run"), st.query_params.get("beside")):
            st.warning(plain(f"cannot be read: {line}"))
    names = records.names(found.frame.sort("finished", descending=True, nulls_last=True))
    left, right = st.columns(2)
    with left:
        chosen = one_of("Run", names, "run")
    with right:
        others = {name: says for name, says in names.items() if name != chosen}
        beside = one_of("Beside it", others, "beside", None)
    runs = [RunFolder(place().runs / name) for name in (chosen, beside) if name is not None]
    if not runs:
        return []
    _side_by_side(runs, inside.verdict)
    parts = control(st.tabs, list(PARTS), key="part", on_change="rerun")
    for tab, draw in zip(parts, PARTS.values(), strict=True):
        if tab.open:
            with tab, plainly():
                draw(runs)
    return [run.run_id for run in runs]


def _side_by_side(runs: list[RunFolder], draw: Callable[[RunFolder], None]) -> None:
    for column, run in zip(st.columns(len(runs)), runs, strict=True):
        with column, plainly():
            draw(run)


@live(SECONDS)
def _watch(seen: tuple[int, ...], shown: list[str], written: tuple[int, ...], going: list[str]) -> None:
    """Draws the page anew where a run on show has written something, has stopped, or the runs are others."""
    stopped = any(not RunFolder(place().runs / name).is_locked() for name in going)
    if index.stamp(place().runs) != seen or records.written(shown) != written or stopped:
        st.rerun()


page()
