"""Untrusted pictures and pages, as they stand in the report."""

import pytest

pytest.importorskip("altair")

from trainlab.claims.safe_html import extra_pages, image_tag, inline_svg, read_svg
from trainlab.figures.interval_plots import group_means_plot
from trainlab.figures.style import to_svg


@pytest.fixture(scope="module")
def drawn() -> str:
    """A figure of ours, as SVG."""
    return to_svg(group_means_plot({"A": [0.9, 0.92]}, "Arms", unit="share", name="test accuracy"))


def test_an_svg_inside_a_page_has_no_address(drawn):
    assert "http" in drawn
    assert "http" not in inline_svg(drawn) and inline_svg(drawn).startswith("<svg")


def test_a_page_beside_the_claims_becomes_a_part_that_needs_nothing_beside_it(tmp_path, drawn):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "effects.svg").write_text(drawn, encoding="utf-8")
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
