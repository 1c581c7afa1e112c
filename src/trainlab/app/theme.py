"""The visual language of the figures on a page: options of Streamlit, and the colours of light and dark."""

import re
from collections.abc import Mapping

from trainlab.app.streamlit_internals import CHART_SELECTOR
from trainlab.figures.style import COLOURS, FAINT, FONT, GREY

# What each of the eight colours of the figures becomes on a page. Lines need a contrast of at least 3 : 1 to
# the background (WCAG 2.2, 1.4.11): on white light colours are replaced by dark ones, on dark the reverse. In
# both sets all eight can be told apart by people who do not see red or green.
ON_LIGHT = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7A3A00", "#2A2AE0", "#1B2026", "#800060"]
ON_DARK = ["#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#E8E8E8", "#F0E442"]
TEXT_LIGHT, TEXT_DARK = "#1B2026", "#E6E9EC"
MUTED_LIGHT, MUTED_DARK = "#5B6672", "#A8B2BC"
"""Secondary text: contrast at least 4.5 : 1."""
# viridis, as in the heat maps: told apart by colour-blind people, and in grey
SEQUENTIAL = [
    "#440154", "#482878", "#3E4A89", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6DCD59", "#B4DE2C",
    "#FDE725",
]  # fmt: skip
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"

LIGHT = {
    "primaryColor": "#0072B2", "backgroundColor": "#FFFFFF", "secondaryBackgroundColor": "#F4F6F8",
    "textColor": TEXT_LIGHT, "linkColor": "#005F96", "borderColor": "#DDE2E7",
    "codeBackgroundColor": "#F4F6F8",
    "chartCategoricalColors": ON_LIGHT, "chartSequentialColors": SEQUENTIAL,
    "greenColor": "#009E73", "greenTextColor": "#006B4E", "redColor": "#D55E00", "redTextColor": "#A34700",
}  # fmt: skip
DARK = {
    "primaryColor": "#56B4E9", "backgroundColor": "#12161B", "secondaryBackgroundColor": "#1C2229",
    "textColor": TEXT_DARK, "linkColor": "#7CC6F2", "borderColor": "#2F3842",
    "codeBackgroundColor": "#1C2229",
    "chartCategoricalColors": ON_DARK, "chartSequentialColors": SEQUENTIAL,
    "greenColor": "#009E73", "greenTextColor": "#3CCBA0", "redColor": "#D55E00", "redTextColor": "#FF9A57",
}  # fmt: skip
BOTH = {
    "font": FONT, "headingFont": FONT, "codeFont": MONO, "baseFontSize": 15, "baseRadius": "6px",
    "headingFontSizes": ["1.9rem", "1.3rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
    "headingFontWeights": [650, 600, 600, 600, 600, 600], "linkUnderline": True,
    "metricValueFontSize": "1.6rem",
}  # fmt: skip


def theme_options() -> dict[str, object]:
    """The theme as Streamlit's own option names, `theme.light.primaryColor` and so on."""
    sections: dict[str, Mapping[str, object]] = {"theme": BOTH, "theme.light": LIGHT, "theme.dark": DARK}
    return {
        f"{section}.{name}": value for section, options in sections.items() for name, value in options.items()
    }


def chart_css() -> str:
    """CSS that maps the colours of charts to those of the page, light or dark."""
    lines = [
        f'{CHART_SELECTOR} [{part}="{colour}" i] {{ {part}: light-dark({light}, {dark}); }}'
        for colour, light, dark in zip(COLOURS, ON_LIGHT, ON_DARK, strict=True)
        for part in ("stroke", "fill")
    ]
    ground = f"light-dark({LIGHT['backgroundColor']}, {DARK['backgroundColor']})"  # behind the letters
    quiet = (
        f'{CHART_SELECTOR} text[fill="{GREY}" i] {{ fill: light-dark({MUTED_LIGHT}, {MUTED_DARK}); '
        f"stroke: {ground}; stroke-width: 3px; paint-order: stroke; }}"
    )
    return "\n".join([*lines, quiet])


def themed_svg(svg: str) -> str:
    """A figure that was drawn for print, in the colours of a page, light or dark.

    The rules are inside the image, which takes its colour scheme from the element that shows it.
    """
    start = svg.find("<svg")
    end = svg.find(">", start) + 1
    if start < 0 or not end:
        return svg
    style = f"<style>{_figure_css(svg, 'light')}{_figure_css(svg, 'dark')}</style>"
    return f"{svg[:end]}{style}{svg[end:]}"


def _figure_css(svg: str, scheme: str) -> str:
    is_dark = scheme == "dark"
    colours = zip(COLOURS, ON_DARK if is_dark else ON_LIGHT, strict=True)
    text, quiet = (TEXT_DARK, MUTED_DARK) if is_dark else (TEXT_LIGHT, MUTED_LIGHT)
    rules = [
        f'[{part}="{colour}" i]{{{part}:{on_page}}}'
        for colour, on_page in colours
        for part in ("stroke", "fill")
    ]
    rules += ['svg>rect[fill="white"]{fill:none}', f'[stroke="#e6e6e6" i]{{stroke:{FAINT}}}']
    # numbers within the cells of a heat map are black or white, whatever the page is
    inks = ["#000", "#333"] if _has_numbers_in_cells(svg) else ["#000", "#333", "black"]
    rules += [f'text[fill="{ink}"]{{fill:{text}}}' for ink in inks]
    rules += [f'text[fill="{ink}"]{{fill:{quiet}}}' for ink in ("#555", "#777", GREY)]
    rules += [f'[stroke="{ink}"]{{stroke:{text}}}' for ink in ("#000", "black")]
    rules.append(f'path[fill="#000"]{{fill:{text}}}')
    return f"@media (prefers-color-scheme: {scheme}){{{''.join(rules)}}}"


def _has_numbers_in_cells(svg: str) -> bool:
    return re.search(r'<text[^>]*fill="white"', svg) is not None
