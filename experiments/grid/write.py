"""runs.csv and phase.json → result.json, README.md and its figures. The runs are not needed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from experiments.grid.measure import HERE, distinct_provenance, load_phase_diagram, load_table
from experiments.grid.rules import AXES, as_json, evaluate_rules
from experiments.rendering import render_template
from trainlab.analysis import Effects, estimate_effects
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
from trainlab.claims.claim_page import format_p_value
from trainlab.figures import grid_heatmaps, phase_diagram
from trainlab.figures.style import save_figure as save
from trainlab.units import format_duration, format_percent

MAX_MINUTES = 40
"""What the grid may take on two cores."""

RESULT, README = HERE / "result.json", HERE / "README.md"


def write_page() -> None:
    """All files, from the tables."""
    scored = load_table()
    diagram, phase_measured = load_phase_diagram()
    accuracy, learning = estimate_effects(scored, AXES, "test/acc"), estimate_effects(scored, AXES, "learned")
    result = build_result(scored, accuracy, learning, diagram, phase_measured)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(render_readme(result, accuracy, learning), encoding="utf-8")
    _draw_figures(scored, result["pairs"])
    said = (
        f"tanh, σb² = .05, MNIST at 14 × 14 pixels, width 100, 300 steps of SGD; {len(diagram.points)} runs"
    )
    save(
        phase_diagram.phase_diagram_plot(diagram, "Where a tanh network trains", said),
        HERE / "phase-tanh.svg",
    )


def build_result(
    runs: pl.DataFrame,
    accuracy: Effects,
    learning: Effects,
    diagram: PhaseDiagram,
    phase_measured: Mapping[str, Any],
) -> dict[str, Any]:
    """What `result.json` holds."""
    first, second = accuracy.interactions.select("first", "second").row(0)
    result = {
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
        "rules": as_json(evaluate_rules(settings_of(runs))),
        "best": _best(runs),
        "phase": {
            "runs": len(diagram.points),
            "theory": asdict(theory_agreement(diagram)),
            "fitted": _fitted(diagram),
            "forecast": asdict(forecast_agreement(diagram)),
            "measured": phase_measured,
        },
    }
    return _rounded(result)


def wall_seconds(runs: pl.DataFrame) -> int:
    """From the start of the first run to the end of the last one."""
    times = runs.select(pl.col("started", "finished").str.to_datetime(time_zone="UTC"))
    first, last = times["started"].min(), times["finished"].max()
    return round((last - first).total_seconds())  # pyrefly: ignore


def settings_of(runs: pl.DataFrame) -> pl.DataFrame:
    """The settings, seeds averaged."""
    return runs.group_by(AXES).agg(score=pl.col("test/acc").mean()).sort(AXES)


def render_readme(result: Mapping[str, Any], accuracy: Effects, learning: Effects) -> str:
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


def _draw_figures(scored: pl.DataFrame, pairs: Mapping[str, Sequence[str]]) -> None:
    for name, axes in pairs.items():
        cells = grid_heatmaps.interaction_cells(scored, axes, "test/acc")
        said = "mean over all other settings; a diverged run counts as guessing (10%)"
        drawn = grid_heatmaps.interaction_heatmap(cells, axes, "test/acc", f"{axes[0]} × {axes[1]}", said)
        save(drawn, HERE / f"{name}.svg")
    order = ("activation", "init", "normalization", "norm_layer", "depth")
    ended = pl.when(pl.col("status") != "diverged").then(pl.col("test/acc"))
    cells = grid_heatmaps.combination_cells(scored.with_columns(ended.alias("test/acc")), order)
    said = "number: mean test accuracy in %; div.: diverged; two seeds each; a JPEG copy of CIFAR-10, 16 × 16"
    save(
        grid_heatmaps.combination_heatmap(cells, "Which combinations learn", said), HERE / "combinations.svg"
    )


def _shares(of: Effects) -> dict[str, Any]:
    return {"balanced": of.balanced, "rest": of.unexplained, "shares": effects_frame(of).to_dicts()}


def _fitted(diagram: PhaseDiagram) -> dict[str, Any] | None:
    rule = fit_depth_rule(diagram)
    return None if rule is None else rule._asdict() | {"agreement": asdict(rule.agreement)}


def _best(runs: pl.DataFrame) -> list[dict[str, Any]]:
    """Of each activation with and without BatchNorm, the setting with the best mean."""
    folded = runs.group_by(AXES).agg(pl.col("learned").sum(), score=pl.col("test/acc").mean(), runs=pl.len())
    best = (
        folded.sort("score", descending=True)
        .group_by("activation", "norm_layer", maintain_order=True)
        .first()
    )
    return best.sort("norm_layer", "score", descending=[False, True]).to_dicts()


def _scale(result: Mapping[str, Any]) -> str:
    runs, learned, diverged = (result[name] for name in ("runs", "learned", "diverged"))
    return (
        f"{result['settings']} of {result['possible']} combinations, {runs} runs: {learned} learned, "
        f"{runs - learned - diverged} stayed at chance, {diverged} diverged."
    )


def _matters(accuracy: Effects, learning: Effects) -> str:
    """What the shares say, in sentences."""
    axes = accuracy.shares.to_dicts()
    pairs = [row for row in accuracy.interactions.to_dicts() if (row["low"] or 0) > 0]
    clear = [row for row in axes if (row["low"] or 0) > 0]
    order = ", then ".join(f"{row['axis']} ({format_percent(row['share'])})" for row in clear)
    others = dict(accuracy.other_sources.select("source", "share").iter_rows())
    of_pairs = sum(row["share"] for row in accuracy.interactions.to_dicts())
    first = learning.shares.row(0, named=True)
    return (
        "Expected beforehand: interactions as large as the axes themselves. What came out, of the variance "
        f"of test accuracy: {order}. Single axes together leave {format_percent(accuracy.unexplained)}: "
        f"{format_percent(of_pairs)} to pairs, {format_percent(others.get(HIGHER_ORDER))} to three and "
        f"more axes at once, "
        f"{format_percent(others.get(SEEDS_SOURCE))} to seeds. {len(pairs)} of "
        f"{accuracy.interactions.height} "
        f"interactions of two axes are clear of chance. Whether a run learns at all depends on "
        f"{first['axis']} most ({format_percent(first['share'])})."
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
    lines = ["| axis | level | mean test accuracy | 95% over settings |", "|---|---|---:|---:|"]
    for row in accuracy.levels.to_dicts():
        lines.append(
            f"| {row['axis'].replace('_', ' ')} | {row['level']} | {format_percent(row['mean'])} "
            f"| {format_share_interval(row['low'], row['high'])} |"
        )
    return "\n".join(lines)


def _rules_table(result: Mapping[str, Any]) -> str:
    lines = [
        "| rule | compared | difference, points | 95% | holds in | p | among all |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for rule in result["rules"]:
        lines.append(
            f"| {rule['says']} ({rule['source']}) | {rule['compares']} | {100 * rule['estimate']:+.1f} "
            f"| {format_share_interval(rule['low'], rule['high'])} | {rule['held']} of {rule['n']} | "
            f"{format_p_value(rule['p'])} "
            f"| {rule['verdict']} |"
        )
    return "\n".join(lines)


def _verdicts(result: Mapping[str, Any]) -> str:
    """How many rules came out which way."""
    names: dict[str, list[str]] = {}
    for rule in result["rules"]:
        names.setdefault(rule["verdict"], []).append(rule["says"])
    return " ".join(
        f"**{verdict.capitalize()}** ({len(of)}): {'; '.join(of)}." for verdict, of in sorted(names.items())
    )


def _best_table(result: Mapping[str, Any]) -> str:
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


def _phase(phase: Mapping[str, Any]) -> str:
    from trainlab.stats.intervals import Interval

    theory, forecast = Interval(**phase["theory"]), Interval(**phase["forecast"])
    said = [f"Theory, depth up to {RULE_OF_THUMB:g} ξ: right about {format_agreement(theory)}."]
    if phase["fitted"]:
        fitted, agreement = phase["fitted"], Interval(**phase["fitted"]["agreement"])
        said.append(
            f"The constant that these runs would choose is {fitted['constant']:.2g} ({fitted['low']:.2g} to "
            f"{fitted['high']:.2g}), right about {format_agreement(agreement)}: it is fitted to what it "
            f"is held against."
        )
    if forecast.n:
        said.append(f"The preflight, which trains nothing: right about {format_agreement(forecast)}.")
    return " ".join(said)


def _provenance(result: Mapping[str, Any]) -> str:
    of, phase = result["measured"], result["phase"]["measured"]
    return (
        f"Grid: commit {', '.join(of['commit'])}; seeds {', '.join(map(str, result['seeds']))}; "
        f"{'; '.join(of['machine'])}; {'; '.join(of['data'])}; "
        f"{format_duration(result['wall_seconds'])} from the "
        f"start of the first run to the end of the last, two at a time (asked: at most {MAX_MINUTES} min). "
        f"Phase diagram: commit {', '.join(phase['commit'])}; seed 0; "
        f"{'; '.join(phase['data'])}. CIFAR-10 here is a JPEG copy of the data set: nothing here is an "
        "official CIFAR-10 result."
    )


def _rounded(value: Any) -> Any:
    """Numbers with five digits."""
    if isinstance(value, Mapping):
        return {key: _rounded(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(of) for of in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
