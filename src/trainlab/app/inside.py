"""The parts of the page Inside a run that need no network: the verdict, layers over time and depth."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from trainlab.app import networks
from trainlab.app.shell import chart, command, control, plain, plainly, section
from trainlab.diagnosis import words
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis, sentence
from trainlab.diagnosis.of_run import judged
from trainlab.errors import RequestError
from trainlab.figures import by_depth, heat_map
from trainlab.runs import RunFolder, signals
from trainlab.runs.result import WEAK
from trainlab.signals.catalogue import NETWORK

QUANTITIES = {
    "preactivation_grad_norm": "Gradient",
    "activation_std": "Activation",
    "saturated": "Saturated units",
    "dead": "Dead units",
}
SHARES = ("saturated units", "dead units")
AGAINST_THEORY = {
    "scale": ("preactivation_std", "std of pre-activations", "Forward: does the signal keep its size?"),
    "gradient": (
        "activation_grad_norm",
        "gradient, over the last hidden layer's",
        "Backward: does the gradient reach the first layer?",
    ),
}
TOLD_BY_THE_END = ("too_few_steps", "not_known", "learning_rate_too_low", "labels_unlearnable")
"""Causes that a run which goes on may still refute."""
BADGES: dict[bool | None, tuple[Any, str | None]] = {
    True: ("green", ":material/check:"),
    False: ("orange", ":material/close:"),
    None: ("gray", None),
}


def verdict(run: RunFolder) -> None:
    """What became of the run and why, in words; the remedy as a command."""
    known = judged(run)
    status, result, evidence, diagnosis = known.status, known.result, known.evidence, known.today
    with st.container(border=True):
        if status == "running":
            _so_far(run, evidence, diagnosis)
            return
        colour, icon = BADGES[diagnosis.learned if diagnosis.level not in WEAK else False]
        _badge(run, words.outcome(diagnosis.learned, diagnosis.level), colour, icon)
        if says := words.status(status, result):
            st.markdown(plain(says))
        if known.differs and known.recorded is not None:
            st.caption(plain(_sentence(words.recorded(known.recorded, known.recorded_version or 1))))
        if diagnosis.cause is not None:
            _cause(run, diagnosis)
        elif diagnosis.learned is not True:
            st.markdown(plain(words.no_cause(evidence)))
        st.caption(plain(_sentence(words.measured(diagnosis))))


def _badge(run: RunFolder, says: str, colour: Any, icon: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(says, color=colour, icon=icon)
        st.caption(plain(run.run_id), width="content")


def _so_far(run: RunFolder, evidence: Evidence, diagnosis: Diagnosis) -> None:
    """Of a run that goes on: what its record shows, and nothing that only its end can tell."""
    _badge(run, "is training", "blue", ":material/progress_activity:")
    st.markdown(plain(words.status("running", None) or ""))
    if evidence.losses:
        step, loss = max(evidence.losses), evidence.late_loss()
        st.markdown(
            f"After step {step:,} the training loss is **{loss:.3f}**; guessing gives "
            f"{evidence.chance_loss:.3f}."
        )
    known = [finding for finding in diagnosis.findings if finding.cause not in TOLD_BY_THE_END]
    if known:
        st.markdown(f"Seen so far: **{plain(words.place(known[0]))}**. Evidence: {plain(known[0].says)}.")


def _cause(run: RunFolder, diagnosis: Diagnosis) -> None:
    """The first cause with its evidence and remedy, and the others below."""
    finding = diagnosis.findings[0]
    section(plain(_sentence(words.place(finding))))
    st.markdown(f"{plain(_sentence(sentence(finding)))}. Evidence: {plain(finding.says)}.")
    if remedy := diagnosis.remedies.get(finding.cause):
        st.markdown("Try next:")
        command(networks.command_of(run.settings(), remedy, run.path.parent))
    if others := diagnosis.findings[1:]:
        with st.expander(f"also found: {len(others)}"):
            for other in others:
                st.markdown(f"**{plain(words.place(other))}**: {plain(other.says)}")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def layers(runs: Sequence[RunFolder]) -> None:
    """Heat maps of layer and step with a step framed, the numbers at that step, and theory by depth."""
    tables = _signals(runs)
    steps = sorted({step for table in tables.values() for step in table["step"].unique()})
    if not steps:
        st.info("No signals were measured in these layers yet (with signals=off none are).")
        return
    step = _step(steps)
    scales = {quantity: heat_map.range_of(tables.values(), quantity) for quantity in QUANTITIES}
    for column, table in zip(st.columns(len(tables)), tables.values(), strict=True):
        with column:
            _heat_maps(table, step, scales, 2 if len(tables) == 1 else 1)
            _at_step(table, step)
    _theory([run for run in runs if run.run_id in tables], tables)


def _signals(runs: Sequence[RunFolder]) -> dict[str, pl.DataFrame]:
    """The layers' signals by run; one that cannot be read is said and left out."""
    tables = {}
    for run in runs:
        with plainly():
            tables[run.run_id] = signals(run.path).filter(pl.col("layer") != NETWORK)
    return tables


