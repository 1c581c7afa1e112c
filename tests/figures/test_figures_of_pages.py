"""Figures that the app draws: what they show of given numbers, and what they make of strange ones."""

import math

import numpy as np
import pytest

from trainlab.figures import bar_charts, image_tiles, layer_profiles
from trainlab.figures.style import PageChart


def values(chart):
    """The data of a layered chart, wherever Altair has put them: the longest of its tables."""
    return max(tables(chart), key=len)


def tables(chart):
    """Every table of rows in a chart."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            if "values" in node and node["values"] and isinstance(node["values"][0], dict):
                found.append(node["values"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(chart.to_dict())
    return found


def test_layers_are_matched_by_name_and_what_a_log_axis_cannot_show_is_left_out():
    theory = [{"name": n, "gradient": v} for n, v in (("a", 1e-40), ("b", 0.5), ("c", None))]
    measured = [{"name": n, "gradient": v} for n, v in (("a", 0.0), ("b", 0.4), ("c", math.nan))]
    figure = layer_profiles.forecast_profile_plot(theory, measured, "gradient")
    rows = [row for table in tables(figure) for row in table if "which" in row]
    assert [(r["which"], r["layer"], r["value"]) for r in rows] == [
        ("theory", 1, layer_profiles.LOG_AXIS_MIN), ("theory", 2, 0.5), ("measured", 2, 0.4)
    ]  # fmt: skip


def test_no_layer_of_a_chart_is_empty():
    """Vega draws an axis without ends for such a layer, and warns of an infinite extent."""
    theory = [{"name": "a", "gradient": 0.5}]
    figure = layer_profiles.forecast_profile_plot(theory, [], "gradient")
    assert all(tables(figure)) and len(figure.to_dict()["layer"]) == 2, "the line, and the rule at one"
    figure = layer_profiles.theory_profile_plot({"run": [1.0, 2.0]}, {"run": []}, "size", "Does it hold?")
    assert len(figure.to_dict()["layer"]) == 1, "what was measured, and no empty theory"


@pytest.mark.parametrize("quantity", layer_profiles.QUANTITIES)
def test_a_chart_of_nothing_and_of_one_layer_can_be_drawn(quantity):
    import vl_convert

    for theory in ([], [{"name": "only", "scale": 1.0, "correlation": 0.2, "gradient": 1.0}]):
        chart = PageChart(layer_profiles.forecast_profile_plot(theory, [], quantity).properties(width=200))
        assert "<svg" in vl_convert.vegalite_to_svg(chart.to_dict())


def test_of_many_classes_the_likeliest_are_shown_in_their_order():
    shares = np.linspace(1, 2, 100)[::-1] / 150
    rows = values(bar_charts.class_probability_bars([str(i) for i in range(100)], shares.tolist()))
    assert [row["class"] for row in rows] == [str(i) for i in range(bar_charts.MAX_CLASSES)]
    assert [row["best"] for row in rows] == [True] + [False] * (bar_charts.MAX_CLASSES - 1)


def test_pixels_are_enlarged_in_whole_steps():
    image_HWC = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    large = image_tiles.gray_image(image_HWC, 40)
    assert large.shape == (30, 40, 4) and (large[..., 3] == 255).all()
    assert (large[::10, ::10, 0] == image_HWC[..., 0]).all()


def test_sign_is_colour_and_what_is_not_finite_is_black():
    rgba = image_tiles.apply_colormap(np.array([[-2.0, 0.0, 2.0, np.nan]]))
    below, zero, above, lost = rgba[0, :, :3].tolist()
    assert zero == [255, 255, 255] and lost == [0, 0, 0]
    assert below[2] > below[0] and above[0] > above[2]
    assert image_tiles.apply_colormap(np.zeros((2, 2)))[0, 0, :3].tolist() == [68, 1, 84]


def test_a_sheet_of_maps_has_one_scale_and_leaves_gaps():
    maps_FHW = np.stack([np.ones((2, 2)), np.full((2, 2), 0.5), np.zeros((2, 2))])
    sheet = image_tiles.montage(maps_FHW, 2, 20)
    assert sheet.shape == (42, 42, 4) and sheet[:, 20:22, 3].max() == 0
    assert sheet[0, 0, 0] > sheet[0, 30, 0] and sheet[30, 30, 3] == 0, "a fourth place stays empty"
    kernels = image_tiles.kernel_montage(np.random.default_rng(0).normal(size=(5, 3, 3, 3)), 8, 30)
    assert kernels.shape == (30, 8 * 32 - 2, 4)
