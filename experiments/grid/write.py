"""runs.csv and phase.json → result.json, README.md and its figures. The runs are not needed."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

import polars as pl

from experiments.grid.measure import HERE, Provenance, distinct_provenance, load_phase_diagram, load_table
from experiments.grid.rules import AXES, RuleRow, evaluate_rules, rule_rows
from experiments.rendering import render_template, round_numbers
from trainlab.analysis import Effects, estimate_effects
from trainlab.analysis.compare import counted_runs
from trainlab.analysis.effects import HIGHER_ORDER, SEEDS_SOURCE
from trainlab.analysis.phase_diagram import (
    RULE_OF_THUMB,
    PhaseDiagram,
    fit_depth_rule,
    forecast_agreement,
    format_agreement,
    theory_agreement,
)
from trainlab.analysis.tables import effects_frame, format_share_interval
from trainlab.claims.value_text import format_p_value
from trainlab.figures import grid_heatmaps, phase_diagram
from trainlab.figures.style import save_figure
from trainlab.stats.intervals import Interval
from trainlab.units import format_duration, format_percent

MAX_MINUTES = 40
"""What the grid may take on two cores."""

RESULT, README = HERE / "result.json", HERE / "README.md"


class IntervalRow(TypedDict):
    """`Interval` as plain data."""

    value: float | None
    low: float | None
    high: float | None
    n: int


class FittedRule(TypedDict):
    """`DepthRule` as plain data."""

    constant: float
    low: float
    high: float
    agreement: IntervalRow


class BestSetting(TypedDict):
    """The setting with the best mean of an activation with one norm layer; how many of its runs learned."""

    activation: str
    norm_layer: str
    init: str
    normalization: str
    depth: int
    learned: int
    score: float
    runs: int


class PhaseResult(TypedDict):
    """How often theory, the fitted rule and the forecast were right about learning."""

    runs: int
    theory: IntervalRow
    fitted: FittedRule | None
    forecast: IntervalRow
    measured: Provenance


class GridResult(TypedDict):
    """What `result.json` holds."""

    name: str
    runs: int
    settings: int
    possible: int
    learned: int
    diverged: int
    seeds: list[int]
    run_seconds: int
    wall_seconds: int
    measured: Provenance
    effects: dict[str, dict[str, object]]
    pairs: dict[str, tuple[str, str]]
    rules: list[RuleRow]
    best: list[BestSetting]
    phase: PhaseResult


def write_page() -> None:
    """All files, from the tables."""
    runs = load_table()
    diagram, phase_measured = load_phase_diagram()
    accuracy, learning = estimate_effects(runs, AXES, "test/acc"), estimate_effects(runs, AXES, "learned")
    result = build_result(runs, accuracy, learning, diagram, phase_measured)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(render_readme(result, accuracy, learning), encoding="utf-8")
    _draw_figures(runs, result["pairs"])
    subtitle = (
        f"tanh, σb² = .05, MNIST at 14 × 14 pixels, width 100, 300 steps of SGD; {len(diagram.points)} runs"
    )
    chart = phase_diagram.phase_diagram_plot(diagram, "Where a tanh network trains", subtitle)
    save_figure(chart, HERE / "phase-tanh.svg")


def build_result(
    runs: pl.DataFrame,
    accuracy: Effects,
    learning: Effects,
    diagram: PhaseDiagram,
    phase_measured: Provenance,
) -> GridResult:
    """All numbers of the page."""
    first, second = accuracy.interactions.select("first", "second").row(0)
    result: GridResult = {
        "name": "grid",
        "runs": len(runs),
        "settings": accuracy.measured_settings,
        "possible": accuracy.possible_settings,
        "learned": int(runs["learned"].sum()),
        "diverged": int((runs["status"] == "diverged").sum()),
        "seeds": sorted(set(runs["seed"])),
        "run_seconds": round(float(runs["seconds"].sum())),
        "wall_seconds": wall_seconds(runs),
        "measured": distinct_provenance(runs.select("commit", "machine", "data").to_dicts()),
        "effects": {"test/acc": _shares(accuracy), "learned": _shares(learning)},
        "pairs": {"activation-init": ("activation", "init"), "largest-interaction": (first, second)},
        "rules": rule_rows(evaluate_rules(settings_of(runs))),
        "best": _best(runs),
        "phase": {
            "runs": len(diagram.points),
            "theory": _interval_row(theory_agreement(diagram)),
            "fitted": _fitted(diagram),
            "forecast": _interval_row(forecast_agreement(diagram)),
            "measured": phase_measured,
        },
    }
    return round_numbers(result)


def wall_seconds(runs: pl.DataFrame) -> int:
    """From the start of the first run to the end of the last one."""
    times = runs.select(pl.col("started", "finished").str.to_datetime(time_zone="UTC"))
    first, last = times["started"].min(), times["finished"].max()
    return round((last - first).total_seconds())  # pyrefly: ignore


def settings_of(runs: pl.DataFrame) -> pl.DataFrame:
    """The settings, seeds averaged."""
    return counted_runs(runs, "test/acc").group_by(AXES).agg(score=pl.col("test/acc").mean()).sort(AXES)


def render_readme(result: GridResult, accuracy: Effects, learning: Effects) -> str:
    """The whole README.md."""
    first, second = result["pairs"]["largest-interaction"]
    parts = {
        "scale": _scale(result),
        "matters": _matters(accuracy, learning),
        "shares": _shares_table(accuracy, learning),
        "levels": _levels_table(accuracy),
        "largest": f"{first} × {second}",
        "rules": _rules_table(result),
        "verdicts": _verdicts(result),
        "best": _best_table(result),
        "phase": _phase(result["phase"]),
        "provenance": _provenance(result),
    }
    return render_template(HERE / "README.template.md", parts)


def _draw_figures(runs: pl.DataFrame, pairs: Mapping[str, Sequence[str]]) -> None:
    for name, axes in pairs.items():
        cells = grid_heatmaps.interaction_cells(runs, axes, "test/acc")
        title = f"{axes[0]} × {axes[1]}"
        subtitle = "mean over all other settings; a diverged run counts as guessing (10%)"
        chart = grid_heatmaps.interaction_heatmap(cells, axes, "test/acc", title, subtitle)
        save_figure(chart, HERE / f"{name}.svg")
    order = ("activation", "init", "normalization", "norm_layer", "depth")
    cells = grid_heatmaps.combination_cells(runs, order)
    subtitle = (
        "number: mean test accuracy in %; div.: both seeds diverged, *: one; a JPEG copy of CIFAR-10, 16 × 16"
    )
    chart = grid_heatmaps.combination_heatmap(cells, "Which combinations learn", subtitle)
    save_figure(chart, HERE / "combinations.svg")


def _interval_row(interval: Interval) -> IntervalRow:
    return {"value": interval.value, "low": interval.low, "high": interval.high, "n": interval.n}


def _shares(effects: Effects) -> dict[str, object]:
    return {
        "balanced": effects.balanced,
        "rest": effects.unexplained,
        "shares": effects_frame(effects).to_dicts(),
    }


def _fitted(diagram: PhaseDiagram) -> FittedRule | None:
    rule = fit_depth_rule(diagram)
    if rule is None:
        return None
    agreement = _interval_row(rule.agreement)
    return {"constant": rule.constant, "low": rule.low, "high": rule.high, "agreement": agreement}


def _best(runs: pl.DataFrame) -> list[BestSetting]:
    """Of each activation with and without BatchNorm, the setting with the best mean."""
    folded = counted_runs(runs, "test/acc").group_by(AXES)
    folded = folded.agg(pl.col("learned").sum(), score=pl.col("test/acc").mean(), runs=pl.len())
    best = (
        folded.sort("score", descending=True)
        .group_by("activation", "norm_layer", maintain_order=True)
        .first()
    )
    rows = best.sort("norm_layer", "score", descending=[False, True]).to_dicts()
    return cast(list[BestSetting], rows)


def _scale(result: GridResult) -> str:
    runs, learned, diverged = result["runs"], result["learned"], result["diverged"]
    return (
        f"{result['settings']} of {result['possible']} combinations, {runs} runs: {learned} learned, "
        f"{runs - learned - diverged} stayed at chance, {diverged} diverged."
    )


def _matters(accuracy: Effects, learning: Effects) -> str:
    """The shares in sentences."""
    clear_axes = [row for row in accuracy.shares.to_dicts() if (row["low"] or 0) > 0]
    order = ", then ".join(f"{row['axis']} ({format_percent(row['share'])})" for row in clear_axes)
    pairs = accuracy.interactions.to_dicts()
    clear_pairs = [row for row in pairs if (row["low"] or 0) > 0]
    others = dict(accuracy.other_sources.select("source", "share").iter_rows())
    to_pairs = format_percent(sum(row["share"] for row in pairs))
    to_higher, to_seeds = format_percent(others.get(HIGHER_ORDER)), format_percent(others.get(SEEDS_SOURCE))
    first = learning.shares.row(0, named=True)
    return (
        "Expected beforehand: interactions as large as the axes themselves. What came out, of the variance "
        f"of test accuracy: {order}. Single axes together leave {format_percent(accuracy.unexplained)}: "
        f"{to_pairs} to pairs, {to_higher} to three and more axes at once, {to_seeds} to seeds. "
        f"{len(clear_pairs)} of {len(pairs)} interactions of two axes are clear of chance. "
        f"Whether a run learns at all depends on {first['axis']} most ({format_percent(first['share'])})."
    )


def _shares_table(accuracy: Effects, learning: Effects) -> str:
    other = {row["source"]: row for row in effects_frame(learning).to_dicts()}
    lines = [
        "| | share of the variance of test accuracy | 95% | of whether it learned | 95% |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in effects_frame(accuracy).to_dicts():
        shares = (row, other.get(row["source"], {"share": None, "low": None, "high": None}))
        shown = [
            f"{format_percent(of['share'])} | {format_share_interval(of['low'], of['high'])}" for of in shares
        ]
        lines.append(f"| {row['source'].replace('_', ' ')} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _levels_table(accuracy: Effects) -> str:
    lines = ["| axis | level | mean test accuracy | 95% in blocks |", "|---|---|---:|---:|"]
    for row in accuracy.levels.to_dicts():
        lines.append(
            f"| {row['axis'].replace('_', ' ')} | {row['level']} | {format_percent(row['mean'])} "
            f"| {format_share_interval(row['low'], row['high'])} |"
        )
    return "\n".join(lines)


def _rules_table(result: GridResult) -> str:
    lines = [
        "| rule | compared | difference, points | 95% | holds in | p | among all |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for rule in result["rules"]:
        lines.append(
            f"| {rule['says']} ({rule['source']}) | {rule['compares']} | {100 * rule['estimate']:+.1f} "
            f"| {format_share_interval(rule['low'], rule['high'])} | {rule['held']} of {rule['n']} "
            f"| {format_p_value(rule['p'])} | {rule['verdict']} |"
        )
    return "\n".join(lines)


def _verdicts(result: GridResult) -> str:
    """The rules by verdict."""
    by_verdict: dict[str, list[str]] = {}
    for rule in result["rules"]:
        by_verdict.setdefault(rule["verdict"], []).append(rule["says"])
    return " ".join(
        f"**{verdict.capitalize()}** ({len(rules)}): {'; '.join(rules)}."
        for verdict, rules in sorted(by_verdict.items())
    )


def _best_table(result: GridResult) -> str:
    lines = [
        "| activation | norm layer | best with | mean test accuracy | learned |",
        "|---|---|---|---:|---|",
    ]
    for row in result["best"]:
        settings = f"init={row['init']} normalization={row['normalization']} depth={row['depth']}"
        lines.append(
            f"| {row['activation']} | {row['norm_layer']} | `{settings}` | {format_percent(row['score'])} "
            f"| {row['learned']} of {row['runs']} |"
        )
    return "\n".join(lines)


def _phase(phase: PhaseResult) -> str:
    theory, forecast = Interval(**phase["theory"]), Interval(**phase["forecast"])
    parts = [f"Theory, depth up to {RULE_OF_THUMB:g} ξ: right about {format_agreement(theory)}."]
    if phase["fitted"]:
        fitted, agreement = phase["fitted"], Interval(**phase["fitted"]["agreement"])
        parts.append(
            f"The constant that these runs would choose is {fitted['constant']:.2g} (others from "
            f"{fitted['low']:.2g} to {fitted['high']:.2g} do as well), "
            f"right about {format_agreement(agreement)}: it is fitted to what it is held against."
        )
    if forecast.n:
        parts.append(f"The preflight, which trains nothing: right about {format_agreement(forecast)}.")
    return " ".join(parts)


def _provenance(result: GridResult) -> str:
    grid, phase = result["measured"], result["phase"]["measured"]
    return (
        f"Grid: commit {', '.join(grid['commit'])}; seeds {', '.join(map(str, result['seeds']))}; "
        f"{'; '.join(grid['machine'])}; {'; '.join(grid['data'])}; "
        f"{format_duration(result['wall_seconds'])} from the start of the first run to the end of the last, "
        f"two at a time (asked: at most {MAX_MINUTES} min). "
        f"Phase diagram: commit {', '.join(phase['commit'])}; seed 0; "
        f"{'; '.join(phase['data'])}. CIFAR-10 here is a JPEG copy of the data set: nothing here is an "
        "official CIFAR-10 result."
    )
