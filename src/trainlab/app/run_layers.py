"""The part Layers of the page Inside a run: signals by layer and step, and theory against measurement."""

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl
import streamlit as st

from trainlab.app import model_service, run_cache
from trainlab.app.widgets import (
    escape_markdown,
    section_heading,
    show_chart,
    show_errors,
    url_control,
)
from trainlab.errors import RequestError
from trainlab.figures import layer_profiles, signal_heatmap
from trainlab.forecast.answer import TheoryLayer
from trainlab.runs import RunFolder
from trainlab.signals.catalogue import NETWORK

QUANTITIES = {
    "preactivation_grad_norm": "Gradient",
    "activation_std": "Activation",
    "saturated": "Saturated units",
    "dead": "Dead units",
}
TheoryQuantity = Literal["scale", "gradient"]
PERCENT_COLUMNS = ("saturated units", "dead units")
THEORY_FIGURES: dict[TheoryQuantity, tuple[str, str, str]] = {
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
    """The signals of the layers by run id; a run that cannot be read is left out with a message."""
    tables = {}
    for run in runs:
        with show_errors():
            tables[run.run_id] = run_cache.read_signals(run.path).filter(pl.col("layer") != NETWORK)
    return tables


def _select_step(steps: Sequence[int]) -> int:
    """The step to show: the last one, which follows the run, until another is chosen."""
    if len(steps) == 1:
        return steps[0]
    chosen, newest = st.session_state.get("step"), st.session_state.get("newest step")
    if chosen is not None and chosen != steps[-1]:
        if chosen == newest:
            st.session_state["step"] = steps[-1]
        elif chosen not in steps:
            st.session_state["step"] = min(steps, key=lambda step: abs(step - chosen))
    st.session_state["newest step"] = steps[-1]
    return url_control(st.select_slider, "Training step", steps, steps[-1], key="step")


def _show_heat_maps(
    table: pl.DataFrame, step: int, scales: Mapping[str, tuple[float, float] | None], per_row: int
) -> None:
    """One panel per quantity, on the scale that all shown runs share."""
    columns = st.columns(per_row)
    for i, (quantity, title) in enumerate(QUANTITIES.items()):
        with columns[i % per_row]:
            try:
                heatmap = signal_heatmap.signal_heatmap(table, quantity, title, step, scales[quantity])
                show_chart(heatmap, f"{title} by layer and step")
            except RequestError:
                st.caption(f"{title}: not measured, this activation has none.")


def _show_step_table(table: pl.DataFrame, step: int) -> None:
    """The numbers at the last measured step up to `step`, one row per layer."""
    before = table.filter(pl.col("step") <= step)
    if before.is_empty():
        st.caption(f"Nothing was measured up to step {step}.")
        return
    measured_step = before["step"].max()
    rows = before.filter((pl.col("step") == measured_step) & pl.col("quantity").is_in(list(QUANTITIES)))
    shown = rows.pivot("quantity", index="layer", values="value", maintain_order=True)
    number = st.column_config.NumberColumn(format="%.2e")
    percent = st.column_config.NumberColumn(format="percent")
    st.markdown(f"At step {measured_step}:")
    st.dataframe(
        shown.rename({name: QUANTITIES[name].lower() for name in shown.columns[1:]}),
        hide_index=True,
        placeholder="–",
        column_config={"gradient": number, "activation": number, **dict.fromkeys(PERCENT_COLUMNS, percent)},
        alt=f"Each layer at step {measured_step}",
    )


def _show_theory(runs: Sequence[RunFolder], tables: Mapping[str, pl.DataFrame]) -> None:
    """Mean-field theory as lines, measurements at the first step as dots, by depth."""
    section_heading("Theory over measurement, at the first step")
    predictions: dict[str, list[TheoryLayer]] = {}
    for run in runs:
        with show_errors():
            if (theory := model_service.predict_theory(run.settings())) is not None:
                predictions[run.run_id] = [*theory["layers"]]
            else:
                name = escape_markdown(run.run_id)
                st.caption(f"{name}: the network is no chain of layers, which theory needs.")
    if not predictions:
        return
    for column, (key, (quantity, name, title)) in zip(st.columns(2), THEORY_FIGURES.items(), strict=True):
        with column, show_errors():
            predicted = {run: _predicted_by_layer(layers, key) for run, layers in predictions.items()}
            measured = {
                run: _measured_by_layer(tables[run], quantity, layers, key)
                for run, layers in predictions.items()
            }
            figure = layer_profiles.theory_profile_plot(measured, predicted, "", title, name)
            show_chart(figure, f"{title} Theory and measurement by layer")


def _predicted_by_layer(layers: Sequence[TheoryLayer], key: TheoryQuantity) -> list[float]:
    return [value for layer in layers if (value := layer[key]) is not None]


def _measured_by_layer(
    table: pl.DataFrame, quantity: str, layers: Sequence[TheoryLayer], key: TheoryQuantity
) -> list[float]:
    """The values at the first step of the layers that theory predicts; gradients relative to the last one."""
    first = table.filter((pl.col("step") == pl.col("step").min()) & (pl.col("quantity") == quantity))
    values = dict(first.select("layer", "value").iter_rows())
    sizes = [values[layer["name"]] for layer in layers if layer[key] is not None and layer["name"] in values]
    return [size / sizes[-1] for size in sizes] if key == "gradient" and sizes and sizes[-1] else sizes
