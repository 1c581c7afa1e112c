"""Heat maps beside one another can be compared: one scale of colour for all."""

import polars as pl
import pytest

from trainlab.figures import signal_heatmap

COLUMNS = ("step", "layer", "quantity", "value")


def signals(*sizes):
    rows = [(0, f"layer {i}", "activation_std", size) for i, size in enumerate(sizes)]
    return pl.DataFrame(rows, COLUMNS, orient="row")


def domain(chart):
    return chart.to_dict()["layer"][0]["encoding"]["color"]["scale"].get("domain")


def test_two_runs_are_drawn_on_the_scale_of_both():
    small, large = signals(1e-8, 1e-6), signals(1e-2, 1.0)
    both = signal_heatmap.decade_range([small, large], "activation_std")
    assert both == pytest.approx((-8, 0))
    for run in (small, large):
        panel = signal_heatmap.signal_heatmap(run, "activation_std", "Activation", decades=both)
        assert domain(panel) == pytest.approx([-8, 0])


def test_a_run_alone_has_its_own_scale_and_what_none_measured_has_none():
    assert domain(signal_heatmap.signal_heatmap(signals(0.1, 1.0), "activation_std", "Activation")) == [-1, 0]
    assert signal_heatmap.decade_range([signals(1.0)], "dead") is None


@pytest.mark.parametrize("sizes", [(1.0, 1.0), (1.0, 1.0001), (0.9, 1.1)])
def test_what_is_nearly_equal_looks_equal(sizes):
    """A scale over less than a decade made stripes of rounding: in the middle of one they are one colour."""
    low, high = signal_heatmap.decade_range([signals(*sizes)], "activation_std")
    assert high - low == pytest.approx(1)
    assert (low + high) / 2 == pytest.approx(0, abs=0.05)
    figure = signal_heatmap.signal_heatmap_grid(
        {"one": signal_heatmap.signal_cells(signals(*sizes), "activation_std")}, "activation_std", "?"
    )
    drawn = figure.to_dict()["concat"][0]["encoding"]["color"]["scale"]["domain"]
    assert drawn == pytest.approx([low, high])


def test_the_step_is_framed_once_over_all_layers():
    chart = signal_heatmap.signal_heatmap(
        signals(0.1, 1.0, 2.0), "activation_std", "Activation", step=0
    ).to_dict()
    frame = chart["layer"][1]
    assert "y" not in frame["encoding"] and len(frame["data"]["values"]) == 1
