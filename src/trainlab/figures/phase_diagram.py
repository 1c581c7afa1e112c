"""Where does it train? Scale against depth: a cell a run, the boundaries of theory and forecast over it."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainlab.analysis.phase_diagram import (
    OUTCOMES,
    RULE_OF_THUMB,
    DepthRule,
    PhaseDiagram,
    fit_depth_rule,
    forecast_agreement,
    format_agreement,
    scales_and_depths,
    theory_agreement,
)
from trainlab.figures.style import chart_title, import_altair

if TYPE_CHECKING:
    import altair as alt

    from trainlab.figures.style import Chart

FATE_COLOURS = ("#9ecae9", "#d9d9d9", "#e59866")
"""Learned, at chance, diverged: pale under the lines, and different in grey print too."""
THEORY, FORECAST = "#000000", "#b3005e"
LOG_RATIO = 8.0
"""An axis whose largest value is at least so many times its smallest is logarithmic."""
SIZE = (520, 340)
NAMES = {"init.sigma_w2": "σw², variance of the weights times fan-in", "init.gain": "gain of the initializer"}

Cell = dict[str, float | str]
Line = list[tuple[float, float]]


def phase_diagram_plot(diagram: PhaseDiagram, title: str, subtitle: str = "") -> "Chart":
    """The chart of a diagram; the seeds of a setting share its cell, side by side.

    Raises RequestError where Altair is not installed.
    """
    alt = import_altair()
    scales, depths = scales_and_depths(diagram.points)
    x_log, y_log = (values[-1] >= LOG_RATIO * values[0] > 0 for values in (scales, depths))
    x_edges, y_edges = edges(scales, x_log), edges(depths, y_log)
    kind = {True: "log", False: "linear"}
    x = alt.X(
        "x:Q", title=NAMES.get(diagram.scale, diagram.scale),
        scale=alt.Scale(type=kind[x_log], domain=[x_edges[0], x_edges[-1]], nice=False),
        axis=alt.Axis(values=scales, labelOverlap=True, grid=False, format=".3~g"),
    )  # fmt: skip
    y = alt.Y(
        "y:Q", title="depth (hidden layers)",
        scale=alt.Scale(type=kind[y_log], domain=[y_edges[0], y_edges[-1]], nice=False),
        axis=alt.Axis(values=depths, grid=False, format="d"),
    )  # fmt: skip
    colour = alt.Color(
        "fate:N",
        scale=alt.Scale(domain=list(OUTCOMES), range=list(FATE_COLOURS)),
        legend=alt.Legend(title="a run", orient="top", symbolType="square", symbolOpacity=1),
    )
    rects = alt.Chart(alt.Data(values=cells(diagram, x_edges, y_edges, x_log)))
    layers = [
        rects.mark_rect(stroke="white", strokeWidth=0.6).encode(x=x, x2="x2:Q", y=y, y2="y2:Q", color=colour)
    ]
    rule = fit_depth_rule(diagram)
    if diagram.curve:
        top = 4 * y_edges[-1]
        if rule is not None:
            band = alt.Chart(alt.Data(values=curve(diagram, top, rule.low, rule.high)))
            layers.append(band.mark_area(opacity=0.13, color=THEORY, clip=True).encode(x=x, y=y, y2="y2:Q"))
        base = alt.Chart(alt.Data(values=curve(diagram, top, RULE_OF_THUMB)))
        layers += _line_with_halo(base.encode(x=x, y=y), THEORY)
    for line in boundary(diagram, x_edges, y_edges):
        base = alt.Chart(alt.Data(values=[{"x": a, "y": b, "order": i} for i, (a, b) in enumerate(line)]))
        layers += _line_with_halo(base.encode(x=x, y=y, order="order:Q"), FORECAST, [7, 3])
    plot = alt.layer(*layers).properties(width=SIZE[0], height=SIZE[1])
    return alt.vconcat(plot, _legend(diagram, rule), spacing=8).properties(
        title=chart_title(title, subtitle)
    )  # fmt: skip


def edges(values: Sequence[float], logs: bool) -> list[float]:
    """The borders of the cells around these values: halfway between neighbours, the outermost as wide."""
    at = [math.log(value) if logs else float(value) for value in values]
    if len(at) == 1:
        at = [at[0] - 0.5, at[0] + 0.5]
        return [math.exp(a) if logs else a for a in at]
    inner = [(a + b) / 2 for a, b in itertools.pairwise(at)]
    all_edges = [2 * at[0] - inner[0], *inner, 2 * at[-1] - inner[-1]]
    return [math.exp(edge) if logs else edge for edge in all_edges]


def cells(
    diagram: PhaseDiagram, x_edges: Sequence[float], y_edges: Sequence[float], x_log: bool
) -> list[Cell]:
    """A rectangle a run: x, x2, y, y2, fate."""
    scales, depths = scales_and_depths(diagram.points)
    rows = []
    for i, scale in enumerate(scales):
        for j, depth in enumerate(depths):
            runs = sorted(
                (p for p in diagram.points if (p.scale, p.depth) == (scale, depth)), key=lambda p: p.seed
            )
            for k, run in enumerate(runs):
                x, x2 = (_interpolate(x_edges[i], x_edges[i + 1], n / len(runs), x_log) for n in (k, k + 1))
                rows.append({"x": x, "x2": x2, "y": y_edges[j], "y2": y_edges[j + 1], "fate": run.outcome})
    return rows


def curve(diagram: PhaseDiagram, top: float, constant: float, other: float | None = None) -> list[Cell]:
    """x and y = constant · ξ, cut at `top`; y2 = other · ξ for a band."""
    rows: list[Cell] = []
    for x, xi in diagram.curve:
        row: Cell = {"x": x, "y": min(constant * xi, top)}
        rows.append(row if other is None else row | {"y2": min(other * xi, top)})
    return rows


def boundary(diagram: PhaseDiagram, x_edges: Sequence[float], y_edges: Sequence[float]) -> list[Line]:
    """The lines between settings whose mean probability reaches the threshold and those where it does not."""
    scales, depths = scales_and_depths(diagram.points)
    probabilities: dict[tuple[float, int], list[float]] = {}
    for point in diagram.points:
        if point.learns is not None:
            probabilities.setdefault((point.scale, point.depth), []).append(point.learns)
    expected = {key: sum(seeds) / len(seeds) >= diagram.threshold for key, seeds in probabilities.items()}

    def differ(first: tuple[float, int], second: tuple[float, int]) -> bool:
        return first in expected and second in expected and expected[first] != expected[second]

    lines = []
    for j, depth in enumerate(depths):
        for i, scale in enumerate(scales):
            if i and differ((scales[i - 1], depth), (scale, depth)):
                lines.append([(x_edges[i], y_edges[j]), (x_edges[i], y_edges[j + 1])])
            if j and differ((scale, depths[j - 1]), (scale, depth)):
                lines.append([(x_edges[i], y_edges[j]), (x_edges[i + 1], y_edges[j])])
    return _join_segments(lines)


def _join_segments(segments: Sequence[Line]) -> list[Line]:
    """Segments that end where another begins, as one line."""
    lines: list[Line] = []
    remaining = [list(segment) for segment in segments]
    while remaining:
        line = remaining.pop()
        while neighbour := next((segment for segment in remaining if _joined(line, segment)), None):
            line = _joined(line, neighbour) or line
            remaining.remove(neighbour)
        lines.append(line)
    return lines


def _joined(line: Line, segment: Line) -> Line | None:
    """The line with the segment at one of its ends, in either direction; None where they do not meet."""
    for piece in (segment, segment[::-1]):
        if line[-1] == piece[0]:
            return [*line, *piece[1:]]
        if line[0] == piece[-1]:
            return [*piece[:-1], *line]
    return None


def _line_with_halo(base: "alt.Chart", colour: str, dash: Sequence[int] = (1, 0)) -> "list[alt.Chart]":
    """A line with a white rim: it is seen on every cell."""
    rim = base.mark_line(strokeWidth=5, color="white", opacity=0.8, clip=True)
    line = base.mark_line(strokeWidth=2.4, color=colour, strokeDash=list(dash), clip=True)
    return [rim, line]


def _legend(diagram: PhaseDiagram, rule: DepthRule | None) -> "Chart":
    """The legend of the lines, each with how many runs it was right about."""
    alt = import_altair()
    theory, forecast = theory_agreement(diagram), forecast_agreement(diagram)
    lines = []
    if theory.n:
        lines.append(
            (f"line: theory, depth up to {RULE_OF_THUMB:g} ξ: right about {format_agreement(theory)}", THEORY)
        )
    if theory.n and rule is not None:
        fitted = f"{rule.constant:.2g} ξ (as well: {rule.low:.2g} to {rule.high:.2g})"
        lines.append((f"shade: fitted to these runs, {fitted}: {format_agreement(rule.agreement)}", THEORY))
    if forecast.n:
        lines.append(
            (f"dashes: preflight, said before training: right about {format_agreement(forecast)}", FORECAST)
        )
    rows = [{"y": i, "text": text, "colour": colour} for i, (text, colour) in enumerate(lines)]
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_text(align="left", fontSize=12)
        .encode(
            x=alt.value(0),
            y=alt.Y("y:O", axis=None),
            text="text:N",
            color=alt.Color("colour:N", scale=None, legend=None),
        )
        .properties(width=SIZE[0], height=18 * max(1, len(rows)))
    )


def _interpolate(first: float, second: float, share: float, logs: bool) -> float:
    if logs:
        return math.exp((1 - share) * math.log(first) + share * math.log(second))
    return (1 - share) * first + share * second
