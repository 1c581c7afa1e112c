"""Draw and predict: your picture as a trained network gets it, what it says, and what happens inside."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from trainlab.app import model_service, run_cache
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

CANVAS = 280
"""Pixels of a side: ten times MNIST's, and not wider than a telephone."""
STROKE = 22
FOREGROUND, GROUND = "#FFFFFF", "#000000"
WAYS = {"draw": "Draw", "upload": "Upload", "test": "A test image"}
SEEN_SIDE = PHOTO_SIDE = 280
HALF = 150
"""Pixels across: two beside one another in a column, and on a telephone."""
SECONDS = 3
NOTHING_IN_IT = "all its pixels are the same: there is nothing in it"
MAPS_SHOWN, MAPS_IN_A_ROW, MAP_SIDE = 16, 8, 72
FORMULAS = {
    "Standardize": "(pixel / 255 − mean) / std",
    "Center": "pixel / 255 − mean",
    "Unit": "pixel / 255",
    "Symmetric": "2 · pixel / 255 − 1",
    "Raw": "the pixel itself, 0 to 255",
    "PerImage": "(pixel − mean of the image) / std of the image",
}
USES_STATISTICS = ("Standardize", "Center")


def page() -> None:
    """The run, the picture, what the network sees, what it says; below it the way through the layers."""
    page_heading("Draw and predict", "What does a trained network make of your own picture?")
    seen = index.change_stamp(app_paths().runs)
    run = choose_run()
    if run is None:
        _watch(seen)  # nothing is lost where the page is drawn anew, and the network may come
        return
    with show_errors():
        _with(run)


def _with(run: str) -> None:
    model, description = model_service.load_trained(app_paths().runs / run)
    with st.container(key="three-parts"):
        left, middle, right = st.columns([1.05, 1, 1.1], gap="medium")
    with left:
        source = picture(description)
    seen = None
    with middle:
        section_heading("What the network sees")
        if source is None:
            st.caption("Nothing yet.")
        else:
            seen = see(model, description, source, run)
    if seen is None:
        return
    with right:
        answer(model, seen, description["classes"])
    layers(seen)


@auto_refresh(SECONDS)
def _watch(seen: tuple[int, ...]) -> None:
    if index.change_stamp(app_paths().runs) != seen:
        run_cache.trained_runs.clear()
        st.rerun()


def choose_run() -> str | None:
    """The run, the best on digits first; None where there is none with a checkpoint."""
    runs = run_cache.trained_runs(str(app_paths().runs), st.query_params.get("run"))
    if not runs:
        show_empty_state(
            f"There is no trained network in {escape_markdown(app_paths().runs)} yet. This makes four "
            f"small ones:",
            train_command(*DEMO_OVERRIDES),
        )
        return None
    return select_from_url("Trained network", runs, key="run")


# The picture


def picture(description: Mapping[str, Any]) -> Any:
    """A drawing (RGBA array), an upload's bytes, or the pixels of a test image; None before there is one."""
    section_heading("Your picture")
    way = url_control(
        st.segmented_control, "Your picture", list(WAYS), format_func=WAYS.__getitem__, default="draw",
        required=True, key="way", label_visibility="collapsed",
    )  # fmt: skip
    if way == "draw":
        return drawing(description)
    return uploaded() if way == "upload" else test_image(description)


def drawing(description: Mapping[str, Any]) -> np.ndarray | None:
    """What was drawn on the canvas; None before the first stroke.

    The strokes are kept here, so that they are still there when one comes back from another way; taking one
    back, or all, is putting fewer on a new canvas.
    """
    from streamlit_drawable_canvas import st_canvas

    kept = st.session_state.setdefault("strokes", {"canvas": 0, "start": [], "now": [], "seen": {}})
    if f"canvas {kept['canvas']}" not in st.session_state and kept["now"] != kept["start"]:
        _redraw(kept["now"])  # another page or way has been shown meanwhile
    with st.container(key="canvas-frame"):
        drawn = st_canvas(
            stroke_width=STROKE,
            stroke_color=FOREGROUND,
            background_color=GROUND,
            height=CANVAS,
            width=CANVAS,
            return_image_data=True,
            key=f"canvas {kept['canvas']}",
            initial_drawing={"version": "5", "objects": kept["start"]} if kept["start"] else None,
        )
    if drawn.image_data is not None:  # a canvas tells nothing of itself before the next stroke
        kept["now"] = (drawn.json_data or {}).get("objects", [])
        kept["seen"][len(kept["now"])] = drawn.image_data
    strokes = kept["now"]
    with st.container(horizontal=True, gap="small"):
        for label, icon, fewer in (
            ("Undo", ":material/undo:", strokes[:-1]),
            ("Clear", ":material/delete:", []),
        ):
            st.button(
                label, key=label.lower(), icon=icon, on_click=_redraw, args=(fewer,), disabled=not strokes
            )
    known = ", ".join(map(str, description["classes"]))
    st.caption(f"Draw with the mouse or a finger. This network knows: {escape_markdown(known)}.")
    return kept["seen"].get(len(strokes)) if strokes else None


