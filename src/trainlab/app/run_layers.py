"""The part Layers of the page Inside a run: signals by layer and step, and theory against measurement."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import streamlit as st

from trainlab.app import model_service
from trainlab.app.widgets import (
    escape_markdown,
    section_heading,
    show_chart,
    show_errors,
    url_control,
)
from trainlab.errors import RequestError
from trainlab.figures import layer_profiles, signal_heatmap
from trainlab.runs import RunFolder, read_signals
from trainlab.signals.catalogue import NETWORK

QUANTITIES = {
    "preactivation_grad_norm": "Gradient",
    "activation_std": "Activation",
    "saturated": "Saturated units",
    "dead": "Dead units",
}
PERCENT_COLUMNS = ("saturated units", "dead units")
THEORY_FIGURES = {
    "scale": ("preactivation_std", "std of pre-activations", "Forward: does the signal keep its size?"),
    "gradient": (
        "activation_grad_norm",
        "gradient, over the last hidden layer's",
        "Backward: does the gradient reach the first layer?",
    ),
}


def layers_view(runs: Sequence[RunFolder]) -> None:
    """Heat maps of layer and step with a step framed, the numbers at that step, and theory by depth."""
    tables = _load_signals(runs)
    steps = sorted({step for table in tables.values() for step in table["step"].unique()})
    if not steps:
        st.info("No signals were measured in these layers yet (with signals=off none are).")
        return
    step = _select_step(steps)
    scales = {quantity: signal_heatmap.decade_range(tables.values(), quantity) for quantity in QUANTITIES}
    for column, table in zip(st.columns(len(tables)), tables.values(), strict=True):
        with column:
            _show_heat_maps(table, step, scales, 2 if len(tables) == 1 else 1)
            _show_step_table(table, step)
    _show_theory([run for run in runs if run.run_id in tables], tables)


def _load_signals(runs: Sequence[RunFolder]) -> dict[str, pl.DataFrame]:
    """The layers' signals by run; one that cannot be read is said and left out."""
    tables = {}
    for run in runs:
        with show_errors():
            tables[run.run_id] = read_signals(run.path).filter(pl.col("layer") != NETWORK)
    return tables


def _select_step(steps: Sequence[int]) -> int:
    """The step to look at: the last one, and it goes on with the run, until another is chosen."""
    if len(steps) == 1:
        return steps[0]
    was, newest = st.session_state.get("step"), st.session_state.get("newest step")
    if was is not None and was != steps[-1] and (was == newest or was not in steps):
        st.session_state["step"] = steps[-1] if was == newest else min(steps, key=lambda at: abs(at - was))
    st.session_state["newest step"] = steps[-1]
    return url_control(st.select_slider, "Training step", steps, steps[-1], key="step")


def _show_heat_maps(
    table: pl.DataFrame, step: int, scales: Mapping[str, tuple[float, float] | None], in_a_row: int
) -> None:
    """A panel a quantity, on the scale that the runs on show have in common."""
    places = st.columns(in_a_row)
    for i, (quantity, title) in enumerate(QUANTITIES.items()):
        with places[i % in_a_row]:
            try:
                show_chart(
                    signal_heatmap.signal_heatmap(table, quantity, title, step, scales[quantity]),
                    f"{title} by layer and step",
                )
            except RequestError:
                st.caption(f"{title}: not measured, this activation has none.")


def _show_step_table(table: pl.DataFrame, step: int) -> None:
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
        column_config={"gradient": number, "activation": number} | dict.fromkeys(PERCENT_COLUMNS, share),
        alt=f"Each layer at step {at}",
    )


def _show_theory(runs: Sequence[RunFolder], tables: dict[str, pl.DataFrame]) -> None:
    """Mean-field theory as lines, what was measured at the first step as dots, by depth."""
    section_heading("Theory over measurement, at the first step")
    predicted: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        with show_errors():
            if (theory := model_service.predict_theory(run.settings())) is not None:
                predicted[run.run_id] = theory["layers"]
            else:
                st.caption(
                    f"{escape_markdown(run.run_id)}: the network is no chain of layers, which theory needs."
                )
    if not predicted:
        return
    for column, (key, (quantity, name, title)) in zip(st.columns(2), THEORY_FIGURES.items(), strict=True):
        with column, show_errors():
            lines = {run: [row[key] for row in of if row[key] is not None] for run, of in predicted.items()}
            dots = {run: _measured_by_layer(tables[run], quantity, predicted[run], key) for run in predicted}
            figure = layer_profiles.theory_profile_plot(dots, lines, "", title, name)
            show_chart(figure, f"{title} Theory and measurement by layer")


def _measured_by_layer(
    table: pl.DataFrame, quantity: str, of: Sequence[dict[str, Any]], key: str
) -> list[float]:
    """Of the layers that theory speaks of, in its order; gradients over the last one's."""
    first = table.filter((pl.col("step") == pl.col("step").min()) & (pl.col("quantity") == quantity))
    values = dict(first.select("layer", "value").iter_rows())
    sizes = [values[row["name"]] for row in of if row[key] is not None and row["name"] in values]
    return [size / sizes[-1] for size in sizes] if key == "gradient" and sizes and sizes[-1] else sizes
