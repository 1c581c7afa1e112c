"""The figures that only the web app shows, by what they draw."""

import polars as pl
import pytest

from trainlab import analysis
from trainlab.errors import RequestError
from trainlab.figures import (
    confusion_matrix,
    effect_bars,
    learning_curves,
    parallel_coordinates,
    signal_heatmap,
)
from trainlab.figures.style import to_svg
from trainlab.runs import RunFolder
from trainlab.runs.run_table import IDENTITY_COLUMNS, OUTCOME_COLUMNS


def test_a_long_curve_is_thinned_and_keeps_its_ends(tmp_path):
    with RunFolder(tmp_path / "run").create().metrics_log() as log:
        log.append([(epoch, epoch, "val/acc", epoch / 1000) for epoch in range(1000)])
    table = learning_curves.curves_of_runs({"one": [tmp_path / "run"]})
    assert table.height <= learning_curves.MOST_POINTS + 2
    assert (table["epoch"][0], table["epoch"][-1]) == (1, 1000)
    assert table["mean"][-1] == 0.999


@pytest.fixture
def signals():
    rows = [
        (step, layer, quantity, value)
        for step in (0, 5)
        for layer, size in (("conv1", 1e-6), ("conv2", 1e-2))
        for quantity, value in (("preactivation_grad_norm", size), ("dead", 0.25))
    ]
    return pl.DataFrame(rows, schema=["step", "layer", "quantity", "value"], orient="row")


def test_a_panel_shows_sizes_by_decade_and_shares_as_they_are(signals):
    gradient = signal_heatmap.signal_heatmap(signals, "preactivation_grad_norm", "Gradient", step=5).to_dict()
    assert gradient["layer"][0]["encoding"]["color"]["field"] == "decade"
    dead = signal_heatmap.signal_heatmap(signals, "dead", "Dead units").to_dict()
    assert dead["layer"][0]["encoding"]["color"]["field"] == "value"
    drawn = to_svg(signal_heatmap.signal_heatmap(signals, "dead", "Dead units"))
    assert all(f">{text}<" in drawn for text in ("conv1", "conv2", "Dead units"))


def test_a_quantity_that_was_not_measured_is_named(signals):
    with pytest.raises(RequestError, match="has not measured saturated"):
        signal_heatmap.signal_heatmap(signals, "saturated", "Saturated units")


def test_the_confusion_has_its_counts_and_refuses_to_draw_nothing():
    drawn = to_svg(confusion_matrix.confusion_matrix_plot([[7, 1], [0, 42]], ["cat", "dog"], "Which?"))
    assert all(f">{text}<" in drawn for text in ("7", "1", "42", "cat", "dog"))
    with pytest.raises(RequestError, match="no counts"):
        confusion_matrix.confusion_matrix_plot([[0, 0], [0, 0]], ["cat", "dog"], "Which?")


@pytest.fixture
def grid():
    fixed = IDENTITY_COLUMNS | OUTCOME_COLUMNS
    rows = [
        {"activation": a, "depth": d, "seed": s,
         "test/acc": (0.9 if a == "relu" else 0.1) - d / 100 + s / 1000}
        for a in ("relu", "tanh") for d in (2, 8) for s in (0, 1)
    ]  # fmt: skip
    empty = pl.DataFrame(schema={name: kind for name, kind in fixed.items() if name != "seed"})
    return pl.concat([pl.DataFrame(rows), empty], how="diagonal").with_columns(status=pl.lit("finished"))


def test_effects_name_every_axis_pair_and_level(grid):
    effect = analysis.estimate_effects(grid)
    drawn = to_svg(effect_bars.variance_share_bars(effect, "Which axis?"))
    assert all(f">{text}<" in drawn for text in ("activation", "depth", "activation × depth"))
    drawn = to_svg(effect_bars.level_mean_plot(effect, "Which level?"))
    assert all(f">{text}<" in drawn for text in ("activation = relu", "depth = 8"))


def test_parallel_coordinates_stand_in_the_order_of_numbers(grid):
    comparison = analysis.compare(grid)
    chart = parallel_coordinates.parallel_coordinates_plot(
        comparison.table, comparison.by, "test/acc", "What do the best have in common?"
    )
    ticks = chart.to_dict()["layer"][1]["data"]["values"]
    assert [tick["text"] for tick in ticks if tick["axis"] == "depth"] == ["2", "8"]
    assert "activation" in to_svg(chart)
