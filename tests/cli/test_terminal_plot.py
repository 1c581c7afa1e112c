"""Curves in the terminal: each value at its height, at its step."""

import math

from trainlab.cli.terminal_plot import render_curves


def body(lines: list[str]) -> list[str]:
    """The rows between the axis's tick and the lower edge, padded."""
    return [line.partition("┤")[2] for line in lines[:-2]]


def test_values_lie_where_they_belong():
    lines = render_curves(
        {"falling": {0: 2.0, 1: 1.0, 2: 0.0}, "flat": {0: 1.0, 1: 1.0, 2: 2.0}}, top=2, width=3, height=3
    )
    assert body(lines) == ["● ○", "○●", "  ●"]
    assert lines[0].startswith("  2.00") and lines[2].startswith("  0.00") and lines[-1].endswith("2")


def test_what_is_beyond_the_edge_is_drawn_on_it_and_what_is_not_finite_is_not():
    lines = render_curves({"wild": {0: 1e9, 1: math.nan, 2: math.inf, 3: 0.0}}, top=1, width=4, height=2)
    assert body(lines) == ["●", "   ●"]


def test_a_column_is_the_mean_of_its_steps():
    assert body(render_curves({"noisy": {0: 0.0, 1: 2.0, 2: 2.0, 3: 2.0}}, top=2, width=2, height=3)) == [
        " ●",
        "●",
        "",
    ]


def test_a_curve_without_values_is_empty():
    assert body(render_curves({"none": {}, "one": {0: 1.0}}, top=1, width=3, height=2)) == ["○", ""]