def _redraw(strokes: list[Any]) -> None:
    """A new canvas with these strokes."""
    kept = st.session_state["strokes"]
    kept |= {"canvas": kept["canvas"] + 1, "start": strokes, "now": strokes}


def uploaded() -> bytes | None:
    """The bytes of a file; None before there is one."""
    file = st.file_uploader("An image of any size, colour or grey", type=None, key="file")
    if file is None:
        return None
    content = file.getvalue()
    st.session_state["file_name"] = file.name
    return content


def test_image(description: Mapping[str, Any]) -> np.ndarray:
    """A test image of the run's own data."""
    images, labels, classes = model_service.test_images(description["settings"])
    warn_of_data_mismatch(description["settings"])
    number = url_control(st.number_input, "Number", 0, len(images) - 1, 0, key="number")
    image_HWC = images[number]
    st.image(image_tiles.gray_image(image_HWC, CANVAS), width=CANVAS, alt=f"test image {number}")
    st.caption(f"It is: {escape_markdown(classes[labels[number]])}")
    return image_HWC[..., 0] if image_HWC.shape[2] == 1 else image_HWC


# What the network sees


def see(model: Any, description: Mapping[str, Any], source: Any, run: str) -> dict[str, Any] | None:
    """Pixels after the intake and after the normalization, and the network behind the statistics in force.

    None where the picture could not be used, which is said.
    """
    from trainlab.nn.normalization import with_statistics

    try:
        taken, x_1CHW = model_service.prepare_image(
            source, description, st.session_state.get("file_name", "the image")
        )
    except RequestError as error:
        st.error(escape_markdown(error))
        return None
    if isinstance(source, bytes):
        show_photo(taken)
    if taken.empty_reason or x_1CHW.amin() == x_1CHW.amax():
        st.warning(escape_markdown(f"No prediction: {taken.empty_reason or NOTHING_IN_IT}."))
        return None
    channels, height, width = x_1CHW.shape[1:]
    kind = type(model.normalization).__name__
    own = model.normalization.mean_C.tolist(), model.normalization.std_C.tolist()
    shown = st.container()
    changed = statistics(own, run) if kind in USES_STATISTICS else own
    inside = model if changed == own else with_statistics(model, *changed)
    normalized_1CHW = inside.get_submodule("normalization")(x_1CHW)
    with shown:
        show_seen(x_1CHW[0], normalized_1CHW[0])
        st.caption(
            f"{channels} × {height} × {width}: {escape_markdown('; '.join(taken.steps) or 'as it is')}."
        )
    values = normalized_1CHW
    st.caption(
        f"Normalized by {escape_markdown(FORMULAS.get(kind, kind))}: from {values.min():.2f} to "
        f"{values.max():.2f}, "
        f"mean {values.mean():.2f}, std {values.std(unbiased=False):.2f}."
    )
    return {"pixels": x_1CHW, "values": values, "model": inside, "own": model, "is_changed": changed != own}


def show_photo(taken: Any) -> None:
    """The photo as it was given, with what was cut out of it framed."""
    photo, box = taken.preview.copy(), None
    photo.thumbnail((2 * PHOTO_SIDE, 2 * PHOTO_SIDE))
    if taken.box is not None:
        share = photo.width / taken.preview.width
        left, top, right, bottom = (round(share * edge) for edge in taken.box)
        box = (top, left), (bottom, right)
    says = "Your picture, what is cut out framed" if box else "Your picture"
    photo_HWC = np.atleast_3d(np.asarray(photo))
    st.image(
        image_tiles.gray_image_with_box(photo_HWC, box, 2 * PHOTO_SIDE),
        width=PHOTO_SIDE,
        caption=says,
        alt=says,
    )


