"""Will it learn? The theory at once, the measured forecast behind it, while the controls are moved."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import streamlit as st

from trainlab.app import model_service
from trainlab.app.forecast_client import ForecastClient
from trainlab.app.widgets import (
    escape_markdown,
    page_heading,
    show_chart,
    show_command,
    show_errors,
    train_command,
    url_control,
)
from trainlab.config.options import catalogue
from trainlab.errors import RequestError
from trainlab.figures import layer_profiles
from trainlab.settings import Settings

FIRST: dict[str, Any] = {"activation": "sigmoid", "depth": 12, "optimizer": "sgd_momentum"}
"""What the page opens with where that is not the default: a network that will not learn, and says why."""
AXES = ("model", "activation", "init", "norm_layer", "normalization")
DEPTHS: dict[str, list[int]] = {
    "plain_cnn": list(range(1, 65)),
    "mlp": list(range(1, 65)),
    "locally_connected": list(range(1, 7)),
    "resnet": list(range(3, 34, 3)),
    "vgg": [11, 13, 16, 19],
}
RATES = [round(digit * 10.0**power, 7) for power in range(-6, 1) for digit in (1, 2, 5)]
STEPS = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]
LARGEST = 1_000_000
"""Steps, or a learning rate, beyond which an address is taken for a slip."""
KINDS: dict[str, Callable[[str], Any]] = {
    "depth": int,
    "optimizer.lr": float,
    "trainer.max_steps": lambda text: int(float(text)),
}
WIDTH = 156
"""Of a control, in pixels: two beside one another on a telephone."""
POLL_SECONDS = 0.15


@st.cache_resource(on_release=ForecastClient.close, show_spinner=False)
def forecasts() -> ForecastClient:
    """The one process that measures for all who look."""
    return ForecastClient()


def controls() -> list[str]:
    """The controls; the overrides that they stand for, without those that are defaults."""
    with st.container(border=True, horizontal=True, gap="small"):
        chosen: dict[str, Any] = {"data": _choice("data", data_found())}
        for axis in AXES:
            chosen[axis] = _choice(axis, list(catalogue(axis)))
        chosen["depth"] = _depth(chosen["model"])
        chosen["optimizer"] = _choice("optimizer", list(catalogue("optimizer")))
        rate = f"lr_{chosen['optimizer']}"  # each optimizer has its own usual rate
        chosen["optimizer.lr"] = _scale(rate, "learning rate", RATES, _rate(chosen["optimizer"]))
        chosen["trainer.max_steps"] = _scale("trainer.max_steps", "steps", STEPS, 500)
    return [f"{key}={_text(value)}" for key, value in chosen.items() if value != _default(key, chosen)]


def _choice(axis: str, options: list[str]) -> str:
    names = [name for name in options if name not in catalogue(axis) or not catalogue(axis)[name].alias_of]
    first = FIRST.get(axis, _defaults()["axes"][axis])
    label = axis.replace("_", " ")
    return url_control(
        st.selectbox, label, names, names.index(first), key=axis, width=WIDTH, help=_help(axis)
    )


def _help(axis: str) -> str:
    return "  \n".join(
        f"**{name}**: {escape_markdown(option.line)}" for name, option in catalogue(axis).items()
    )


def _depth(model: str) -> int | None:
    """A control of its own for each model that has a depth: they differ in what they take."""
    if model not in DEPTHS:
        return None
    key, depths = f"depth_{model}", DEPTHS[model]
    first = _own_depth(model)
    if model in ("plain_cnn", "mlp"):
        first = FIRST["depth"]
    return url_control(st.select_slider, "depth", depths, first, key=key, width=WIDTH)


def _scale(key: str, label: str, options: list[Any], first: Any) -> Any:
    """A slider over round values, and over the one that a remedy or the address has set."""
    now = st.session_state.get(key, _number(st.query_params.get(key), first))
    every = sorted({*options, first, now})
    return url_control(st.select_slider, label, every, first, key=key, width=WIDTH, format_func=_text)


def _number(text: str | None, first: Any) -> Any:
    """What the address says, as a number above zero of the kind of `first`; `first` where it says none."""
    try:
        value = type(first)(float(text or ""))
    except (ValueError, OverflowError):
        return first
    return value if 0 < value <= LARGEST else first


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@st.cache_data(show_spinner=False)
def _defaults() -> Settings:
    return model_service.compose_settings(())


@st.cache_data(show_spinner=False)
def _own_depth(model: str) -> int | None:
    return model_service.compose_settings((f"model={model}",))["depth"]


@st.cache_data(show_spinner=False)
def _rate(optimizer: str) -> float:
    return model_service.compose_settings((f"optimizer={optimizer}",))["optimizer"]["lr"]


def _default(key: str, chosen: Mapping[str, Any]) -> Any:
    if key == "depth":
        return _own_depth(chosen["model"])
    if key == "optimizer.lr":
        return _rate(chosen["optimizer"])
    return _defaults()["axes"].get(key)


@st.cache_data(ttl=60, show_spinner=False)
def data_found() -> list[str]:
    """Data sets that can be used with no download."""
    from trainlab.data import torchvision_datasets

    return ["digits", *torchvision_datasets.available_offline(Path(_defaults()["paths"]["data"])), "shapeset"]


def theory_says(theory: Mapping[str, Any] | None) -> None:
    """The theory's answer in words."""
    st.markdown("**Theory**, of networks as wide as you like")
    if theory is None:
        st.markdown(
            "This network is no chain of layers (it has shortcuts, or units of another kind): "
            "there is no theory for it here. What is measured holds all the same."
        )
        return
    chi, reach, depth = (theory[name] for name in ("chi1", "reach_layers", "depth"))
    if chi < 0.98:
        words = "different images become alike, and gradients vanish, by a factor of about √χ₁ a layer"
    elif chi > 1.02:
        words = "gradients grow, by a factor of about √χ₁ a layer"
    else:
        words = "signal and gradient keep their size: the edge of chaos, where depth does no harm"
    far = "any number of" if reach > 10_000 else f"about {reach:.0f}"
    verdict = ":green[reaches the end]" if reach >= depth else ":red[does not reach the end]"
    st.markdown(
        f"χ₁ = **{chi:.3g}**: {words}. It carries a signal through **{far} layers**; "
        f"this network has **{depth}** before the last: it {verdict}."
    )
    for note in theory["notes"]:
        st.caption(escape_markdown(note))


