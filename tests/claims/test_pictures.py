"""Pictures: they are drawn without a browser, say what they show, and refuse to show nothing."""

import pytest

pytest.importorskip("altair")

from trainlab.claims.further import inline, parts
from trainlab.errors import RequestError
from trainlab.figures import arms, by_depth, forest, heat_map, interaction, layer_bars, learning_curves
from trainlab.figures.style import svg, write

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
        arms.figure(VALUES, "Arms", unit="share", name="test accuracy"),
        ["test accuracy (%)", "91.0 %"],
    ),
    "interaction": (
        interaction.figure(VALUES, FACTORS, "Pair", unit="share", name="accuracy"),
        ["activation", "initializer", "kaiming", "accuracy (%)"],
    ),
    "heat_map": (
        heat_map.figure({"A": CELLS}, "weight_grad_norm", "Where"),
        ["training step", "log10 of weight gradient norm"],
    ),
    "by_depth": (
        by_depth.figure({"A": [1.0, 0.5]}, {"A": [1.0, 0.4]}, "std of z", "Depth"),
        ["layer (1 is the first)", "std of z"],
    ),
    "layer_bars": (
        layer_bars.figure([{"layer": "C1", "parameters": 156, "shape": "6×28×28"}], "Bars"),
        ["parameters (log scale)", "C1"],
    ),
    "forest": (
        forest.figure([{"name": "a claim", **FINDING}], "Forest"),
        ["a claim", "supported", "tick: the bound"],
    ),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_picture_names_its_axes_and_what_it_shows(name, tmp_path):
    chart, words = CHARTS[name]
    text = svg(chart)
    for word in words:
        assert word in text
    assert write(chart, tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_an_svg_inside_a_page_has_no_address():
    text = svg(CHARTS["arms"][0])
    assert "http" in text
    assert "http" not in inline(text) and inline(text).startswith("<svg")


def test_arms_of_an_interaction_have_two_names():
    with pytest.raises(RequestError, match="expected a name like"):
        interaction.figure({"relu": [1.0]}, ("a", "b"), "t")


def test_names_of_lines_that_end_together_stand_apart_and_in_order():
    places = learning_curves.apart({"a": 0.10, "b": 0.11, "c": 0.9, "d": 0.105})
    assert sorted(places, key=places.__getitem__) == ["a", "d", "b", "c"]
    assert places["a"] == 0.10 and places["c"] == 0.9
    assert places["b"] - places["d"] == pytest.approx(learning_curves.LINE_OF_TEXT)


def test_nothing_measured_is_said():
    with pytest.raises(RequestError, match="no run has measured"):
        heat_map.figure({"A": []}, "dead", "t")
    with pytest.raises(RequestError, match="no run has measured"):
        by_depth.figure({"A": []}, {"A": [1.0]}, "std", "t")


def test_a_gradient_of_zero_is_drawn_as_the_smallest_decade():
    assert heat_map.decade(0.0) == heat_map.SMALLEST_DECADE
    assert heat_map.decade(1e-3) == pytest.approx(-3)


def test_a_page_beside_the_claims_becomes_a_part_that_needs_nothing_beside_it(tmp_path):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "effects.svg").write_text(svg(CHARTS["arms"][0]), encoding="utf-8")
    (tmp_path / "grid" / "README.md").write_text(
        "# What matters\n\n| axis | share |\n|---|---:|\n| depth | 40 % |\n\n![how much](effects.svg)\n\n"
        "![gone](missing.svg)\n\n[the runs](table.csv), [a paper](https://arxiv.org/abs/1)\n",
        encoding="utf-8",
    )
    (only,) = parts(tmp_path)
    assert "<h1>What matters</h1>" in only and "<td>depth</td>" in only
    assert only.count("<svg") == 1 and "<em>gone</em>" in only
    assert "table.csv" not in only and "the runs" in only and 'href="https://arxiv.org/abs/1"' in only
    assert "src=" not in only
