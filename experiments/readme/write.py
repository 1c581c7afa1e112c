"""results.json and the benchmarks' JSON → the tables between the README's markers, and its picture."""

import json
import re
from pathlib import Path
from typing import TypedDict

from benchmarks.gpu.report import readme_table

from experiments.preflight.page import summary
from experiments.readme.measure import HERE, read_results

README = HERE.parents[1] / "README.md"
PICTURE = HERE / "learning_curves.svg"
BENCHMARKS = HERE.parents[1] / "benchmarks" / "results"


class BenchmarkRow(TypedDict):
    """A measure of a benchmark, as `benchmarks/results` has it."""

    name: str
    question: str
    value: float | None
    unit: str
    at_least: float | None
    at_most: float | None
    reached: bool | None


def write_readme() -> None:
    """Puts the tables into the README."""
    README.write_text(render_readme(README.read_text(encoding="utf-8")), encoding="utf-8")


def render_readme(text: str) -> str:
    """The README with its generated parts as the recorded results say."""
    text = replace_section(text, "results", results_table())
    text = replace_section(text, "preflight", summary())
    text = replace_section(text, "claims", claims_table("course"))
    text = replace_section(text, "papers", claims_table("papers"))
    text = replace_section(text, "gpu", readme_table())
    return replace_section(text, "benchmarks", benchmarks_table())


def replace_section(text: str, name: str, content: str) -> str:
    """`text` with `content` between `<!-- name -->` and `<!-- /name -->`."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the README has no markers for '{name}'")
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def results_table() -> str:
    """One line an arm, and on what it was measured."""
    results = read_results()
    lines = [
        "| preset | arm | data | test accuracy | test loss | learned | epochs | time | must |",
        "|---|---|---|---:|---:|---|---:|---:|---|",
    ]
    for row in results["rows"]:
        must = {True: "reached", False: "**not reached**", None: ""}[row["reached"]]
        copy = "" if row["copy"].startswith("official") else f", {row['copy'].partition(' (')[0]}"
        lines.append(
            f"| `{row['preset']}`: {row['says']} | {row['arm']} | {row['data']}{copy} "
            f"| {_format_share(row['test/acc'])} | {_format_number(row['test/loss'])} "
            f"| {'yes' if row['learned'] else 'no'} | {row['epochs']:g} "
            f"| {_format_time(row['seconds'])} | {must} |"
        )
    machine = results["machine"]
    commits = sorted({(row["commit"] or "")[:7] for row in results["rows"]})
    seeds = sorted({row["seed"] for row in results["rows"]})
    return "\n".join(lines) + (
        f"\n\nMeasured by `make results` on {machine['processor']}, {machine['cores']} cores, no GPU; "
        f"commit {', '.join(commits)}; seed {', '.join(map(str, seeds))}. One seed each: differences of "
        "less than a point say nothing. CIFAR-10 here is a JPEG copy of the data set: none of these is an "
        "official CIFAR-10 result."
    )


def claims_table(collection: str) -> str:
    """One line a claim of a collection: its verdict, as its record has it."""
    from trainlab.claims import collection_pages, registry

    return collection_pages.verdict_table(registry.load_claims(HERE.parent, collection=collection))


def benchmarks_table() -> str:
    """One line a figure of the recorded benchmarks."""
    files = [file for file in sorted(BENCHMARKS.glob("*.json")) if not file.stem.startswith("quick")]
    lines = ["| figure | measured | must be | |", "|---|---:|---:|---|"]
    for file in files:
        measures: list[BenchmarkRow] = json.loads(file.read_text(encoding="utf-8"))["measures"]
        for row in measures:
            if row["value"] is not None:
                verdict = {True: "reached", False: "**missed**", None: "reported"}[row["reached"]]
                figure = f"{row['value']:,.3g} {row['unit']}"
                name = f"{row['name']}: {row['question']}"
                lines.append(f"| {name} | {figure} | {_threshold(row)} | {verdict} |")
    if len(lines) == 2:
        return "Nothing has been recorded yet."
    return "\n".join(lines)


def _threshold(row: BenchmarkRow) -> str:
    if row["at_least"] is not None:
        return f"≥ {row['at_least']:g}"
    return f"≤ {row['at_most']:g}" if row["at_most"] is not None else ""


def draw_learning_curves(runs: Path) -> None:
    """The learning curves of the four arms of `batchnorm_rescue`."""
    from trainlab.figures.learning_curves import learning_curves_plot, load_curves
    from trainlab.figures.style import save_figure

    table = load_curves(runs, ["readme-batchnorm_rescue"], ["activation", "norm_layer"])
    title = "12 convolutions on CIFAR-10: what the sigmoid lacks, and what BatchNorm gives back"
    subtitle = "python train.py experiment=batchnorm_rescue (JPEG copy)"
    save_figure(learning_curves_plot(table, "val/acc", title, subtitle, 0.1), PICTURE)


def _format_share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2%}"


def _format_number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _format_time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
