"""Pictures: they are drawn without a browser, say what they show, and refuse to show nothing."""

import pytest

pytest.importorskip("altair")

from trainlab.claims.safe_html import extra_pages, image_tag, inline_svg, read_svg
from trainlab.errors import RequestError
from trainlab.figures import bar_charts, interval_plots, layer_profiles, learning_curves, signal_heatmap
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


def test_an_svg_inside_a_page_has_no_address():
    text = to_svg(CHARTS["arms"][0])
    assert "http" in text
    assert "http" not in inline_svg(text) and inline_svg(text).startswith("<svg")


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


def test_a_page_beside_the_claims_becomes_a_part_that_needs_nothing_beside_it(tmp_path):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "effects.svg").write_text(to_svg(CHARTS["arms"][0]), encoding="utf-8")
    (tmp_path / "grid" / "README.md").write_text(
        "# What matters\n\n| axis | share |\n|---|---:|\n| depth | 40 % |\n\n![how much](effects.svg)\n\n"
        "![gone](missing.svg)\n\n[the runs](table.csv), [a paper](https://arxiv.org/abs/1)\n",
        encoding="utf-8",
    )
    (only,) = extra_pages(tmp_path)
    assert "<h1>What matters</h1>" in only and "<td>depth</td>" in only
    assert only.count("<img") == 1 and "data:image/svg+xml;base64," in only and "<em>gone</em>" in only
    assert "table.csv" not in only and "the runs" in only and 'href="https://arxiv.org/abs/1"' in only
    assert only.count("src=") == 1 and "effects.svg" not in only


EVIL = (
    '<script>document.title="PWNED"</script>',
    '<g onload="alert(1)"/>',
    '<image href="http://evil.example/x.png"/>',
    '<foreignObject><iframe src="http://evil.example"/></foreignObject>',
    '<a href="javascript:alert(1)">x</a>',
    '<use href="http://evil.example/x.svg#a"/>',
    "<style>@import url(http://evil.example/x.css)</style>",
    '<set attributeName="onmouseover" to="alert(1)"/>',
    "]]><script>1</script>",
    "</svg><script>1</script><svg>",
)


@pytest.mark.parametrize("evil", EVIL)
def test_an_untrusted_picture_is_only_shown(evil, tmp_path):
    """An image in the page holds it whole: no tag of it stands in the page, nothing runs or is fetched."""
    path = tmp_path / "figure.svg"
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{evil}</svg>')
    shown = image_tag(path, 'what" onload="x')
    assert shown.startswith('<img alt="what&quot; onload=&quot;x" src="data:image/svg+xml;base64,')
    assert shown.count("<") == 1 and "evil" not in shown
    assert read_svg(path) is not None


@pytest.mark.parametrize(
    "content", ["", "  \n", "/etc/passwd", "http://evil.example/x.svg", "<html></html>", "\0"]
)
def test_what_is_no_svg_is_not_opened_and_not_fetched(content, tmp_path):
    (tmp_path / "figure.svg").write_text(content)
    assert read_svg(tmp_path / "figure.svg") is None
    assert read_svg(tmp_path) is None and read_svg(tmp_path / "missing.svg") is None


def test_an_untrusted_page_keeps_no_html_of_its_author(tmp_path):
    (tmp_path / "secret.png").write_bytes(b"x")
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "README.md").write_text(
        "<script>1</script>\n\n<img src=x onerror=alert(1)>\n\n![a](http://evil.example/x.png)\n\n"
        "![b](../secret.png)\n\n![c](/etc/passwd)\n\n[d](javascript:alert(1))\n\n"
        "<details><summary>Settings</summary>\n\nx\n\n</details>\n"
    )
    (page,) = extra_pages(tmp_path)
    assert "<script" not in page and "<img" not in page and "evil.example" not in page
    assert "<details><summary>Settings</summary>" in page and "javascript:" not in page.replace(
        "(javascript:", ""
    )
