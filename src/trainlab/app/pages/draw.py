"""Draw and predict: your picture as a trained network gets it, what it says, and what happens inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from trainlab.app import model_service, run_cache
from trainlab.app.model_service import ImageSource, TrainedNetwork
from trainlab.app.paths import app_paths
from trainlab.app.run_images import warn_of_data_mismatch
from trainlab.app.widgets import (
    DEMO_OVERRIDES,
    auto_refresh,
    escape_markdown,
    page_heading,
    section_heading,
    select_from_url,
    show_chart,
    show_empty_state,
    show_errors,
    train_command,
    url_control,
)
from trainlab.errors import RequestError
from trainlab.figures import bar_charts, image_tiles
from trainlab.runs import index

if TYPE_CHECKING:
    from torch import Tensor

    from trainlab.models.feature_maps import ConvolutionView
    from trainlab.nn.normalization import NormalizedNetwork
    from trainlab.serving.preprocessing import PreprocessedImage

CANVAS_SIDE = 280
"""Pixels: ten times MNIST's, and not wider than a telephone."""
STROKE_WIDTH = 22
FOREGROUND, BACKGROUND = "#FFFFFF", "#000000"
SOURCES = {"draw": "Draw", "upload": "Upload", "test": "A test image"}
INPUT_SIDE = PHOTO_SIDE = 280
PAIR_WIDTH = 150
"""Pixels: two side by side in a column, and on a telephone."""
REFRESH_SECONDS = 3
IS_BLANK = "all its pixels are the same: there is nothing in it"
MAX_MAPS, MAPS_PER_ROW, MAP_SIDE = 16, 8, 72
FORMULAS = {
    "Standardize": "(pixel / 255 − mean) / std",
    "Shifted": "to_mean + to_std · (pixel / 255 − mean) / std",
    "Center": "pixel / 255 − mean",
    "Unit": "pixel / 255",
    "Symmetric": "2 · pixel / 255 − 1",
    "Raw": "the pixel itself, 0 to 255",
    "PerImage": "(pixel − mean of the image) / std of the image",
}
USES_STATISTICS = ("Standardize", "Shifted", "Center")
Statistics = tuple[list[float], list[float]]
"""Mean and std of each channel, in the unit scale 0..1."""


class Canvas(TypedDict):
    """The drawing of this window, which outlives the canvas in the browser.

    number: of the canvas; another one is a new canvas. initial: strokes that it began with. strokes: what is
    on it. images: RGBA pixels by the number of strokes.
    """

    number: int
    initial: list[object]
    strokes: list[object]
    images: dict[int, np.ndarray]


@dataclass(frozen=True)
class NetworkInput:
    """An image on its way into a network: pixels, the same normalized, and the network behind the statistics.

    has_own_statistics: whether these are the statistics that it was trained with.
    """

    pixels_1CHW: "Tensor"
    normalized_1CHW: "Tensor"
    model: "NormalizedNetwork"
    has_own_statistics: bool


def page() -> None:
    """The run, the picture, the network's input, its answer; below them the feature maps."""
    page_heading("Draw and predict", "What does a trained network make of your own picture?")
    stamp = index.change_stamp(app_paths().runs)
    run_id = choose_run()
    if run_id is None:
        _watch(stamp)  # the network may come; without one there is no drawing to lose
        return
    with show_errors():
        _show_prediction(run_id)


def _show_prediction(run_id: str) -> None:
    trained = model_service.load_trained(app_paths().runs / run_id)
    with st.container(key="three-parts"):
        left, middle, right = st.columns([1.05, 1, 1.1], gap="medium")
    with left:
        source = choose_image(trained)
    with middle:
        section_heading("What the network sees")
        if source is None:
            st.caption("Nothing yet.")
            return
        network_input = show_input(trained, source, run_id)
    if network_input is None:
        return
    with right:
        show_answer(trained, network_input)
    show_feature_maps(network_input)


@auto_refresh(REFRESH_SECONDS)
def _watch(stamp: tuple[int, ...]) -> None:
    if index.change_stamp(app_paths().runs) != stamp:
        run_cache.trained_runs.clear()
        st.rerun()


