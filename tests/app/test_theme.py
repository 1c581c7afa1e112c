"""Colours of the pages: lines and text stand out from their ground in both themes, measured."""

import re

import pytest
from browsing import REPOSITORY

from trainlab.app import theme
from trainlab.figures.style import COLOURS, GREY, PAGE_THEME

THEMES = {"light": (theme.LIGHT, theme.ON_LIGHT), "dark": (theme.DARK, theme.ON_DARK)}
FIGURES = sorted((REPOSITORY / "experiments").glob("*/figure.svg"))


def luminance(colour):
    """Relative luminance (WCAG 2.2) of `#RRGGBB`."""
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_is_that_of_the_standard():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#E69F00", "#FFFFFF") == pytest.approx(2.25, abs=0.01)


@pytest.mark.parametrize("name", THEMES)
def test_lines_stand_out_from_the_page(name):
    page, colours = THEMES[name]
    for colour in (*colours, GREY):
        assert contrast(colour, page["backgroundColor"]) >= 3, f"{colour} on {page['backgroundColor']}"
    assert len(set(colours)) == len(COLOURS)


@pytest.mark.parametrize(
    ("page", "text", "quiet"),
    [(theme.LIGHT, theme.TEXT_LIGHT, theme.MUTED_LIGHT), (theme.DARK, theme.TEXT_DARK, theme.MUTED_DARK)],
)
def test_text_can_be_read(page, text, quiet):
    for ground in (page["backgroundColor"], page["secondaryBackgroundColor"]):
        for colour in (text, quiet, page["linkColor"], page["greenTextColor"], page["redTextColor"]):
            assert contrast(colour, ground) >= 4.5, f"{colour} on {ground}"


def test_every_colour_of_a_chart_has_one_of_the_page():
    rules = theme.chart_css()
    assert PAGE_THEME["range"]["category"] == COLOURS
    for colour, light, dark in zip(COLOURS, theme.ON_LIGHT, theme.ON_DARK, strict=True):
        for part in ("stroke", "fill"):
            assert f'[{part}="{colour}" i] {{ {part}: light-dark({light}, {dark}); }}' in rules


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: path.parent.name)
def test_a_published_figure_is_on_the_ground_of_the_page_and_every_line_of_it_stands_out(path):
    drawn = theme.themed_svg(path.read_text(encoding="utf-8"))
    for name, (page, _) in THEMES.items():
        rules = dict(
            re.findall(
                r"([^{}]+)\{(?:fill|stroke):([^}]+)\}", re.search(rf"{name}\)\{{(.*?)\}}\}}", drawn)[1]
            )
        )
        assert rules['svg>rect[fill="white"]'] == "none"
        for text in set(re.findall(r'<text[^>]*fill="([^"]+)"', drawn)):
            now = rules.get(f'text[fill="{text}"]', rules.get(f'[fill="{text}" i]', text))
            assert contrast(now, page["backgroundColor"]) >= 3, f"text {text} in {name}"
        for line in set(re.findall(r'<(?:path|line)[^>]*stroke="(#[0-9A-F]{6})"', drawn)):
            now = rules.get(f'[stroke="{line}" i]', line)
            assert contrast(now, page["backgroundColor"]) >= 3, f"line {line} in {name}"


def test_numbers_in_the_cells_of_a_heat_map_keep_their_ink():
    cells = '<svg><rect fill="white"/><text fill="white">1</text><text fill="black">2</text></svg>'
    assert 'text[fill="black"]' not in theme.themed_svg(cells)
    assert 'text[fill="black"]' in theme.themed_svg("<svg><text fill='#000'>1</text></svg>")


@pytest.mark.parametrize("text", ["", "no picture", "<svg"])
def test_what_is_no_figure_is_left_as_it_is(text):
    assert theme.themed_svg(text) == text