def forecast_says(forecast: Mapping[str, Any], steps: str) -> None:
    """The measured forecast in words, with its remedy."""
    st.markdown(f"**Forecast**, measured on this network with its optimizer: learns within {steps}?")
    colour = "green" if forecast["will_learn"] else "red"
    st.markdown(f"## :{colour}[{_likely(forecast['learns'])} likely to learn]")
    if forecast["cause"]:
        st.markdown(f"**{forecast['cause'].replace('_', ' ')}**: {escape_markdown(forecast['says'])}.")
    elif not forecast["will_learn"]:
        st.markdown(escape_markdown(forecast["says"]))
    if forecast["remedy"]:
        remedy(forecast["remedy"])


def _likely(share: float) -> str:
    """In percent; never that it is certain."""
    return "under 1%" if share < 0.01 else "over 99%" if share > 0.99 else f"{share:.0%}"


def remedy(overrides: str) -> None:
    """What would mend it; a button sets the controls to it, where there are controls for all of it."""
    keys = {
        "depth": f"depth_{st.session_state['model']}",
        "optimizer.lr": f"lr_{st.session_state['optimizer']}",
    }
    parts = dict(part.split("=", 1) for part in overrides.split())
    values = {keys.get(key, key): KINDS.get(key, str)(text) for key, text in parts.items()}
    if all(key in st.session_state for key in values):
        st.button(f"Try the remedy: {overrides}", on_click=st.session_state.update, args=(values,))
    else:
        st.markdown(f"Remedy: `{overrides}`")


def awaited(future: Future, slot: Any) -> Mapping[str, Any]:
    """The answer; meanwhile the page stays awake, so that a control that is moved counts at once.

    Raises RequestError.
    """
    since = time.monotonic()
    while not future.done():
        slot.caption(f"The forecast is being measured … {time.monotonic() - since:.0f} s")
        time.sleep(POLL_SECONDS)
    return future.result()


def _took(what: str, since: float) -> str:
    seconds = time.monotonic() - since
    return f"{what} in {seconds:.1f} s." if seconds >= 0.1 else f"{what} in less than 0.1 s."


def draw_layers(
    slots: list[Any], theory: Mapping[str, Any] | None, measured: list[Mapping[str, Any]]
) -> None:
    """The three quantities by layer, each in its place, until the next are there."""
    kept = []
    for quantity, (title, what, _) in layer_profiles.QUANTITIES.items():
        figure = layer_profiles.forecast_profile_plot(theory["layers"] if theory else [], measured, quantity)
        kept.append((figure, f"{title} by layer: {what}"))
    st.session_state["layers"] = kept
    for slot, (figure, says) in zip(slots, kept, strict=True):
        show_chart(figure, says, into=slot)


def _places() -> list[Any]:
    """Where the charts stand: the last ones, if there are any, and not nothing."""
    columns = st.columns(len(layer_profiles.QUANTITIES))
    last = st.session_state.get("layers")
    if last is None:
        return [column.empty() for column in columns]
    return [
        show_chart(figure, says, into=column) for column, (figure, says) in zip(columns, last, strict=True)
    ]


def page() -> None:
    """Controls, then the theory, then the forecast, then the command."""
    page_heading(
        "Will it learn?",
        "Choose a network and how it is trained. Nothing is trained here: this is said before.",
    )
    overrides = controls()
    settings = model_service.compose_settings(tuple(overrides))
    left, right = st.columns(2, border=True)
    left, right = left.container(key="theory"), right.container(key="answer")
    theory_slot, slot = left.empty(), right.empty()
    theory_slot.caption("The theory is being computed …")
    slot.caption("The forecast is being measured …")
    st.markdown("Layer by layer, from the image to the classes: **━** theory, **●** measured")
    charts = _places()
    show_command(train_command(*overrides))
    beside = forecasts()  # it imports torch while this process does; it is asked once the theory is on show
    since = time.monotonic()
    try:
        theory = model_service.predict_theory(settings)
    except RequestError as error:
        theory_slot.error(escape_markdown(error))
        slot.caption("There is nothing to measure.")
        return
    with theory_slot.container():
        theory_says(theory)
        st.caption(_took("Computed", since))
    if theory is not None or "layers" not in st.session_state:  # else the last ones stay until it is measured
        draw_layers(charts, theory, [])
    future = beside.ask(settings, instead_of=st.session_state.get("asked"))
    st.session_state["asked"] = future
    with show_errors():
        forecast = awaited(future, slot)
        draw_layers(charts, theory, forecast["layers"])
        with slot.container():
            forecast_says(forecast, f"{settings['trainer']['max_steps']:,} steps")
            st.caption(_took("Measured, with nothing trained,", since))


with show_errors():
    page()