def choose_run() -> str | None:
    """The run, the best on digits first; None where no run has a checkpoint."""
    runs = run_cache.trained_runs(str(app_paths().runs), st.query_params.get("run"))
    if not runs:
        folder = escape_markdown(app_paths().runs)
        show_empty_state(
            f"There is no trained network in {folder} yet. This makes four small ones:",
            train_command(*DEMO_OVERRIDES),
        )
        return None
    return select_from_url("Trained network", runs, key="run")


# The picture


def choose_image(trained: TrainedNetwork) -> ImageSource | None:
    """A drawing, an upload or a test image; None before there is one."""
    section_heading("Your picture")
    source: str = url_control(
        st.segmented_control, "Your picture", list(SOURCES), format_func=SOURCES.__getitem__, default="draw",
        required=True, key="way", label_visibility="collapsed",
    )  # fmt: skip
    if source == "draw":
        return drawing(trained.classes)
    return uploaded() if source == "upload" else test_image(trained)


def drawing(classes: Sequence[str]) -> np.ndarray | None:
    """The drawing as RGBA pixels; None before the first stroke.

    The strokes are kept on the server, so that they are still there after a visit to another page or source;
    undoing is a new canvas with fewer strokes.
    """
    from streamlit_drawable_canvas import st_canvas

    empty: Canvas = {"number": 0, "initial": [], "strokes": [], "images": {}}
    canvas: Canvas = st.session_state.setdefault("strokes", empty)
    if f"canvas {canvas['number']}" not in st.session_state and canvas["strokes"] != canvas["initial"]:
        _redraw(canvas["strokes"])  # another page or source has been shown meanwhile
    with st.container(key="canvas-frame"):
        drawn = st_canvas(
            stroke_width=STROKE_WIDTH,
            stroke_color=FOREGROUND,
            background_color=BACKGROUND,
            height=CANVAS_SIDE,
            width=CANVAS_SIDE,
            return_image_data=True,
            key=f"canvas {canvas['number']}",
            initial_drawing={"version": "5", "objects": canvas["initial"]} if canvas["initial"] else None,
        )
    if drawn.image_data is not None:  # a new canvas sends nothing before the next stroke
        canvas["strokes"] = (drawn.json_data or {}).get("objects", [])
        canvas["images"][len(canvas["strokes"])] = drawn.image_data
    strokes = canvas["strokes"]
    buttons = (("Undo", ":material/undo:", strokes[:-1]), ("Clear", ":material/delete:", []))
    with st.container(horizontal=True, gap="small"):
        for label, icon, kept in buttons:
            st.button(
                label, key=label.lower(), icon=icon, on_click=_redraw, args=(kept,), disabled=not strokes
            )
    known = escape_markdown(", ".join(classes))
    st.caption(f"Draw with the mouse or a finger. This network knows: {known}.")
    return canvas["images"].get(len(strokes)) if strokes else None


def _redraw(strokes: list[object]) -> None:
    """A new canvas with these strokes."""
    canvas: Canvas = st.session_state["strokes"]
    canvas["number"] += 1
    canvas["initial"] = canvas["strokes"] = strokes


def uploaded() -> bytes | None:
    """The bytes of a file; None before there is one."""
    file = st.file_uploader("An image of any size, colour or grey", type=None, key="file")
    if file is None:
        return None
    content = file.getvalue()
    st.session_state["file_name"] = file.name
    return content


def test_image(trained: TrainedNetwork) -> np.ndarray:
    """A test image of the run's own data."""
    images = model_service.test_images(trained.settings)
    warn_of_data_mismatch(images)
    number: int = url_control(st.number_input, "Number", 0, len(images.x_NHWC) - 1, 0, key="number")
    image_HWC = images.x_NHWC[number]
    st.image(image_tiles.gray_image(image_HWC, CANVAS_SIDE), width=CANVAS_SIDE, alt=f"test image {number}")
    st.caption(f"It is: {escape_markdown(images.classes[images.labels_N[number]])}")
    return image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC


