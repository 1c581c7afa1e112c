"""Will it learn? The theory at once, the measured forecast behind it, while the controls are moved."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from trainlab.app import model_service
from trainlab.app.forecast_client import ForecastAnswer, ForecastClient
from trainlab.app.widgets import (
    CONTROL_WIDTH,
    escape_markdown,
    page_heading,
    show_chart,
    show_command,
    show_errors,
    train_command,
    url_control,
)
from trainlab.axes import AXES
from trainlab.config.options import catalogue
from trainlab.errors import RequestError
from trainlab.figures import layer_profiles
from trainlab.figures.layer_profiles import ProfileRow
from trainlab.forecast.answer import TheoryLayer, TheoryReport
from trainlab.units import format_probability

Number = TypeVar("Number", int, float)

FIRST_ACTIVATION, FIRST_OPTIMIZER, FIRST_DEPTH = "sigmoid", "sgd_momentum", 12
"""What the page opens with instead of the defaults: a network that will not learn, with a clear reason."""
FIRST_STEPS = 500
DEEP_MODELS = ("plain_cnn", "mlp")
"""Models that open with `FIRST_DEPTH`."""
CONTROLLED = sorted((axis for axis in AXES if axis.control is not None), key=lambda axis: axis.control or 0)
"""The axes that have a control here, in their order."""
LEARNING_RATES = [round(digit * 10.0**power, 7) for power in range(-6, 1) for digit in (1, 2, 5)]
STEPS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]
MAX_NUMBER = 1_000_000
"""Steps, or a learning rate, beyond which an address is taken for a typing error."""
MAX_SHOWN_REACH = 10_000
"""Layers beyond which the reach of a signal is called unlimited."""
PARSERS: dict[str, Callable[[str], object]] = {
    "depth": int,
    "optimizer.lr": float,
    "trainer.max_steps": lambda text: int(float(text)),
}
POLL_SECONDS = 0.15


@st.cache_resource(on_release=ForecastClient.close, show_spinner=False)
def forecast_client() -> ForecastClient:
    """The one process that measures for all users."""
    return ForecastClient()


def controls() -> list[str]:
    """The controls; the overrides of their values, without those that are defaults."""
    default = model_service.compose_settings(()).axes
    with st.container(border=True, horizontal=True, gap="small"):
        chosen: dict[str, object] = {"data": _select_option("data", available_data(), str(default["data"]))}
        for axis in (controlled.name for controlled in CONTROLLED):
            first = FIRST_ACTIVATION if axis == "activation" else str(default[axis])
            chosen[axis] = _select_option(axis, list(catalogue(axis)), first)
        model = str(chosen["model"])
        depth = model_service.compose_settings((f"model={model}",)).depth
        if depth is not None:
            chosen["depth"] = _select_depth(model, depth)
        optimizer = _select_option("optimizer", list(catalogue("optimizer")), FIRST_OPTIMIZER)
        chosen["optimizer"] = optimizer
        lr = model_service.compose_settings((f"optimizer={optimizer}",)).optimizer.lr
        # a key for each optimizer: each has its own default
        chosen["optimizer.lr"] = _select_number(f"lr_{optimizer}", "learning rate", LEARNING_RATES, lr)
        chosen["trainer.max_steps"] = _select_number("trainer.max_steps", "steps", STEPS, FIRST_STEPS)
    defaults = {**default, "depth": depth, "optimizer.lr": lr}
    return [f"{key}={_format(value)}" for key, value in chosen.items() if value != defaults.get(key)]


def _select_option(axis: str, options: Sequence[str], first: str) -> str:
    names = [name for name in options if name not in catalogue(axis) or not catalogue(axis)[name].alias_of]
    lines = (f"**{name}**: {escape_markdown(option.line)}" for name, option in catalogue(axis).items())
    label = axis.replace("_", " ")
    return url_control(
        st.selectbox, label, names, names.index(first), key=axis, width=CONTROL_WIDTH, help="  \n".join(lines)
    )


def _select_depth(model: str, default: int) -> int:
    """A control for each model: they differ in the depths that they take."""
    first = FIRST_DEPTH if model in DEEP_MODELS else default
    key, depths = f"depth_{model}", model_service.model_depths(model)
    if not depths:  # a user's model that does not list them
        return url_control(st.number_input, "depth", 1, None, first, key=key, width=CONTROL_WIDTH)
    options = sorted({*depths, first})
    return url_control(st.select_slider, "depth", options, first, key=key, width=CONTROL_WIDTH)


def _select_number(key: str, label: str, options: Sequence[Number], first: Number) -> Number:
    """A slider over round values, and the one that a remedy or the address has set."""
    now = st.session_state.get(key, _parse_number(st.query_params.get(key), first))
    values = sorted({*options, first, now})
    return url_control(
        st.select_slider, label, values, first, key=key, width=CONTROL_WIDTH, format_func=_format
    )


def _parse_number(text: str | None, first: Number) -> Number:
    """A number above zero in the address, of the type of `first`; `first` where there is none."""
    try:
        value = type(first)(float(text or ""))
    except (ValueError, OverflowError):
        return first
    return value if 0 < value <= MAX_NUMBER else first


def _format(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@st.cache_data(ttl=60, show_spinner=False)
def available_data() -> list[str]:
    """Data sets that can be used without a download."""
    from trainlab.data import torchvision_datasets

    root = Path(model_service.compose_settings(()).paths.data)
    return ["digits", *torchvision_datasets.available_offline(root), "shapeset"]


def show_theory(theory: TheoryReport | None) -> None:
    """The theory's answer in words."""
    st.markdown("**Theory**, of networks as wide as you like")
    if theory is None:
        st.markdown(
            "This network is no chain of layers (it has shortcuts, or units of another kind): "
            "there is no theory for it here. What is measured holds all the same."
        )
        return
    chi1, reach, depth = theory["chi1"], theory["reach_layers"], theory["depth"]
    if chi1 < 0.98:
        regime = "different images become alike, and gradients vanish, by a factor of about √χ₁ a layer"
    elif chi1 > 1.02:
        regime = "gradients grow, by a factor of about √χ₁ a layer"
    else:
        regime = "signal and gradient keep their size: the edge of chaos, where depth does no harm"
    layers = "any number of" if reach > MAX_SHOWN_REACH else f"about {reach:.0f}"
    verdict = ":green[reaches the end]" if reach >= depth else ":red[does not reach the end]"
    st.markdown(
        f"χ₁ = **{chi1:.3g}**: {regime}. It carries a signal through **{layers} layers**; "
        f"this network has **{depth}** before the last: it {verdict}."
    )
    for note in theory["notes"]:
        st.caption(escape_markdown(note))


