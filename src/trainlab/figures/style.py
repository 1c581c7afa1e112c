"""The visual language of all figures: readable in print, by colour-blind people, on light and dark."""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias

from trainlab.errors import RequestError

if TYPE_CHECKING:
    import altair as alt

    Chart: TypeAlias = (
        alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart
    )

# Okabe & Ito 2008: eight colours that colour-blind people tell apart; the most distinct ones first
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
GREY = "#808080"
"""Readable on white and on nearly black."""
FAINT = "#80808038"
"""The same, nearly transparent: for grids."""
FONT = "Helvetica Neue, Helvetica, Arial, sans-serif"


PAGE_THEME: dict[str, object] = {
    "font": FONT,
    "padding": {"left": 0, "right": 12, "top": 6, "bottom": 4},
    "range": {"category": COLOURS},
    "axis": {
        "grid": True, "gridColor": FAINT, "domainColor": GREY, "tickColor": GREY,
        "labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal",
    },
    "legend": {
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "symbolStrokeWidth": 3,
    },
    "title": {"fontSize": 15, "anchor": "start", "subtitleFontSize": 12, "offset": 10},
    "view": {"stroke": None},
}  # fmt: skip


def import_altair() -> ModuleType:
    """The Altair module, imported when a figure is drawn.

    Raises:
        RequestError: the extra `app` is not installed.
    """
    try:
        import altair
    except ModuleNotFoundError:
        raise RequestError("figures need altair; pip install 'trainlab[app]'") from None
    return altair


def apply_print_theme(chart: "Chart") -> "Chart":
    """The chart with our fonts, colours, grid and margins."""
    return (
        chart.configure(font=FONT, background="white", padding=12)
        .configure_range(category=COLOURS)
        .configure_axis(
            grid=True, gridColor="#e6e6e6", domainColor="#888", tickColor="#888",
            labelFontSize=12, titleFontSize=13, titleFontWeight="normal",
        )
        .configure_legend(labelFontSize=12, titleFontSize=12, symbolStrokeWidth=3)
        .configure_title(fontSize=15, anchor="start", subtitleFontSize=12, subtitleColor="#555")
        .configure_view(stroke=None)
    )  # fmt: skip


class PageChart:
    """The chart for a page with a background of its own, light or dark: that gives the colour of text.

    It is asked for its description alone, once for every view: not checked against Vega-Lite's schema, which
    takes twice as long as all the rest and is done by the tests.
    """

    def __init__(self, chart: "alt.TopLevelMixin") -> None:
        self._chart = chart

    def to_dict(self) -> dict[str, object]:
        """The chart in Vega-Lite."""
        return {**self._chart.to_dict(validate=False), "config": PAGE_THEME}


def save_figure(chart: "Chart", path: Path) -> Path:
    """Writes PNG (two pixels a point), SVG, or a page that needs no network, by the file's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    chart = apply_print_theme(chart)
    if path.suffix.lower() == ".html":
        chart.save(path, inline=True)
    else:
        chart.save(path, scale_factor=2.0)
    return path


def chart_title(title: str, *subtitles: str) -> "alt.TitleParams":
    """The title, and the subtitles below it, a line each, where there are any."""
    alt = import_altair()
    return alt.TitleParams(title, subtitle=list(filter(None, subtitles)))


def axis_title(name: str, unit: str) -> str:
    """What an axis shows, with its unit: `test accuracy (%)`."""
    unit = {"share": "%", "points": "percentage points"}.get(unit, unit)
    return f"{name} ({unit})" if unit else name


def number_format(unit: str) -> str:
    """How d3 writes the numbers of a unit: shares and their differences in percent."""
    return "%" if unit in ("share", "points") else ""


def to_svg(chart: "Chart") -> str:
    """The chart as the text of an SVG, for a page that has its pictures inside."""
    import vl_convert

    return vl_convert.vegalite_to_svg(apply_print_theme(chart).to_dict())
