"""Which arm came out higher, and how sure is that? Mean and interval of each arm, and every seed as a dot."""

from collections.abc import Mapping, Sequence
from typing import Any

from trainlab.analysis.intervals import mean_interval
from trainlab.figures.style import COLOURS, altair, axis_title, number_format, within_reach


def figure(
    values: Mapping[str, Sequence[float]], title: str, subtitle: str = "", unit: str = "", name: str = "value"
) -> Any:
    """The chart of values by arm, in their order; `unit` `share` and `points` are shown in percent."""
    alt = altair()
    arms = [arm for arm in values if len(values[arm])]
    dots = [{"arm": arm, "value": value} for arm in arms for value in values[arm]]
    means = []
    for arm in arms:
        interval = within_reach(mean_interval(values[arm]), unit)
        means.append(
            {"arm": arm, "mean": interval.value, "low": interval.low, "high": interval.high,
             "text": shown(interval.value, unit)}
        )  # fmt: skip
    y = alt.Y("arm:N", sort=arms, title=None, axis=alt.Axis(grid=False, labelLimit=260))
    title_x = axis_title(name, unit)
    axis = alt.Axis(format=number_format(unit), tickCount=6)
    scale = alt.Scale(zero=False, padding=12)

    def x(field: str) -> Any:
        return alt.X(field, title=title_x, axis=axis, scale=scale)

    base = alt.Chart(alt.Data(values=means))
    layers = [
        alt.Chart(alt.Data(values=dots)).mark_point(filled=True, size=28, opacity=0.45, color="#777").encode(
            x=x("value:Q"), y=y
        ),
        base.mark_rule(strokeWidth=2.5, color=COLOURS[0]).encode(x=x("low:Q"), x2="high:Q", y=y),
        base.mark_point(filled=True, size=90, opacity=1, color=COLOURS[0]).encode(x=x("mean:Q"), y=y),
        base.mark_text(dy=-11, fontSize=11, color="#333").encode(x=x("mean:Q"), y=y, text="text:N"),
    ]  # fmt: skip
    return alt.layer(*layers).properties(
        width=460, height=alt.Step(38), title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
    )


def shown(value: float | None, unit: str) -> str:
    """A number as its label has it."""
    if value is None:
        return ""
    if unit in ("share", "points"):
        return f"{100 * value:.1f} {'%' if unit == 'share' else 'points'}"
    return f"{value:,.3g}"
