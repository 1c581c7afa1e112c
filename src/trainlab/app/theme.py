"""The visual language of the figures, as options of Streamlit: the same colours and the same type."""

from typing import Any

from trainlab.figures.style import COLOURS, FONT

# The same eight colours for charts; on dark the bright ones come first, and black becomes nearly white.
ON_DARK = ["#56B4E9", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#0072B2", "#E8E8E8", "#F0E442"]
# viridis, as in the heat maps: told apart by colour-blind people, and in grey
SEQUENTIAL = [
    "#440154", "#482878", "#3E4A89", "#31688E", "#26828E", "#1F9E89", "#35B779", "#6DCD59", "#B4DE2C",
    "#FDE725",
]  # fmt: skip
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace"

LIGHT = {
    "primaryColor": "#0072B2", "backgroundColor": "#FFFFFF", "secondaryBackgroundColor": "#F4F6F8",
    "textColor": "#1B2026", "linkColor": "#005F96", "borderColor": "#DDE2E7",
    "codeBackgroundColor": "#F4F6F8",
    "chartCategoricalColors": COLOURS, "chartSequentialColors": SEQUENTIAL,
    "greenColor": "#009E73", "greenTextColor": "#006B4E", "redColor": "#D55E00", "redTextColor": "#A34700",
}  # fmt: skip
DARK = {
    "primaryColor": "#56B4E9", "backgroundColor": "#12161B", "secondaryBackgroundColor": "#1C2229",
    "textColor": "#E6E9EC", "linkColor": "#7CC6F2", "borderColor": "#2F3842",
    "codeBackgroundColor": "#1C2229",
    "chartCategoricalColors": ON_DARK, "chartSequentialColors": SEQUENTIAL,
    "greenColor": "#009E73", "greenTextColor": "#3CCBA0", "redColor": "#D55E00", "redTextColor": "#FF9A57",
}  # fmt: skip
BOTH = {
    "font": FONT, "headingFont": FONT, "codeFont": MONO, "baseFontSize": 15, "baseRadius": "6px",
    "headingFontSizes": ["1.9rem", "1.35rem", "1.1rem", "1rem", "0.95rem", "0.9rem"],
    "headingFontWeights": [650, 600, 600, 600, 600, 600], "linkUnderline": True,
    "metricValueFontSize": "1.6rem",
}  # fmt: skip


def options() -> dict[str, Any]:
    """The theme as Streamlit's own option names, `theme.light.primaryColor` and so on."""
    of = {"theme": BOTH, "theme.light": LIGHT, "theme.dark": DARK}
    return {f"{section}.{name}": value for section, values in of.items() for name, value in values.items()}
