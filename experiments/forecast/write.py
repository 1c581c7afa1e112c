"""runs.csv → results.json, README.md and the figure. The runs are not needed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import polars as pl

from experiments.forecast.measure import load
from experiments.preflight import cross_validation
from experiments.preflight.metrics import Results, Scores
from experiments.preflight.table import TABLE as ZOO
from experiments.rendering import render_template, round_numbers
from trainlab.figures.reliability_diagram import reliability_plot
from trainlab.figures.style import save_figure as save
from trainlab.forecast.logistic_model import decision_threshold
from trainlab.stats.intervals import wilson_interval

HERE = Path(__file__).parent
RESULTS, README, PICTURE = HERE / "results.json", HERE / "README.md", HERE / "reliability.svg"
BY = ("made for", "activation", "depth", "optimizer", "data", "model", "norm_layer")
DEPTHS = {"1–2": 2, "3–5": 5, "6–9": 9, "10–15": 15, "16–24": 24, "25–48": 48}
LARGE = 20
"""A score of fewer runs is a matter of chance: it is not shown."""

WORST = 25
MADE_FOR = {
    "grid": "the grid",
    "phase-tanh": "the phase diagram",
    # of claims that were withdrawn since, or have another design under another name
    "claim-he-scale-repaired": "claims, papers",
    "claim-works-on-mnist-fails-on-cifar": "claims, course",
    "claim-batchnorm-eval-lag": "claims, course",
    "claim-gamma-beta-matter": "claims, course",
}


def write() -> None:
    """All files, from the table."""
    fitted_on = pl.read_csv(ZOO, columns=["run_id"])
    runs = prepared(load().join(fitted_on, on="run_id", how="anti", maintain_order="left"))
    results = round_numbers(scored(runs))
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(readme(results), encoding="utf-8")
    rows = cross_validation.reliability(cross_validation.labels(runs), runs["probability"].to_numpy())
    subtitle = f"{len(runs)} runs of claims and grid, none of which the forecast was fitted on"
    save(reliability_plot(rows, "Said before training, and what came of it", subtitle), PICTURE)
    print(verdict(results))


def prepared(runs: pl.DataFrame, collections: Mapping[str, str] | None = None) -> pl.DataFrame:
    """With what the score asks for: probability, threshold, range of depth, what a run was made for."""
    collections = collections_of(runs) if collections is None else collections
    return runs.with_columns(
        pl.col("learns").alias("probability"),
        pl.lit(decision_threshold()).alias("threshold"),
        cross_validation.depth_range(DEPTHS, "49 and more").alias("depth range"),
        pl.col("group").replace_strict(collections, default="other runs").alias("made for"),
    )


def collections_of(runs: pl.DataFrame) -> dict[str, str]:
    """What each sweep was made for: a claim of the course, one of the papers, the grid, the phase diagram."""
    from trainlab.claims.registry import load_claims as claims

    kinds = {f"claim-{entry.name}": f"claims, {entry.claim.collection}" for entry in claims(HERE.parent)}
    return {group: MADE_FOR.get(group, kinds.get(group, "other runs")) for group in set(runs["group"])}


def scored(runs: pl.DataFrame) -> Scores:
    """The scores of all runs together, by each of `BY`, and the worst errors."""
    return {
        "runs": len(runs),
        "learned": int(runs["learned"].sum()),
        "threshold": decision_threshold(),
        "all": _judged(runs),
        "by": {name: _by(runs, "depth range" if name == "depth" else name) for name in BY},
        "worst": _worst(runs),
        "seconds": {"median": runs["seconds"].median(), "most": runs["seconds"].max()},
        "seeds": sorted(set(runs["seed"])),
        "commits": sorted(set(runs["commit"])),
        "copies": sorted({f"{d}: {c}" for d, c in runs.select("data", "copy").unique().iter_rows()}),
    }


def _judged(runs: pl.DataFrame) -> Scores:
    """`score.judged`, with how often it was right and the interval of that, one setting a unit.

    Seeds of a setting are right or wrong together more often than not: n is the number of settings.
    """
    right = (pl.col("probability") >= pl.col("threshold")) == pl.col("learned")
    share, settings = float(runs.select(right.mean()).item()), runs["setting"].n_unique()
    sure = wilson_interval(round(share * settings), settings)
    return cross_validation.judged(runs) | {
        "right": share,
        "low": sure.low,
        "high": sure.high,
        "settings": settings,
    }


def _by(runs: pl.DataFrame, name: str) -> Scores:
    order = [*DEPTHS, "49 and more", "lenet5"]
    parts = {str(level): part for (level,), part in runs.group_by(name) if len(part) >= LARGE}
    key: Callable[[str], tuple] = lambda level: (order.index(level) if level in order else 0, level)  # noqa: E731
    return {level: _judged(parts[level]) for level in sorted(parts, key=key)}


def _worst(runs: pl.DataFrame) -> list[Scores]:
    """The most confident errors, one of each setting, with how many seeds it has and how many were wrong."""
    error = (pl.col("probability") - pl.col("learned").cast(pl.Float64)).abs()
    wrong = (pl.col("probability") >= pl.col("threshold")) != pl.col("learned")
    folded = runs.group_by("setting").agg(
        *(pl.col(name).first() for name in _SHOWN),
        error.mean().alias("error"), wrong.sum().alias("wrong"), pl.len().alias("runs"),
        pl.col("probability").mean(), pl.col("learned").sum(), pl.col("test_acc").mean(),
    )  # fmt: skip
    worst = folded.filter(pl.col("wrong") > 0).sort("error", "setting", descending=[True, False])
    return list(worst.head(WORST).iter_rows(named=True))


_SHOWN = (
    "model", "depth", "width", "activation", "init", "sigma_w2", "norm_layer", "normalization", "data",
    "optimizer", "lr", "steps", "group",
)  # fmt: skip


def readme(results: Results) -> str:
    """The whole README.md."""
    parts = {
        "verdict": verdict(results),
        "by": table_by(results),
        "worst": table_of_worst(results),
        "measured": _measured(results),
    }
    return render_template(HERE / "README.template.md", parts)


def verdict(results: Results) -> str:
    """How often it was right, in sentences."""
    scores = results["all"]
    return (
        f"{results['runs']} runs of {scores['settings']} settings, {results['learned']} of which learned. "
        f"The forecast was right about **{scores['right']:.1%}** "
        f"({scores['low']:.1%} to {scores['high']:.1%}). "
        f"It named {scores['recall']:.1%} of the runs that did not learn ({scores['missed']} missed), with "
        f"{scores['false_alarms']:.1%} false alarms ({scores['alarms']} of those that learned); AUROC "
        f"{scores['auroc']:.3f}, Brier {scores['brier']:.3f}."
    )


def table_by(results: Results) -> str:
    """A line for each level with runs enough."""
    lines = [
        "| | runs | settings | learned | right | AUROC | recall | false alarms | Brier |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
        f"| **all** | {_cells(results['all'])} |",
    ]
    for name, levels in results["by"].items():
        lines += [
            f"| {name.replace('_', ' ')}: {level} | {_cells(scores)} |" for level, scores in levels.items()
        ]
    return "\n".join(lines)


def table_of_worst(results: Results) -> str:
    """A line for each setting."""
    lines = ["| said | learned | test accuracy | setting | made for |", "|---:|---|---:|---|---|"]
    for row in results["worst"]:
        words = [f"{name}={row[name]}" for name in _SHOWN[:9] if row[name] is not None]
        words += [f"{row['optimizer']} lr={row['lr']:g} steps={row['steps']}"]
        accuracy = "–" if row["test_acc"] is None else f"{row['test_acc']:.1%}"
        lines.append(
            f"| {row['probability']:.0%} | {row['learned']} of {row['runs']} | {accuracy} "
            f"| `{' '.join(words)}` | {row['group'].removeprefix('claim-')} |"
        )
    return "\n".join(lines)


def _measured(results: Results) -> str:
    seconds = results["seconds"]
    return (
        f"One forecast took {seconds['median']:.1f} s of processor time in the median, "
        f"{seconds['most']:.1f} s at most. Of settings that were run with more seeds, two at most are "
        f"counted. Runs of commits {', '.join(results['commits'])}; seeds "
        f"{', '.join(map(str, results['seeds']))}; {'; '.join(results['copies'])}; their machines stand on "
        "the pages of the claims and of the grid. CIFAR-10 here is a JPEG copy of the data set: nothing here "
        "is an official CIFAR-10 result."
    )


def _cells(scores: Scores) -> str:
    def shown(name: str, form: str = ".1%") -> str:
        value = scores[name]
        return "–" if value is None or np.isnan(value) else f"{value:{form}}"

    learned = scores["alarms"] + scores["passed"]
    right = f"{scores['right']:.1%} ({scores['low']:.0%} … {scores['high']:.0%})"
    return (
        f"{scores['runs']} | {scores['settings']} | {learned / scores['runs']:.0%} | {right} "
        f"| {shown('auroc', '.3f')} | {shown('recall')} | {shown('false_alarms')} | {shown('brier', '.3f')}"
    )
