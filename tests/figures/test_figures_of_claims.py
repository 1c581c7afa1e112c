"""Pictures: they are drawn without a browser, say what they show, and refuse to show nothing."""

import polars as pl
import pytest

pytest.importorskip("altair")

from trainlab.errors import RequestError
from trainlab.figures import bar_charts, interval_plots, layer_profiles, learning_curves, signal_heatmap
from trainlab.figures.curve_panels import curve_panels_plot
from trainlab.figures.style import save_figure, to_svg

VALUES = {
    "relu / kaiming": [0.9, 0.92, 0.91],
    "relu / glorot": [0.1, 0.1, 0.12],
    "tanh / glorot": [0.8, 0.9, 0.7],
}
CELLS = [
    {"step": str(step), "layer": name, "decade": -step - i}
    for step in (0, 5)
    for i, name in enumerate(("c1", "c2"))
]
FINDING = {"estimate": 0.1, "low": 0.05, "high": 0.15, "bound": 0.02, "verdict": "supported"}
FACTORS = ("activation", "initializer")
CHARTS = {
    "arms": (
        interval_plots.group_means_plot(VALUES, "Arms", unit="share", name="test accuracy"),
        ["test accuracy (%)", "91.0 %"],
    ),
    "interaction": (
        interval_plots.interaction_plot(VALUES, FACTORS, "Pair", unit="share", name="accuracy"),
        ["activation", "initializer", "kaiming", "accuracy (%)"],
    ),
    "heat_map": (
        signal_heatmap.signal_heatmap_grid({"A": CELLS}, "weight_grad_norm", "Where"),
        ["training step", "log10 of weight gradient norm"],
    ),
    "by_depth": (
        layer_profiles.theory_profile_plot({"A": [1.0, 0.5]}, {"A": [1.0, 0.4]}, "std of z", "Depth"),
        ["layer (1 is the first)", "std of z"],
    ),
    "layer_bars": (
        bar_charts.parameter_bars([{"layer": "C1", "parameters": 156, "shape": "6×28×28"}], "Bars"),
        ["parameters (log scale)", "C1"],
    ),
    "forest": (
        interval_plots.forest_plot([{"name": "a claim", **FINDING}], "Forest"),
        ["a claim", "supported", "tick: the bound"],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_names_its_axes_and_what_it_shows(name, tmp_path):
    chart, words = CHARTS[name]
    text = to_svg(chart)
    for word in words:
        assert word in text
    assert save_figure(chart, tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_a_bar_beside_a_mean_is_the_range_of_its_seeds():
    """It was a t interval, beside the interval of the test: two intervals of one thing on a page."""
    for chart in (
        interval_plots.group_means_plot(VALUES, "Arms", unit="share"),
        interval_plots.interaction_plot(VALUES, FACTORS, "Pair", unit="share"),
    ):
        drawn = chart.to_dict()
        datasets = [layer["data"]["values"] for layer in drawn["layer"] if "data" in layer]
        datasets.append(drawn.get("data", {}).get("values", []))
        bars = [row for rows in datasets for row in rows if "low" in row]
        assert {(round(bar["low"], 3), round(bar["high"], 3)) for bar in bars} == {
            (0.9, 0.92), (0.1, 0.12), (0.7, 0.9)
        }  # fmt: skip
        assert max(map(len, datasets)) == sum(map(len, VALUES.values()))  # a dot a seed
        assert "from the least to the largest" in drawn["title"]["subtitle"][-1]


def test_a_band_over_seeds_says_what_it_is():
    columns = {"epoch": [1, 2], "setting": ["A", "A"], "mean": [0.1, 0.4], "low": [0.1, 0.3]}
    band = pl.DataFrame({**columns, "high": [0.2, 0.5]})
    line = pl.DataFrame({**columns, "low": columns["mean"], "high": columns["mean"]})
    for table, says in ((band, True), (line, False)):
        text = to_svg(learning_curves.learning_curves_plot(table, "val/acc", "Curves"))
        assert (learning_curves.WHAT_BANDS_ARE in text) is says


def test_arms_of_an_interaction_have_two_names():
    with pytest.raises(RequestError, match="expected a name like"):
        interval_plots.interaction_plot({"relu": [1.0]}, ("a", "b"), "t")


def test_names_of_lines_that_end_together_stand_apart_and_in_order():
    places = learning_curves.dodge_labels({"a": 0.10, "b": 0.11, "c": 0.9, "d": 0.105})
    assert sorted(places, key=places.__getitem__) == ["a", "d", "b", "c"]
    assert places["a"] == 0.10 and places["c"] == 0.9
    assert places["b"] - places["d"] == pytest.approx(learning_curves.LINE_OF_TEXT)


def test_nothing_measured_is_an_error():
    with pytest.raises(RequestError, match="no run has measured"):
        signal_heatmap.signal_heatmap_grid({"A": []}, "dead", "t")
    with pytest.raises(RequestError, match="no run has measured"):
        layer_profiles.theory_profile_plot({"A": []}, {"A": [1.0]}, "std", "t")


def test_a_gradient_of_zero_is_drawn_as_the_smallest_decade():
    assert signal_heatmap.decade(0.0) == signal_heatmap.MIN_DECADE
    assert signal_heatmap.decade(1e-3) == pytest.approx(-3)


def test_training_and_validation_curves_stand_in_one_panel_an_arm():
    columns = {"epoch": [1, 2], "mean": [0.1, 0.4], "low": [0.1, 0.3], "high": [0.2, 0.5]}
    tables = {metric: pl.DataFrame(columns) for metric in ("train/acc", "val/acc")}
    text = to_svg(curve_panels_plot({"without": tables, "with BatchNorm": tables}, "Repair", chance=0.1))
    for word in ("without", "with BatchNorm", "training", "validation", "chance", "accuracy"):
        assert f">{word}<" in text