def show_forecast(forecast: ForecastAnswer, steps: int) -> None:
    """The measured forecast in words, with its remedy."""
    st.markdown(f"**Forecast**, measured on this network with its optimizer: learns within {steps:,} steps?")
    colour = "green" if forecast["will_learn"] else "red"
    st.markdown(f"## :{colour}[{_format_chance(forecast['learns'])} likely to learn]")
    if forecast["cause"]:
        st.markdown(f"**{forecast['cause'].replace('_', ' ')}**: {escape_markdown(forecast['says'])}.")
    elif not forecast["will_learn"]:
        st.markdown(escape_markdown(forecast["says"]))
    if forecast["remedy"]:
        show_remedy(forecast["remedy"])


def _format_chance(probability: float) -> str:
    """In percent; never that it is certain."""
    return format_probability(min(max(probability, 1e-9), 1 - 1e-9))


def show_remedy(overrides: str) -> None:
    """The overrides of a remedy; a button where there are controls for all of them."""
    keys = {
        "depth": f"depth_{st.session_state['model']}",
        "optimizer.lr": f"lr_{st.session_state['optimizer']}",
    }
    parts = dict(part.split("=", 1) for part in overrides.split())
    values = {keys.get(key, key): PARSERS.get(key, str)(text) for key, text in parts.items()}
    if all(key in st.session_state for key in values):
        st.button(f"Try the remedy: {overrides}", on_click=st.session_state.update, args=(values,))
    else:
        st.markdown(f"Remedy: `{overrides}`")


