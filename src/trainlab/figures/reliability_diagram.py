"""Is a probability what it says? The share that came true against the probability given, tenth by tenth."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trainlab.figures.style import COLOURS, chart_title, import_altair

if TYPE_CHECKING:
    from altair import Axis

    from trainlab.figures.style import Chart


def reliability_plot(rows: Sequence[Mapping[str, float]], title: str, subtitle: str = "") -> "Chart":
    """The chart of `rows`: `said` (mean probability), `learned` (share), `runs` (size of the dot)."""
    alt = import_altair()
    data = alt.Data(values=[dict(row) for row in rows])
    x = alt.X(
        "said:Q",
        title="probability said before training",
        scale=alt.Scale(domain=[0, 1]),
        axis=_percent_axis(),
    )
    y = alt.Y("learned:Q", title="share that learned", scale=alt.Scale(domain=[0, 1]), axis=_percent_axis())
    base = alt.Chart(data).encode(x=x, y=y)
    ideal = alt.Chart(alt.Data(values=[{"said": v, "learned": v} for v in (0, 1)])).encode(x=x, y=y)
    layers = [
        ideal.mark_line(color="#777", strokeDash=[2, 3]),
        base.mark_line(color=COLOURS[0], strokeWidth=2),
        base.mark_point(filled=True, color=COLOURS[0], opacity=1).encode(
            size=alt.Size("runs:Q", legend=alt.Legend(title="runs"), scale=alt.Scale(range=[40, 500]))
        ),
    ]
    return alt.layer(*layers).properties(width=360, height=360, title=chart_title(title, subtitle))


def _percent_axis() -> "Axis":
    return import_altair().Axis(format="%")