def show_seen(pixels_CHW: Any, values_CHW: Any) -> None:
    """The pixels, and beside them the numbers after normalization."""
    before, after = _pair()
    grey = pixels_CHW.permute(1, 2, 0).numpy()
    before.image(image_tiles.gray_image(grey, SEEN_SIDE), caption="pixels", width="stretch", alt="the pixels")
    heat = image_tiles.heatmap_image(values_CHW.mean(0).numpy(), SEEN_SIDE)
    after.image(heat, caption="normalized", width="stretch", alt="the pixels after normalization")


def _pair() -> tuple[Any, Any]:
    """Two places beside one another; one below the other where there is no room."""
    with st.container(horizontal=True, gap="small"):
        return st.container(width=HALF), st.container(width=HALF)


def statistics(own: tuple[list[float], list[float]], run: str) -> tuple[list[float], list[float]]:
    """Mean and std in force, each channel's: the network's own until they are edited."""
    names = [""] if len(own[0]) == 1 else [" red", " green", " blue"][: len(own[0])]
    keys = [f"{what}{name}.{run}" for what in ("mean", "std") for name in names]
    first = dict(zip(keys, [round(value, 4) for value in (*own[0], *own[1])], strict=True))
    columns = _pair()
    for number, key in enumerate(keys):
        label = key.removesuffix(f".{run}")
        lowest = 0.0001 if label.startswith("std") else -10.0
        url_control(
            columns[number // len(names)].number_input,
            label, lowest, 10.0, max(first[key], lowest), 0.05, "%.4f", key=key,
        )  # fmt: skip
    now = {key: st.session_state[key] for key in keys}
    edited = {key: now[key] for key in keys if now[key] != first[key]}
    st.button("Reset to its own", on_click=st.session_state.update, args=(first,), disabled=not edited)
    values = [
        now[key] if key in edited else value for key, value in zip(keys, (*own[0], *own[1]), strict=True)
    ]
    return values[: len(names)], values[len(names) :]


# What it says


def answer(model: Any, seen: Mapping[str, Any], classes: list[Any]) -> None:
    """The likeliest class, and a bar for each; behind edited statistics its own answer as a mark."""
    from trainlab.serving.predict import class_probabilities

    section_heading("What it says")
    names = [str(name) for name in classes]
    shares = class_probabilities(seen["model"], seen["pixels"])[0].tolist()
    own = class_probabilities(model, seen["pixels"])[0].tolist() if seen["is_changed"] else None
    best = max(range(len(shares)), key=shares.__getitem__)
    st.markdown(f"### {escape_markdown(names[best])} · {shares[best]:.1%}")
    if own is not None:
        its = max(range(len(own)), key=own.__getitem__)
        st.warning(
            f"Not the statistics that it was trained with: with its own it says "
            f"{escape_markdown(names[its])} "
            f"({own[its]:.1%}), marked in the bars."
        )
    show_chart(bar_charts.class_probability_bars(names, shares, own), f"{names[best]}: {shares[best]:.1%}")


def layers(seen: Mapping[str, Any]) -> None:
    """The maps of each convolution on the way."""
    from trainlab.models import feature_maps

    views = feature_maps(seen["model"].network, seen["values"])
    section_heading("On the way")
    if not views:
        st.caption("This network is dense: it has no convolutions, and no maps to show.")
        return
    activated = url_control(
        st.toggle,
        "after the activation",
        True,
        key="activated",
        help="off: what the convolution itself gives",
    )
    st.caption(
        "What each convolution makes of it, first to last, at most 16 maps each. Yellow is much and violet "
        "nothing; where a map has negative values, orange is above zero and blue below."
    )
    for first in range(0, len(views), 2):  # in rows: on a telephone they stand in their order
        for column, view in zip(st.columns(2, gap="medium"), views[first : first + 2], strict=False):
            maps_Fhw = (view.a_Fhw if activated else view.z_Fhw)[:MAPS_SHOWN].float().numpy()
            with column:
                one_layer(view, maps_Fhw)


def one_layer(view: Any, maps_Fhw: np.ndarray) -> None:
    """A convolution's name, size and maps."""
    count, height, width = view.z_Fhw.shape
    field = f", each unit sees {' × '.join(map(str, view.field.size))} pixels" if view.field else ""
    st.markdown(f"**{escape_markdown(view.name)}** · {count} maps of {height} × {width}{field}")
    sheet = image_tiles.montage(maps_Fhw, MAPS_IN_A_ROW, MAP_SIDE)
    st.image(sheet, width="stretch", alt=f"{len(maps_Fhw)} maps of {view.name}")


with show_errors():
    page()