# What the network sees


def show_input(trained: TrainedNetwork, source: ImageSource, run_id: str) -> NetworkInput | None:
    """The image as preprocessed and as normalized, with controls for the statistics.

    None, with a message, where the image cannot be used.
    """
    try:
        image, pixels_1CHW = model_service.prepare_image(
            source, trained.description, st.session_state.get("file_name", "the image")
        )
    except RequestError as error:
        st.error(escape_markdown(error))
        return None
    if isinstance(source, bytes):
        show_photo(image)
    if image.empty_reason or pixels_1CHW.amin() == pixels_1CHW.amax():
        st.warning(escape_markdown(f"No prediction: {image.empty_reason or IS_BLANK}."))
        return None
    images_slot = st.container()
    model = _with_chosen_statistics(trained.model, run_id)
    normalized_1CHW = model.normalization(pixels_1CHW)
    channels, height, width = pixels_1CHW.shape[1:]
    with images_slot:
        _show_pixels(pixels_1CHW[0], normalized_1CHW[0])
        steps = escape_markdown("; ".join(image.steps) or "as it is")
        st.caption(f"{channels} × {height} × {width}: {steps}.")
    formula = type(trained.model.normalization).__name__
    st.caption(
        f"Normalized by {escape_markdown(FORMULAS.get(formula, formula))}: from {normalized_1CHW.min():.2f} "
        f"to {normalized_1CHW.max():.2f}, mean {normalized_1CHW.mean():.2f}, "
        f"std {normalized_1CHW.std(unbiased=False):.2f}."
    )
    return NetworkInput(pixels_1CHW, normalized_1CHW, model, model is trained.model)


def _with_chosen_statistics(model: "NormalizedNetwork", run_id: str) -> "NormalizedNetwork":
    """The model itself, or behind the statistics that the user has edited."""
    from trainlab.nn.normalization import InputNormalization, NormalizedNetwork, with_statistics

    normalization = model.normalization
    uses_statistics = type(normalization).__name__ in USES_STATISTICS
    if not (uses_statistics and isinstance(normalization, InputNormalization)):
        return model
    own = normalization.mean_C.tolist(), normalization.std_C.tolist()
    chosen = choose_statistics(own, run_id)
    if chosen == own:
        return model
    changed = with_statistics(model, *chosen)
    assert isinstance(changed, NormalizedNetwork)
    return changed


def show_photo(image: "PreprocessedImage") -> None:
    """The uploaded photo, with the part that is cut out framed."""
    photo, box = image.preview.copy(), None
    photo.thumbnail((2 * PHOTO_SIDE, 2 * PHOTO_SIDE))
    if image.box is not None:
        scale = photo.width / image.preview.width
        left, top, right, bottom = (round(scale * edge) for edge in image.box)
        box = (top, left), (bottom, right)
    caption = "Your picture, what is cut out framed" if box else "Your picture"
    photo_HWC = np.atleast_3d(np.asarray(photo))
    framed = image_tiles.gray_image_with_box(photo_HWC, box, 2 * PHOTO_SIDE)
    st.image(framed, width=PHOTO_SIDE, caption=caption, alt=caption)


def _show_pixels(pixels_CHW: "Tensor", normalized_CHW: "Tensor") -> None:
    """The pixels, and beside them the numbers after normalization."""
    before, after = _side_by_side()
    pixels = image_tiles.gray_image(pixels_CHW.permute(1, 2, 0).numpy(), INPUT_SIDE)
    before.image(pixels, caption="pixels", width="stretch", alt="the pixels")
    heatmap = image_tiles.heatmap_image(normalized_CHW.mean(0).numpy(), INPUT_SIDE)
    after.image(heatmap, caption="normalized", width="stretch", alt="the pixels after normalization")