def _step(steps: Sequence[int]) -> int:
    """The step to look at: the last one, and it goes on with the run, until another is chosen."""
    if len(steps) == 1:
        return steps[0]
    was, newest = st.session_state.get("step"), st.session_state.get("newest step")
    if was is not None and was != steps[-1] and (was == newest or was not in steps):
        st.session_state["step"] = steps[-1] if was == newest else min(steps, key=lambda at: abs(at - was))
    st.session_state["newest step"] = steps[-1]
    return control(st.select_slider, "Training step", steps, steps[-1], key="step")


def _heat_maps(
    table: pl.DataFrame, step: int, scales: Mapping[str, tuple[float, float] | None], in_a_row: int
) -> None:
    """A panel a quantity, on the scale that the runs on show have in common."""
    places = st.columns(in_a_row)
    for i, (quantity, title) in enumerate(QUANTITIES.items()):
        with places[i % in_a_row]:
            try:
                chart(
                    heat_map.panel(table, quantity, title, step, scales[quantity]),
                    f"{title} by layer and step",
                )
            except RequestError:
                st.caption(f"{title}: not measured, this activation has none.")


def _at_step(table: pl.DataFrame, step: int) -> None:
    """The numbers at the measured step at or before `step`, a row a layer."""
    before = table.filter(pl.col("step") <= step)
    if before.is_empty():
        st.caption(f"Nothing was measured up to step {step}.")
        return
    at = before["step"].max()
    rows = before.filter((pl.col("step") == at) & pl.col("quantity").is_in(list(QUANTITIES)))
    shown = rows.pivot("quantity", index="layer", values="value", maintain_order=True)
    number: Any = st.column_config.NumberColumn(format="%.2e")
    share: Any = st.column_config.NumberColumn(format="percent")
    st.markdown(f"At step {at}:")
    st.dataframe(
        shown.rename({name: QUANTITIES[name].lower() for name in shown.columns[1:]}),
        hide_index=True,
        placeholder="–",
        column_config={"gradient": number, "activation": number} | dict.fromkeys(SHARES, share),
        alt=f"Each layer at step {at}",
    )


def _theory(runs: Sequence[RunFolder], tables: dict[str, pl.DataFrame]) -> None:
    """Mean-field theory as lines, what was measured at the first step as dots, by depth."""
    section("Theory over measurement, at the first step")
    predicted: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        with plainly():
            if (theory := networks.theory_of(run.settings())) is not None:
                predicted[run.run_id] = theory["layers"]
            else:
                st.caption(f"{plain(run.run_id)}: the network is no chain of layers, which theory needs.")
    if not predicted:
        return
    for column, (key, (quantity, name, title)) in zip(st.columns(2), AGAINST_THEORY.items(), strict=True):
        with column, plainly():
            lines = {run: [row[key] for row in of if row[key] is not None] for run, of in predicted.items()}
            dots = {run: _measured(tables[run], quantity, predicted[run], key) for run in predicted}
            figure = by_depth.figure(dots, lines, "", title, name)
            chart(figure, f"{title} Theory and measurement by layer")


def _measured(table: pl.DataFrame, quantity: str, of: Sequence[dict[str, Any]], key: str) -> list[float]:
    """Of the layers that theory speaks of, in its order; gradients over the last one's."""
    first = table.filter((pl.col("step") == pl.col("step").min()) & (pl.col("quantity") == quantity))
    values = dict(first.select("layer", "value").iter_rows())
    sizes = [values[row["name"]] for row in of if row[key] is not None and row["name"] in values]
    return [size / sizes[-1] for size in sizes] if key == "gradient" and sizes and sizes[-1] else sizes