def wait_for_forecast(future: "Future[ForecastAnswer]", slot: DeltaGenerator) -> ForecastAnswer:
    """The answer. Raises RequestError.

    While it waits, the page shows the time, so that Streamlit can interrupt it as soon as a control is moved.
    """
    start = time.monotonic()
    while not future.done():
        slot.caption(f"The forecast is being measured … {time.monotonic() - start:.0f} s")
        time.sleep(POLL_SECONDS)
    return future.result()


def _format_elapsed(what: str, start: float) -> str:
    seconds = time.monotonic() - start
    return f"{what} in {seconds:.1f} s." if seconds >= 0.1 else f"{what} in less than 0.1 s."


def show_layers(
    slots: Sequence[DeltaGenerator],
    theory: TheoryReport | None,
    measured: Sequence[ProfileRow],
) -> None:
    """The three quantities by layer, each in its slot; kept until the next ones replace them."""
    predicted: list[ProfileRow] = [] if theory is None else [_profile_row(row) for row in theory["layers"]]
    figures = []
    for quantity, (title, description, _) in layer_profiles.QUANTITIES.items():
        figure = layer_profiles.forecast_profile_plot(predicted, measured, quantity)
        figures.append((figure, f"{title} by layer: {description}"))
    st.session_state["layers"] = figures
    for slot, (figure, alt) in zip(slots, figures, strict=True):
        show_chart(figure, alt, into=slot)


def _profile_row(layer: TheoryLayer) -> ProfileRow:
    return {key: layer[key] for key in ("name", "scale", "correlation", "gradient")}


def _chart_slots() -> list[DeltaGenerator]:
    """Where the charts are drawn: over the last ones, if there are any."""
    columns = st.columns(len(layer_profiles.QUANTITIES))
    last = st.session_state.get("layers")
    if last is None:
        return [column.empty() for column in columns]
    return [show_chart(figure, alt, into=column) for column, (figure, alt) in zip(columns, last, strict=True)]


def page() -> None:
    """Controls, then the theory, then the forecast, then the command."""
    page_heading(
        "Will it learn?",
        "Choose a network and how it is trained. Nothing is trained here: this is a forecast.",
    )
    client = forecast_client()  # its process imports torch while this one does
    overrides = controls()
    settings = model_service.compose_settings(tuple(overrides))
    left, right = st.columns(2, border=True)
    theory_slot, forecast_slot = left.container(key="theory").empty(), right.container(key="answer").empty()
    theory_slot.caption("The theory is being computed …")
    forecast_slot.caption("The forecast is being measured …")
    st.markdown("Layer by layer, from the image to the classes: **━** theory, **●** measured")
    chart_slots = _chart_slots()
    show_command(train_command(*overrides))
    start = time.monotonic()
    try:
        theory = model_service.predict_theory(settings)
    except RequestError as error:
        theory_slot.error(escape_markdown(error))
        forecast_slot.caption("There is nothing to measure.")
        return
    with theory_slot.container():
        show_theory(theory)
        st.caption(_format_elapsed("Computed", start))
    if theory is not None or "layers" not in st.session_state:  # else the last charts stay meanwhile
        show_layers(chart_slots, theory, [])
    future = client.ask(settings, instead_of=st.session_state.get("asked"))
    st.session_state["asked"] = future
    with show_errors():
        forecast = wait_for_forecast(future, forecast_slot)
        show_layers(chart_slots, theory, forecast["layers"])
        steps = settings.trainer.max_steps
        assert steps is not None  # it has a control
        with forecast_slot.container():
            show_forecast(forecast, steps)
            st.caption(_format_elapsed("Measured, with nothing trained,", start))


with show_errors():
    page()
