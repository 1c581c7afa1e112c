"""Where does it train? Scale against depth: a cell a run, the boundaries of theory and forecast over it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from trainlab.analysis.phase_diagram import (
    OUTCOMES,
    RULE_OF_THUMB,
    PhaseDiagram,
    fit_depth_rule,
    forecast_agreement,
    format_agreement,
    scales_and_depths,
    theory_agreement,
)
from trainlab.figures.style import import_altair

FATE_COLOURS = ("#9ecae9", "#d9d9d9", "#e59866")
"""Learned, at chance, diverged: pale, so that lines stand on them; told apart in grey too."""
THEORY, FORECAST = "#000000", "#b3005e"
WIDE = 8.0
"""An axis whose largest value is so many times its smallest is drawn in logs."""
SIZE = (520, 340)
NAMES = {"init.sigma_w2": "σw², variance of the weights times fan-in", "init.gain": "gain of the initializer"}

Row = dict[str, Any]


def phase_diagram_plot(diagram: PhaseDiagram, title: str, subtitle: str = "") -> Any:
    """The chart of a diagram; the seeds of a setting share its cell, side by side.

    Raises RequestError where Altair is not installed.
    """
    alt = import_altair()
    scales, depths = scales_and_depths(diagram.points)
    x_log, y_log = (values[-1] >= WIDE * values[0] > 0 for values in (scales, depths))
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
        layers += _line_with_halo(
            alt.Chart(alt.Data(values=curve(diagram, top, RULE_OF_THUMB))), THEORY, {"x": x, "y": y}
        )
    for line in boundary(diagram, x_edges, y_edges):
        base = alt.Chart(alt.Data(values=[{"x": a, "y": b, "order": i} for i, (a, b) in enumerate(line)]))
        layers += _line_with_halo(base, FORECAST, {"x": x, "y": y, "order": "order:Q"}, [7, 3])
    plot = alt.layer(*layers).properties(width=SIZE[0], height=SIZE[1])
    return alt.vconcat(plot, _legend(diagram, rule), spacing=8).properties(
        title=alt.TitleParams(title, subtitle=[subtitle] if subtitle else [])
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
) -> list[Row]:
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


def curve(diagram: PhaseDiagram, top: float, constant: float, other: float | None = None) -> list[Row]:
    """x and y = constant · ξ, cut at `top`; y2 = other · ξ for a band."""
    rows = []
    for x, xi in diagram.curve:
        row = {"x": x, "y": min(constant * xi, top)}
        rows.append(row if other is None else row | {"y2": min(other * xi, top)})
    return rows


def boundary(
    diagram: PhaseDiagram, x_edges: Sequence[float], y_edges: Sequence[float]
) -> list[list[tuple[float, float]]]:
    """The lines between settings whose mean probability reaches the threshold and those where it does not."""
    scales, depths = scales_and_depths(diagram.points)
    said: dict[tuple[float, int], list[float]] = {}
    for place in diagram.points:
        if place.learns is not None:
            said.setdefault((place.scale, place.depth), []).append(place.learns)
    expected = {key: sum(of) / len(of) >= diagram.threshold for key, of in said.items()}

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


def _join_segments(pieces: list[list[tuple[float, float]]]) -> list[list[tuple[float, float]]]:
    """Pieces that end where another begins, as one line."""
    lines: list[list[tuple[float, float]]] = []
    left = [list(piece) for piece in pieces]
    while left:
        line = left.pop()
        grown = True
        while grown:
            grown = False
            for piece in left:
                for ends in (piece, piece[::-1]):
                    if line[-1] == ends[0]:
                        line, grown = [*line, *ends[1:]], True
                    elif line[0] == ends[-1]:
                        line, grown = [*ends[:-1], *line], True
                    if grown:
                        break
                if grown:
                    left.remove(piece)
                    break
        lines.append(line)
    return lines


def _line_with_halo(
    base: Any, colour: str, channels: dict[str, Any], dash: Sequence[int] = (1, 0)
) -> list[Any]:
    """A line with a white rim: it is seen on every cell."""
    rim = base.mark_line(strokeWidth=5, color="white", opacity=0.8, clip=True).encode(**channels)
    line = base.mark_line(strokeWidth=2.4, color=colour, strokeDash=list(dash), clip=True)
    return [rim, line.encode(**channels)]


def _legend(diagram: PhaseDiagram, rule: Any) -> Any:
    """The legend of the lines, each with how many runs it was right about."""
    alt = import_altair()
    theory, forecast = theory_agreement(diagram), forecast_agreement(diagram)
    lines = []
    if theory.n:
        lines.append(
            (f"line: theory, depth up to {RULE_OF_THUMB:g} ξ: right about {format_agreement(theory)}", THEORY)
        )
    if theory.n and rule is not None:
        fitted = f"{rule.constant:.2g} ξ ({rule.low:.2g} to {rule.high:.2g})"
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
