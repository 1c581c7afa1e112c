"""Heat maps beside one another can be compared: one scale of colour for all."""

import polars as pl
import pytest

from trainlab.figures import heat_map

COLUMNS = ("step", "layer", "quantity", "value")


def signals(*sizes):
    rows = [(0, f"layer {i}", "activation_std", size) for i, size in enumerate(sizes)]
    return pl.DataFrame(rows, COLUMNS, orient="row")


def domain(chart):
    return chart.to_dict()["layer"][0]["encoding"]["color"]["scale"].get("domain")


def test_two_runs_are_drawn_on_the_scale_of_both():
    small, large = signals(1e-8, 1e-6), signals(1e-2, 1.0)
    both = heat_map.range_of([small, large], "activation_std")
    assert both == pytest.approx((-8, 0))
    for run in (small, large):
        panel = heat_map.panel(run, "activation_std", "Activation", decades=both)
        assert domain(panel) == pytest.approx([-8, 0])


def test_a_run_alone_has_its_own_scale_and_what_none_measured_has_none():
    assert domain(heat_map.panel(signals(0.1, 1.0), "activation_std", "Activation")) is None
    assert heat_map.range_of([signals(1.0)], "dead") is None
