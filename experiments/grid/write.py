"""runs.csv and phase.json → result.json, README.md and its figures. The runs are not needed."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from experiments.grid.measure import HERE, load, load_phase, measured
from experiments.grid.rules import AXES, plain, rulings
from experiments.written import filled
from trainlab.analysis import Effects, effects
from trainlab.analysis.effects import HIGHER, SEEDS
from trainlab.analysis.phase import RULE, Diagram, best_rule, forecast_agreement, sure, theory_agreement
from trainlab.analysis.tables import bounds, effects_frame, percent
from trainlab.claims.page import p_value
from trainlab.figures import combinations, pair, phase_diagram
from trainlab.figures.style import write as save
from trainlab.sweeps.display import duration

MOST_MINUTES = 40
"""What the grid may take on two cores."""

RESULT, README = HERE / "result.json", HERE / "README.md"


def write() -> None:
    """All files, from the tables."""
    scored = load()
    diagram, phase_measured = load_phase()
    accuracy, learning = effects(scored, AXES, "test/acc"), effects(scored, AXES, "learned")
    result = computed(scored, accuracy, learning, diagram, phase_measured)
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(readme(result, accuracy, learning), encoding="utf-8")
    _draw(scored, result["pairs"])
    said = (
        f"tanh, σb² = .05, MNIST at 14 × 14 pixels, width 100, 300 steps of SGD; {len(diagram.places)} runs"
    )
    save(phase_diagram.figure(diagram, "Where a tanh network trains", said), HERE / "phase-tanh.svg")


def computed(
    runs: pl.DataFrame,
    accuracy: Effects,
    learning: Effects,
    diagram: Diagram,
    phase_measured: Mapping[str, Any],
) -> dict[str, Any]:
    """What `result.json` holds."""
    first, second = accuracy.interactions.select("first", "second").row(0)
    result = {
        "name": "grid",
        "runs": len(runs),
        "settings": accuracy.settings,
        "possible": accuracy.possible,
        "learned": int(runs["learned"].sum()),
        "diverged": int((runs["status"] == "diverged").sum()),
        "seeds": sorted(set(runs["seed"])),
        "run_seconds": round(float(runs["seconds"].sum())),
        "wall_seconds": wall_seconds(runs),
        "measured": measured(runs.select("commit", "machine", "data").to_dicts()),
        "effects": {"test/acc": _shares(accuracy), "learned": _shares(learning)},
        "pairs": {"activation-init": ("activation", "init"), "largest-interaction": (first, second)},
        "rules": plain(rulings(settings_of(runs))),
        "best": _best(runs),
        "phase": {
            "runs": len(diagram.places),
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


def readme(result: Mapping[str, Any], accuracy: Effects, learning: Effects) -> str:
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
    return filled(HERE / "README.template.md", parts)


def _draw(scored: pl.DataFrame, pairs: Mapping[str, Sequence[str]]) -> None:
    for name, axes in pairs.items():
        cells = pair.cells(scored, axes, "test/acc")
        said = "mean over all other settings; a diverged run counts as guessing (10%)"
        drawn = pair.figure(cells, axes, "test/acc", f"{axes[0]} × {axes[1]}", said)
        save(drawn, HERE / f"{name}.svg")
    order = ("activation", "init", "normalization", "norm_layer", "depth")
    ended = pl.when(pl.col("status") != "diverged").then(pl.col("test/acc"))
    cells = combinations.cells(scored.with_columns(ended.alias("test/acc")), order)
    said = "number: mean test accuracy in %; div.: diverged; two seeds each; a JPEG copy of CIFAR-10, 16 × 16"
    save(combinations.figure(cells, "Which combinations learn", said), HERE / "combinations.svg")


def _shares(of: Effects) -> dict[str, Any]:
    return {"balanced": of.balanced, "rest": of.rest, "shares": effects_frame(of).to_dicts()}


def _fitted(diagram: Diagram) -> dict[str, Any] | None:
    rule = best_rule(diagram)
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
    order = ", then ".join(f"{row['axis']} ({percent(row['share'])})" for row in clear)
    others = dict(accuracy.others.select("source", "share").iter_rows())
    of_pairs = sum(row["share"] for row in accuracy.interactions.to_dicts())
    first = learning.shares.row(0, named=True)
    return (
        "Expected beforehand: interactions as large as the axes themselves. What came out, of the variance "
        f"of test accuracy: {order}. Single axes together leave {percent(accuracy.rest)}: "
        f"{percent(of_pairs)} to pairs, {percent(others.get(HIGHER))} to three and more axes at once, "
        f"{percent(others.get(SEEDS))} to seeds. {len(pairs)} of {accuracy.interactions.height} "
        f"interactions of two axes are clear of chance. Whether a run learns at all depends on "
        f"{first['axis']} most ({percent(first['share'])})."
    )


def _shares_table(accuracy: Effects, learning: Effects) -> str:
    other = {row["source"]: row for row in effects_frame(learning).to_dicts()}
    lines = [
        "| | share of the variance of test accuracy | 95% | of whether it learned | 95% |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in effects_frame(accuracy).to_dicts():
        shares = (row, other.get(row["source"], {"share": None, "low": None, "high": None}))
        shown = [f"{percent(of['share'])} | {bounds(of['low'], of['high'])}" for of in shares]
        lines.append(f"| {row['source'].replace('_', ' ')} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _levels_table(accuracy: Effects) -> str:
    lines = ["| axis | level | mean test accuracy | 95% over settings |", "|---|---|---:|---:|"]
    for row in accuracy.levels.to_dicts():
        lines.append(
            f"| {row['axis'].replace('_', ' ')} | {row['level']} | {percent(row['mean'])} "
            f"| {bounds(row['low'], row['high'])} |"
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
            f"| {bounds(rule['low'], rule['high'])} | {rule['held']} of {rule['n']} | {p_value(rule['p'])} "
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
            f"| {row['activation']} | {row['norm_layer']} | `{settings}` | {percent(row['score'])} "
            f"| {row['learned']} of {row['runs']} |"
        )
    return "\n".join(lines)


def _phase(phase: Mapping[str, Any]) -> str:
    from trainlab.analysis.intervals import Interval

    theory, forecast = Interval(**phase["theory"]), Interval(**phase["forecast"])
    said = [f"Theory, depth up to {RULE:g} ξ: right about {sure(theory)}."]
    if phase["fitted"]:
        fitted, agreement = phase["fitted"], Interval(**phase["fitted"]["agreement"])
        said.append(
            f"The constant that these runs would choose is {fitted['constant']:.2g} ({fitted['low']:.2g} to "
            f"{fitted['high']:.2g}), right about {sure(agreement)}: it is fitted to what it is held against."
        )
    if forecast.n:
        said.append(f"The preflight, which trains nothing: right about {sure(forecast)}.")
    return " ".join(said)


def _provenance(result: Mapping[str, Any]) -> str:
    of, phase = result["measured"], result["phase"]["measured"]
    return (
        f"Grid: commit {', '.join(of['commit'])}; seeds {', '.join(map(str, result['seeds']))}; "
        f"{'; '.join(of['machine'])}; {'; '.join(of['data'])}; {duration(result['wall_seconds'])} from the "
        f"start of the first run to the end of the last, two at a time (asked: at most {MOST_MINUTES} min). "
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