def _side_by_side() -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two containers side by side, one below the other where there is no room."""
    with st.container(horizontal=True, gap="small"):
        return st.container(width=PAIR_WIDTH), st.container(width=PAIR_WIDTH)


def choose_statistics(own: Statistics, run_id: str) -> Statistics:
    """Controls for mean and std of each channel; the network's own until they are edited."""
    own_values = [*own[0], *own[1]]
    channels = [""] if len(own[0]) == 1 else [" red", " green", " blue"][: len(own[0])]
    keys = [f"{name}{channel}.{run_id}" for name in ("mean", "std") for channel in channels]
    defaults = dict(zip(keys, [round(value, 4) for value in own_values], strict=True))
    columns = _side_by_side()
    for number, key in enumerate(keys):
        label = key.removesuffix(f".{run_id}")
        lowest = 0.0001 if label.startswith("std") else -10.0
        url_control(
            columns[number // len(channels)].number_input,
            label, lowest, 10.0, max(defaults[key], lowest), 0.05, "%.4f", key=key,
        )  # fmt: skip
    now: dict[str, float] = {key: st.session_state[key] for key in keys}
    edited = {key for key in keys if now[key] != defaults[key]}
    st.button("Reset to its own", on_click=st.session_state.update, args=(defaults,), disabled=not edited)
    values = [now[key] if key in edited else value for key, value in zip(keys, own_values, strict=True)]
    return values[: len(channels)], values[len(channels) :]


# What it says


def show_answer(trained: TrainedNetwork, network_input: NetworkInput) -> None:
    """The likeliest class, and a bar for each; with edited statistics also the answer with its own."""
    from trainlab.serving.predict import class_probabilities

    section_heading("What it says")
    classes, pixels_1CHW = trained.classes, network_input.pixels_1CHW
    p_K = class_probabilities(network_input.model, pixels_1CHW)[0].tolist()
    best = max(range(len(p_K)), key=p_K.__getitem__)
    st.markdown(f"### {escape_markdown(classes[best])} · {p_K[best]:.1%}")
    own_p_K = None
    if not network_input.has_own_statistics:
        own_p_K = class_probabilities(trained.model, pixels_1CHW)[0].tolist()
        own_best = max(range(len(own_p_K)), key=own_p_K.__getitem__)
        st.warning(
            "Not the statistics that it was trained with: with its own it says "
            f"{escape_markdown(classes[own_best])} ({own_p_K[own_best]:.1%}), marked in the bars."
        )
    bars = bar_charts.class_probability_bars(classes, p_K, own_p_K)
    show_chart(bars, f"{classes[best]}: {p_K[best]:.1%}")


def show_feature_maps(network_input: NetworkInput) -> None:
    """The feature maps of each convolution, in the order in which they run."""
    from trainlab.models import feature_maps

    views = feature_maps(network_input.model.network, network_input.normalized_1CHW)
    section_heading("On the way")
    if not views:
        st.caption("This network is dense: it has no convolutions, and no maps to show.")
        return
    help_text = "off: what the convolution itself gives"
    is_activated: bool = url_control(st.toggle, "after the activation", True, key="activated", help=help_text)
    st.caption(
        "What each convolution makes of it, first to last, at most 16 maps each. Yellow is much and violet "
        "nothing; where a map has negative values, orange is above zero and blue below."
    )
    for first in range(0, len(views), 2):  # in rows: on a telephone they keep their order
        for column, view in zip(st.columns(2, gap="medium"), views[first : first + 2], strict=False):
            with column:
                _show_convolution(view, is_activated)


def _show_convolution(view: "ConvolutionView", is_activated: bool) -> None:
    """A convolution's name, size and maps."""
    count, height, width = view.z_Fhw.shape
    field = f", each unit sees {' × '.join(map(str, view.field.size))} pixels" if view.field else ""
    st.markdown(f"**{escape_markdown(view.name)}** · {count} maps of {height} × {width}{field}")
    maps_Fhw = (view.a_Fhw if is_activated else view.z_Fhw)[:MAX_MAPS].float().numpy()
    sheet = image_tiles.montage(maps_Fhw, MAPS_PER_ROW, MAP_SIDE)
    st.image(sheet, width="stretch", alt=f"{len(maps_Fhw)} maps of {view.name}")


with show_errors():
    page()
