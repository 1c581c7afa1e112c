"""Anatomy: what a network is made of, layer by layer, as its depth and width are changed."""

from typing import Any

import streamlit as st

from trainlab.app import layer_diagrams, model_service
from trainlab.app.layer_diagrams import format_count
from trainlab.app.widgets import (
    escape_markdown,
    page_heading,
    section_heading,
    show_command,
    show_errors,
    url_control,
)
from trainlab.config.command_line import trainlab_command_line
from trainlab.config.options import catalogue

DEPTHS = {
    "plain_cnn": range(1, 49), "mlp": range(1, 49), "locally_connected": range(1, 7),
    "resnet": range(3, 55, 3), "vgg": (11, 13, 16, 19),
}  # fmt: skip
WIDTHS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 128, 200, 256, 512)
SIDES = (8, 12, 16, 20, 24, 28, 32, 48, 64, 96, 128, 160, 192, 224)
FIRST_MODEL = "plain_cnn"
WIDTH = 156
"""Of a control, in pixels: two beside one another on a telephone."""


def page() -> None:
    """Controls, totals, the layers as a picture, the command; then dense, local and convolution."""
    page_heading("Anatomy", "What is a network made of, and what does each layer cost?")
    overrides, shape_CHW = controls()
    with show_errors():
        rows = model_service.layer_table(model_service.compose_settings(tuple(overrides)), shape_CHW)
        totals(rows)
        idle = url_control(st.toggle, "show activations, norm layers and reshaping too", False, key="idle")
        st.html(
            layer_diagrams.layer_table_html(
                rows if idle else [row for row in rows if row["kernel"] or row["parameters"]]
            )
        )
        st.caption(
            "The squares are maps to scale, a sheet more for each factor of four in their number. Sees: the "
            "receptive field of one unit, in pixels of the image; it may reach into the padding. "
            "Bars: share of the largest layer, not logarithmic."
        )
        show_command(trainlab_command_line("anatomy", *overrides))
    side_by_side()


def controls() -> tuple[list[str], tuple[int, int, int]]:
    """The overrides that the controls stand for, and the image's shape C, H, W."""
    models = list(catalogue("model"))
    with st.container(border=True, horizontal=True, gap="small"):
        model = url_control(
            st.selectbox, "model", models, models.index(FIRST_MODEL), key="model", width=WIDTH,
            help="  \n".join(
f"**{name}**: {escape_markdown(o.line)}" for name, o in catalogue("model").items()
),
        )  # fmt: skip
        own = model_service.compose_settings((f"model={model}",))
        chosen: dict[str, Any] = {"model": model}
        for axis, values in (("depth", DEPTHS.get(model, ())), ("width", WIDTHS)):
            if own[axis] is not None:
                options = sorted({*values, own[axis]})
                chosen[axis] = url_control(
                    st.select_slider, axis, options, own[axis], key=f"{axis}_{model}", width=WIDTH
                )
        norms = [name for name, option in catalogue("norm_layer").items() if not option.alias_of]
        chosen["norm_layer"] = url_control(
            st.selectbox, "norm layer", norms, norms.index("none"), key="norm_layer", width=WIDTH
        )
        side = url_control(st.select_slider, "image (pixels)", SIDES, 32, key="side", width=WIDTH)
        colours = url_control(st.selectbox, "channels", (1, 3), key="channels", width=WIDTH)
        classes = url_control(st.select_slider, "classes", (2, 10, 100, 1000), 10, key="classes", width=WIDTH)
    own |= {"norm_layer": "none"}
    overrides = [f"{key}={value}" for key, value in chosen.items() if key == "model" or value != own[key]]
    asked = {"image_size": (side, 32), "channels": (colours, 1), "num_classes": (classes, 10)}
    overrides += [f"data.{key}={value}" for key, (value, usual) in asked.items() if value != usual]
    return overrides, (colours, side, side)


def totals(rows: list[dict[str, Any]]) -> None:
    """The network in four numbers."""
    weights = sum(1 for row in rows if row["multiply_adds"])
    parameters, products = (sum(row[key] for row in rows) for key in ("parameters", "multiply_adds"))
    outputs = sum(_count(row["out_shape"]) for row in rows)
    said = (
        (
            "parameters",
            format_count(parameters),
            f"{parameters:,}: {4 * parameters / 2**20:.2f} MiB in float32",
        ),
        ("multiply-adds", format_count(products), f"{products:,} for one image, forward"),
        ("weight layers", str(weights), "layers that multiply"),
        (
            "activations",
            format_count(outputs),
            f"{outputs:,} numbers for one image, kept for the backward pass",
        ),
    )
    with st.container(horizontal=True, gap="large"):
        for name, value, says in said:
            st.metric(name, value, help=says, width=140)


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def side_by_side() -> None:
    """One layer three ways: all pixels to all units, a kernel for each place, one kernel for all places."""
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
            url_control(st.select_slider, label, options, first, key=key, width=WIDTH)
            for label, options, first, key in sliders
        )
    with show_errors():
        ways = model_service.layer_type_costs((channels, side, side), maps, kernel)
        st.html(layer_diagrams.layer_comparison_html(ways))
        dense, local, shared = (way["parameters"] for way in ways)
        st.markdown(
            f"Looking at {kernel} × {kernel} pixels and not at all {side} × {side} takes the parameters from "
            f"**{dense:,}** to **{local:,}** ({dense / local:,.1f} times fewer); multiply-adds fall alike. "
            f"Sharing the kernel over all places leaves **{shared:,}** ({local / shared:,.0f} times fewer "
            "again), and saves not one multiply-add."
        )


with show_errors():
    page()
