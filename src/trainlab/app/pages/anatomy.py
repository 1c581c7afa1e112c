"""Anatomy: what a network is made of, layer by layer, as its depth and width are changed."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from trainlab.app import layer_diagrams, model_service
from trainlab.app.layer_diagrams import format_count
from trainlab.app.widgets import (
    CONTROL_WIDTH,
    escape_markdown,
    page_heading,
    section_heading,
    show_command,
    show_errors,
    url_control,
)
from trainlab.config.command_line import trainlab_command_line
from trainlab.config.options import catalogue

if TYPE_CHECKING:
    from trainlab.models import LayerRow

WIDTHS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 128, 200, 256, 512)
SIDES = (8, 12, 16, 20, 24, 28, 32, 48, 64, 96, 128, 160, 192, 224)
CLASSES = (2, 10, 100, 1000)
FIRST_MODEL = "plain_cnn"
DEFAULT_IMAGE = {"image_size": 32, "channels": 1, "num_classes": 10}


def page() -> None:
    """Controls, totals, the layers as a picture, the command; then dense, local and convolution."""
    page_heading("Anatomy", "What is a network made of, and what does each layer cost?")
    overrides, shape_CHW = controls()
    with show_errors():
        rows = model_service.layer_table(model_service.compose_settings(tuple(overrides)), shape_CHW)
        show_totals(rows)
        label = "show activations, norm layers and reshaping too"
        show_all: bool = url_control(st.toggle, label, False, key="idle")
        shown = rows if show_all else [row for row in rows if row.kernel or row.parameters]
        st.html(layer_diagrams.layer_table_html(shown))
        st.caption(
            "The squares are maps to scale, a sheet more for each factor of four in their number. Sees: the "
            "receptive field of one unit, in pixels of the image; it may reach into the padding. "
            "Bars: share of the largest layer, not logarithmic."
        )
        show_command(trainlab_command_line("anatomy", *overrides))
    side_by_side()


def controls() -> tuple[list[str], tuple[int, int, int]]:
    """The overrides of the controls' values, and the image's shape C, H, W."""
    models = list(catalogue("model"))
    lines = [f"**{name}**: {escape_markdown(option.line)}" for name, option in catalogue("model").items()]
    with st.container(border=True, horizontal=True, gap="small"):
        model: str = url_control(
            st.selectbox, "model", models, models.index(FIRST_MODEL), key="model", width=CONTROL_WIDTH,
            help="  \n".join(lines),
        )  # fmt: skip
        overrides = [f"model={model}"]
        defaults = model_service.compose_settings((f"model={model}",))
        depths = model_service.model_depths(model)
        overrides += _size_override("depth", model, depths, defaults.depth)
        overrides += _size_override("width", model, WIDTHS, defaults.width)
        norms = [name for name, option in catalogue("norm_layer").items() if not option.alias_of]
        norm: str = url_control(
            st.selectbox, "norm layer", norms, norms.index("none"), key="norm_layer", width=CONTROL_WIDTH
        )
        overrides += [f"norm_layer={norm}"] if norm != "none" else []
        side: int = url_control(
            st.select_slider, "image (pixels)", SIDES, 32, key="side", width=CONTROL_WIDTH
        )
        channels: int = url_control(st.selectbox, "channels", (1, 3), key="channels", width=CONTROL_WIDTH)
        classes: int = url_control(
            st.select_slider, "classes", CLASSES, 10, key="classes", width=CONTROL_WIDTH
        )
    image = {"image_size": side, "channels": channels, "num_classes": classes}
    overrides += [f"data.{key}={value}" for key, value in image.items() if value != DEFAULT_IMAGE[key]]
    return overrides, (channels, side, side)


def _size_override(axis: str, model: str, values: Sequence[int], default: int | None) -> list[str]:
    """The control of depth or width, and its override; none where the model does not have the axis."""
    if default is None:
        return []
    key = f"{axis}_{model}"
    size: int
    if values:
        options = sorted({*values, default})
        size = url_control(st.select_slider, axis, options, default, key=key, width=CONTROL_WIDTH)
    else:  # a user's model that lists no depths
        size = url_control(st.number_input, axis, 1, None, default, key=key, width=CONTROL_WIDTH)
    return [f"{axis}={size}"] if size != default else []


def show_totals(rows: Sequence["LayerRow"]) -> None:
    """The network in four numbers."""
    weight_layers = sum(1 for row in rows if row.multiply_adds)
    parameters, products = sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)
    outputs = sum(math.prod(row.out_shape) for row in rows)
    mebibytes = 4 * parameters / 2**20
    totals = (
        ("parameters", format_count(parameters), f"{parameters:,}: {mebibytes:.2f} MiB in float32"),
        ("multiply-adds", format_count(products), f"{products:,} for one image, forward"),
        ("weight layers", str(weight_layers), "layers that multiply"),
        ("activations", format_count(outputs), f"{outputs:,} numbers, kept for the backward pass"),
    )
    with st.container(horizontal=True, gap="large"):
        for name, value, tooltip in totals:
            st.metric(name, value, help=tooltip, width=140)


def side_by_side() -> None:
    """One layer of three types: dense, a kernel for each position, one kernel for all positions."""
    section_heading("Dense, local, convolution")
    st.caption(
        "One layer from the same image to maps of the same size, three ways. The lengths of the bars are "
        "logarithmic: a bar half as long is not half as much, but the square root of it."
    )
    sliders = (
        ("image (pixels) ", SIDES, 28, "layer_side"),
        ("channels ", (1, 3, 8, 16, 64), 1, "layer_channels"),
        ("maps", (1, 2, 4, 6, 8, 16, 32, 64), 6, "layer_maps"),
        ("kernel", (1, 3, 5, 7, 9, 11), 5, "layer_kernel"),
    )
    with st.container(border=True, horizontal=True, gap="small"):
        side, channels, maps, kernel = (
            url_control(st.select_slider, label, options, default, key=key, width=CONTROL_WIDTH)
            for label, options, default, key in sliders
        )
    with show_errors():
        layers = model_service.layer_type_costs((channels, side, side), maps, kernel)
        st.html(layer_diagrams.layer_comparison_html(layers))
        dense, local, shared = (layer.parameters for layer in layers)
        st.markdown(
            f"Looking at {kernel} × {kernel} pixels and not at all {side} × {side} takes the parameters from "
            f"**{dense:,}** to **{local:,}** ({dense / local:,.1f} times fewer); multiply-adds fall alike. "
            f"Sharing the kernel over all places leaves **{shared:,}** ({local / shared:,.0f} times fewer "
            "again), and saves not one multiply-add."
        )


with show_errors():
    page()
