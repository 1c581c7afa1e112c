"""Values over seeds by group and by two factors, with their means; estimates with intervals, claim by claim.

A bar beside a mean is the range of the values, from the least to the largest: what runs did, and no interval.
The intervals of a forest plot are those of the tests.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from trainlab.errors import RequestError
from trainlab.figures.style import (
    COLOURS,
    axis_title,
    chart_title,
    import_altair,
    number_format,
)

if TYPE_CHECKING:
    from trainlab.figures.style import Chart


def group_means_plot(
    values: Mapping[str, Sequence[float]], title: str, subtitle: str = "", unit: str = "", name: str = "value"
) -> "Chart":
    """The chart of values by arm, in their order: a dot a seed, their mean, and a bar over their range.

    `unit` `share` and `points` are shown in percent.
    """
    alt = import_altair()
    arms = [arm for arm in values if len(values[arm])]
    dots = [{"arm": arm, "value": value} for arm in arms for value in values[arm]]
    means = []
    for arm in arms:
        summary = _summarize(values[arm])
        means.append({"arm": arm, **summary, "text": format_value(summary["mean"], unit)})
    y = alt.Y("arm:N", sort=arms, title=None, axis=alt.Axis(grid=False, labelLimit=260))
    title_x = axis_title(name, unit)
    axis = alt.Axis(format=number_format(unit), tickCount=6)
    scale = alt.Scale(zero=False, padding=12)

    x = partial(alt.X, title=title_x, axis=axis, scale=scale)

    base = alt.Chart(alt.Data(values=means))
    layers = [
        alt.Chart(alt.Data(values=dots)).mark_point(filled=True, size=28, opacity=0.45, color="#777").encode(
            x=x("value:Q"), y=y
        ),
        base.mark_rule(strokeWidth=2.5, color=COLOURS[0]).encode(x=x("low:Q"), x2="high:Q", y=y),
        base.mark_point(filled=True, size=90, opacity=1, color=COLOURS[0]).encode(x=x("mean:Q"), y=y),
        base.mark_text(dy=-11, fontSize=11, color="#333").encode(x=x("mean:Q"), y=y, text="text:N"),
    ]  # fmt: skip
    heading = chart_title(title, subtitle, WHAT_BARS_ARE)
    return alt.layer(*layers).properties(width=460, height=alt.Step(38), title=heading)


WHAT_BARS_ARE = "small dot: a seed; large one: their mean; bar: from the least to the largest"


def _summarize(values: Sequence[float]) -> dict[str, float]:
    return {"mean": fmean(values), "low": min(values), "high": max(values)}


def format_value(value: float | None, unit: str) -> str:
    """A number as its label."""
    if value is None:
        return ""
    if unit in ("share", "points"):
        return f"{100 * value:.1f} {'%' if unit == 'share' else 'points'}"
    return f"{value:,.3g}"


LEVEL_SEPARATOR = " / "
"""Between the two levels in an arm's name: `relu / kaiming`."""


def interaction_plot(
    values: Mapping[str, Sequence[float]],
    names: tuple[str, str],
    title: str,
    subtitle: str = "",
    unit: str = "",
    name: str = "value",
) -> "Chart":
    """The chart of means with a dot a seed and a bar over their range; parallel lines are no interaction.

    Arms are called `LINE / X`; `names` are what the lines and the x axis are.

    Raises:
        RequestError: an arm whose name has not two parts.
    """
    alt = import_altair()
    measured = {_two_levels(arm): seeds for arm, seeds in values.items() if seeds}
    rows = [{"line": line, "x": x, **_summarize(seeds)} for (line, x), seeds in measured.items()]
    dots = [{"line": line, "x": x, "mean": seed} for (line, x), seeds in measured.items() for seed in seeds]
    order = list(dict.fromkeys(row["x"] for row in rows))
    lines = list(dict.fromkeys(row["line"] for row in rows))
    axis = alt.Axis(format=number_format(unit))
    colour = alt.Color("line:N", sort=lines, legend=alt.Legend(title=names[0], orient="top", symbolOpacity=1))
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("x:N", sort=order, title=names[1], axis=alt.Axis(labelAngle=0, grid=False)),
        color=colour,
    )
    title_y = axis_title(name, unit)
    y = alt.Y("mean:Q", title=title_y, axis=axis, scale=alt.Scale(zero=False, padding=12))
    layers = [
        base.properties(data=alt.Data(values=dots))
        .mark_point(filled=True, size=22, opacity=0.45)
        .encode(y=y),
        base.mark_rule(strokeWidth=2).encode(y=alt.Y("low:Q", title=title_y), y2="high:Q"),
        base.mark_line(strokeWidth=2.5).encode(
            y=y, strokeDash=alt.StrokeDash("line:N", sort=lines, legend=None)
        ),
        base.mark_point(filled=True, size=80, opacity=1).encode(
            y=y, shape=alt.Shape("line:N", sort=lines, legend=None)
        ),
    ]
    return alt.layer(*layers).properties(
        width=max(260, 110 * len(order)),
        height=280,
        title=chart_title(title, subtitle, WHAT_BARS_ARE),
    )


def _two_levels(arm: str) -> tuple[str, str]:
    line, separator, x = arm.partition(LEVEL_SEPARATOR)
    if not separator:
        raise RequestError(f"interaction: arm '{arm}', expected a name like 'relu{LEVEL_SEPARATOR}kaiming'")
    return line, x


UNSURE = "not enough evidence"
VERDICT_COLOURS = {"supported": "#009E73", "refuted": "#D55E00", UNSURE: "#777777"}
"""The colour of each verdict; each has a shape too."""


def forest_plot(rows: Sequence[Mapping[str, str | float | None]], title: str, subtitle: str = "") -> "Chart":
    """The chart of `rows`: `name`, `estimate`, `low`, `high`, `bound`, `verdict`, all in one unit.

    The tick is the bound that the interval has to leave on the right side. What is neither supported nor
    refuted has one colour, whatever the reason.
    """
    alt = import_altair()
    verdicts = [row["verdict"] if row["verdict"] in VERDICT_COLOURS else UNSURE for row in rows]
    data = alt.Data(values=[{**row, "verdict": v} for row, v in zip(rows, verdicts, strict=True)])
    y = alt.Y(
        "name:N", sort=[row["name"] for row in rows], title=None, axis=alt.Axis(grid=False, labelLimit=420)
    )
    names = list(VERDICT_COLOURS)
    colour = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=names, range=list(VERDICT_COLOURS.values())),
        legend=alt.Legend(title=None, orient="top"),
    )
    shape = alt.Shape("verdict:N", scale=alt.Scale(domain=names, range=["circle", "triangle-up", "diamond"]))
    base = alt.Chart(data).encode(y=y)
    title_x = "accuracy, or difference of accuracies (percentage points); bar: its interval; tick: the bound"
    axis = alt.Axis(format="%", labelExpr="replace(datum.label, '%', '')")

    x = partial(alt.X, title=title_x, axis=axis)

    layers = [
        alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(color="#bbb").encode(x=x("zero:Q")),
        base.mark_rule(strokeWidth=2.5).encode(x=x("low:Q"), x2="high:Q", color=colour),
        base.mark_tick(color="#000", thickness=2, size=16).encode(x=x("bound:Q")),
        base.mark_point(filled=True, size=85, opacity=1).encode(x=x("estimate:Q"), color=colour, shape=shape),
    ]
    return alt.layer(*layers).properties(width=460, height=alt.Step(26), title=chart_title(title, subtitle))
