"""Parts of the page Inside a run that need its network: feature maps of a test image, and top errors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from trainlab.app import model_service, run_cache
from trainlab.app.model_service import RunTestImages
from trainlab.app.widgets import escape_markdown, show_chart, show_errors, url_control
from trainlab.diagnosis import run_diagnosis
from trainlab.figures import confusion_matrix, image_tiles
from trainlab.runs import RunFolder
from trainlab.stats import confusion

if TYPE_CHECKING:
    from trainlab.models.feature_maps import ConvolutionView

MAX_MAPS, MAP_COLUMNS, MAP_SIDE = 16, 8, 64
MAX_ERRORS, IMAGE_SIDE, ERROR_SIDE = 12, 140, 96
FRAMED_SIDE = 240
IMAGES_EVALUATED = 2_000
"""Test images that are searched for errors: enough for the worst, few enough for a slow network."""


def feature_maps_view(runs: Sequence[RunFolder]) -> None:
    """What each convolution makes of a test image: maps, kernels, and how far a unit looks."""
    number = url_control(st.number_input, "Test image", 0, None, 0, key="image")
    _side_by_side(runs, lambda run: _show_feature_maps(run, int(number)))


def _show_feature_maps(run: RunFolder, number: int) -> None:
    from trainlab.models import feature_maps

    trained = model_service.load_trained(run.path)
    model, images = trained.model, model_service.test_images(trained.settings)
    warn_of_data_mismatch(images)
    number %= len(images.x_NHWC)
    image_HWC = np.array(images.x_NHWC[number])
    x_1CHW = model_service.image_to_batch(image_HWC)
    views = feature_maps(model.network, model.normalization(x_1CHW))
    if not views:
        st.info("This network is dense: it has no convolutions, and no maps to show.")
        return
    names = [view.name for view in views]
    layer = url_control(st.selectbox, "Convolution", names, len(names) // 2, key=f"layer.{run.run_id}")
    view = views[names.index(layer)]
    label = escape_markdown(images.classes[images.labels_N[number]])
    _show_receptive_field(view, image_HWC, label, run.run_id)
    count, height, width = view.z_Fhw.shape
    st.markdown(f"**Maps** after the activation: {min(count, MAX_MAPS)} of {count}, {height} × {width}")
    sheet = image_tiles.montage(view.a_Fhw[:MAX_MAPS].float().numpy(), MAP_COLUMNS, MAP_SIDE)
    st.image(sheet, width="stretch", alt=f"Maps of {view.name}")
    if view.kernels_FCkk is None:
        st.caption("Locally connected: a kernel for every position, too many to show.")
        return
    shape = " × ".join(map(str, view.kernels_FCkk.shape[1:]))
    st.markdown(f"**Kernels** {shape}: mean over channels; orange above zero, blue below")
    kernels = image_tiles.kernel_montage(view.kernels_FCkk[:MAX_MAPS].float().numpy(), MAP_COLUMNS, MAP_SIDE)
    st.image(kernels, width="stretch", alt=f"Kernels of {view.name}")


def _show_receptive_field(view: "ConvolutionView", image_HWC: np.ndarray, label: str, key: str) -> None:
    """The image with the receptive field of one unit framed, and sliders for the unit's position."""
    height, width = view.z_Fhw.shape[1:]
    left, right = st.columns([1, 1.4], vertical_alignment="center")
    with right:
        row = _position_slider("Row of the unit", height, f"row.{key}")
        column = _position_slider("Column", width, f"column.{key}")
        box = view.pixels_seen_by((row, column), image_HWC.shape[:2])
        if box is None or view.field is None:
            st.caption("How far a unit looks is not known here.")
        else:
            (top, start), (bottom, end) = box
            size = " × ".join(map(str, view.field.size))
            st.caption(
                f"A unit of this layer sees {size} pixels of the image (padding included): here rows "
                f"{top} to {bottom - 1} and columns {start} to {end - 1}, framed."
            )
    with left, st.container(key=f"framed.{key}"):
        framed = image_tiles.gray_image_with_box(image_HWC, box, FRAMED_SIDE)
        alt = "The image with the receptive field"
        st.image(framed, width="stretch", caption=f"test image: {label}", alt=alt)


def _position_slider(label: str, count: int, key: str) -> int:
    """A row or column of a map; no slider where there is only one."""
    if count == 1:
        return 0
    if st.session_state.get(key, 0) >= count:  # the layer before had larger maps
        st.session_state[key] = count // 2
    return url_control(st.slider, label, 0, count - 1, count // 2, key=key)


def warn_of_data_mismatch(images: RunTestImages) -> None:
    """A warning where the data on disk are not those of the run: other test images are shown."""
    if images.mismatch:
        st.warning(escape_markdown(f"Not the images of this run. {images.mismatch}"))


def errors_view(runs: Sequence[RunFolder]) -> None:
    """The confusion matrix of the test, and the errors of which the network was most certain."""
    _side_by_side(runs, _show_top_errors)


def _show_top_errors(run: RunFolder) -> None:
    counts_KK = run_diagnosis.confusion_matrix(run_cache.read_confusion(run.path))
    if counts_KK is None:
        st.info("This run has not been tested yet: there is no confusion matrix.")
        return
    matrix_slot = st.container()
    classes = [str(k) for k in range(len(counts_KK))]
    with show_errors():
        trained = model_service.load_trained(run.path)
        classes = trained.classes
        errors, evaluated, images_NHWC = model_service.top_errors(run.path, IMAGES_EVALUATED)
        warn_of_data_mismatch(model_service.test_images(trained.settings))
        st.markdown(f"**Surest and wrong**, of the first {evaluated:,} test images")
        if not errors:
            st.caption("It made no mistake on them.")
        with st.container(horizontal=True, gap="small"):
            for error in errors[:MAX_ERRORS]:
                label = f"{classes[error.true]} as {classes[error.predicted]} ({error.p_predicted:.0%})"
                image = image_tiles.gray_image(np.array(images_NHWC[error.index]), IMAGE_SIDE)
                st.image(image, width=ERROR_SIDE, caption=escape_markdown(label), alt=f"Taken: {label}")
    accuracy = confusion.accuracy(counts_KK)
    with matrix_slot, show_errors():
        title = "Which classes are taken for which?"
        subtitle = f"{accuracy:.1%} on the diagonal"
        show_chart(confusion_matrix.confusion_matrix_plot(counts_KK, classes, title, subtitle), title)


def _side_by_side(runs: Sequence[RunFolder], draw: Callable[[RunFolder], None]) -> None:
    for column, run in zip(st.columns(len(runs)), runs, strict=True):
        with column, show_errors():
            if len(runs) > 1:
                st.caption(escape_markdown(run.run_id))
            draw(run)
