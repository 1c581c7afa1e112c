"""The parts of the page Inside a run that need its network: maps and kernels, and its worst mistakes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from trainlab.app import networks
from trainlab.app.shell import chart, control, plain, plainly
from trainlab.diagnosis.of_run import as_matrix
from trainlab.figures import confusion, pixels
from trainlab.runs import RunFolder
from trainlab.runs import confusion as counts_of

MAPS, MAP_COLUMNS, MAP_SIDE = 16, 8, 64
WORST, IMAGE_SIDE, MISTAKE_SIDE = 12, 140, 96
FRAMED_SIDE = 240
JUDGED = 2_000
"""Test images on which mistakes are looked for: enough for the worst, few enough for a slow network."""


def sees(runs: Sequence[RunFolder]) -> None:
    """What each convolution makes of a test image: maps, kernels, and how far a unit looks."""
    number = control(st.number_input, "Test image", 0, None, 0, key="image")
    _side_by_side(runs, lambda run: _maps(run, int(number)))


def _maps(run: RunFolder, number: int) -> None:
    from trainlab.models import feature_maps

    model, description = networks.trained(run.path)
    images_NHWC, labels_N, classes = networks.test_images(description["settings"])
    say_change_of_data(description["settings"])
    number %= len(images_NHWC)
    image_HWC = np.array(images_NHWC[number])
    x_1CHW = networks.batch_of(image_HWC)
    views = feature_maps(model.network, model.normalization(x_1CHW))
    if not views:
        st.info("This network is dense: it has no convolutions, and no maps to show.")
        return
    names = [view.name for view in views]
    layer = control(st.selectbox, "Convolution", names, len(names) // 2, key=f"layer.{run.run_id}")
    view = views[names.index(layer)]
    _image_and_field(view, image_HWC, plain(classes[labels_N[number]]), run.run_id)
    count, height, width = view.z_Fhw.shape
    st.markdown(f"**Maps** after the activation: {min(count, MAPS)} of {count}, {height} × {width}")
    sheet = pixels.montage(view.a_Fhw[:MAPS].float().numpy(), MAP_COLUMNS, MAP_SIDE)
    st.image(sheet, width="stretch", alt=f"Maps of {view.name}")
    if view.kernels_FCkk is None:
        st.caption("Locally connected: a kernel for every position, too many to show.")
        return
    shape = " × ".join(map(str, view.kernels_FCkk.shape[1:]))
    st.markdown(f"**Kernels** {shape}: mean over channels; orange above zero, blue below")
    kernels = pixels.kernel_montage(view.kernels_FCkk[:MAPS].float().numpy(), MAP_COLUMNS, MAP_SIDE)
    st.image(kernels, width="stretch", alt=f"Kernels of {view.name}")


def _image_and_field(view: Any, image_HWC: np.ndarray, name: str, key: str) -> None:
    """The image with the receptive field of one unit framed on it, and where that unit lies."""
    height, width = view.z_Fhw.shape[1:]
    left, right = st.columns([1, 1.4], vertical_alignment="center")
    with right:
        row = _place("Row of the unit", height, f"row.{key}")
        column = _place("Column", width, f"column.{key}")
        seen = view.seen_by((row, column), image_HWC.shape[:2])
        if seen is None:
            st.caption("How far a unit looks is not known here.")
        else:
            (top, start), (bottom, end) = seen
            size = " × ".join(map(str, view.field.size))
            st.caption(
                f"A unit of this layer sees {size} pixels of the image (padding included): here rows "
                f"{top} to {bottom - 1} and columns {start} to {end - 1}, framed."
            )
    with left, st.container(key=f"framed.{key}"):
        framed = pixels.framed(image_HWC, seen, FRAMED_SIDE)
        says = "The image with the receptive field"
        st.image(framed, width="stretch", caption=f"test image: {name}", alt=says)


def _place(label: str, count: int, key: str) -> int:
    """A row or column of a map; where there is one only, there is nothing to choose."""
    if count == 1:
        return 0
    if st.session_state.get(key, 0) >= count:  # the layer before had larger maps
        st.session_state[key] = count // 2
    return control(st.slider, label, 0, count - 1, count // 2, key=key)


def say_change_of_data(settings: Mapping[str, Any]) -> None:
    """Where the data that are there are not those of the run: its test images are not what is shown."""
    if change := networks.change_of_data(settings):
        st.warning(plain(f"Not the images of this run. {change}"))


def mistakes(runs: Sequence[RunFolder]) -> None:
    """The confusion matrix of the test, and the images on which the network was surest and wrong."""
    _side_by_side(runs, _mistakes)


def _mistakes(run: RunFolder) -> None:
    counts_KK = as_matrix(counts_of(run.path))
    if counts_KK is None:
        st.info("This run has not been tested yet: there is no confusion matrix.")
        return
    drawn = st.container()
    classes = [str(k) for k in range(len(counts_KK))]
    with plainly():
        _model, description = networks.trained(run.path)
        classes = [str(name) for name in description["classes"]]
        found, judged, images_NHWC = networks.worst_mistakes(run.path, JUDGED)
        say_change_of_data(description["settings"])
        st.markdown(f"**Surest and wrong**, of the first {judged:,} test images")
        if not found:
            st.caption("It made no mistake on them.")
        with st.container(horizontal=True, gap="small"):  # as many beside one another as there is room
            for mistake in found[:WORST]:
                says = f"{classes[mistake.true]} as {classes[mistake.predicted]} ({mistake.p_predicted:.0%})"
                picture = pixels.grey(np.array(images_NHWC[mistake.index]), IMAGE_SIDE)
                st.image(picture, width=MISTAKE_SIDE, caption=plain(says), alt=f"Taken: {says}")
    right = sum(row[k] for k, row in enumerate(counts_KK)) / sum(map(sum, counts_KK))
    with drawn, plainly():
        title = "Which classes are taken for which?"
        chart(confusion.figure(counts_KK, classes, title, f"{right:.1%} on the diagonal"), title)


def _side_by_side(runs: Sequence[RunFolder], draw: Any) -> None:
    for column, run in zip(st.columns(len(runs)), runs, strict=True):
        with column, plainly():
            if len(runs) > 1:
                st.caption(plain(run.run_id))
            draw(run)
