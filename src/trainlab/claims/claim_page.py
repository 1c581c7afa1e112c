"""`experiments/<name>/README.md`: what a claim came to, from its record alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainlab.claims.judge import REFUTED, SUPPORTED, format_in_unit
from trainlab.claims.spec import PhaseGrid
from trainlab.diagnosis.verdict import is_cause_valid
from trainlab.units import format_duration

PAGE_FILE = "README.md"
FIGURE_FILE = "figure.svg"
MARKS = {SUPPORTED: "✔", REFUTED: "✘"}


def claim_page(record: Mapping[str, Any], has_figure: bool) -> str:
    """Statement, verdict, findings, arms, picture, scale, provenance, and one thing to try."""
    parts = [
        f"# {record['question']}",
        f"> {record['statement']}\n>\n> — {record['source']}",
        f"**{record['verdict'].capitalize()}** at this scale ({certainty_text(record)}).",
        findings_table(record),
    ]
    if has_figure:
        parts.append(f"![{record['question']}]({FIGURE_FILE})")
    if record.get("grid"):
        parts.append(grid_table(record))
    elif record["arms"]:
        parts.append(arms_table(record))
    if record.get("tuned"):
        parts.append(tuning_table(record))
    parts += [
        f"**Scale.** {record['scale']}",
        f"**How this differs from the source.** {record['differs']}",
        f"**Try.** {record['try']}",
        f"**Measured by** `trainlab claims run {record['name']} --profile {record['profile']}`. "
        + provenance(record),
        settings_section(record),
    ]
    return "\n\n".join(parts) + "\n"


def write_claim_page(folder: Path, record: Mapping[str, Any], has_figure: bool) -> Path:
    """Writes the page into the claim's folder and returns where. Raises OSError."""
    path = folder / PAGE_FILE
    path.write_text(claim_page(record, has_figure), encoding="utf-8")
    return path


def certainty_text(record: Mapping[str, Any]) -> str:
    """How sure the verdict is, as far as chance has a part in it."""
    if not record["arms"] and record["verdict"] in (SUPPORTED, REFUTED):
        return "exact, no chance involved"
    if record["verdict"] == SUPPORTED:
        return f"{format_p_equation(record['p_for'])} for data like these if it were not so"
    if record["verdict"] == REFUTED:
        return f"{format_p_equation(record['p_against'])} for data like these if it were so"
    return (
        f"{format_p_equation(record['p_for'])} for it, {format_p_value(record['p_against'])} against "
        f"it; α = 0.05"
    )


def findings_table(record: Mapping[str, Any]) -> str:
    """One line an expectation: what was expected, what was seen."""
    lines = ["| | expected | seen | p for | p against |", "|---|---|---|---:|---:|"]
    for finding in record["findings"]:
        mark = MARKS.get(finding["verdict"], "?")
        lines.append(
            f"| {mark} {finding['verdict']} | {finding['says']} | {finding['saw']}{_bound_text(finding)} "
            f"| {format_p_value(finding['p_for'])} | {format_p_value(finding['p_against'])} |"
        )
    return "\n".join(lines)


def arms_table(record: Mapping[str, Any]) -> str:
    """One line an arm: how many runs learned, and the means over seeds with 95% intervals."""
    lines = [
        "| arm | parameters | learned | test accuracy | training accuracy | test loss | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for arm in record["arms"]:
        measured = [_mean_text(arm[metric], metric) for metric in ("test/acc", "train/acc", "test/loss")]
        lines.append(
            f"| {arm['arm']} | {arm['parameters'] or 0:,} | {arm['learned']} of {arm['n']} "
            f"| {' | '.join(measured)} | {_remarks(arm)} |"
        )
    return "\n".join(lines)


def grid_table(record: Mapping[str, Any]) -> str:
    """How many runs learned, by scale and depth; and what became of arms that are no cells."""
    grid, arms = record["grid"], {arm["arm"]: arm for arm in record["arms"]}
    lines = [
        f"Runs that learned, by `{grid['scale']}` and depth:",
        "",
        f"| depth | {' | '.join(f'{scale:g}' for scale in grid['scales'])} |",
        f"|---:|{'---:|' * len(grid['scales'])}",
    ]
    for depth in sorted(grid["depths"], reverse=True):
        row = [arms[PhaseGrid.name(scale, depth)] for scale in grid["scales"]]
        cells = [f"{arm['learned']} of {arm['n']}" for arm in row]
        lines.append(f"| {depth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tuning_table(record: Mapping[str, Any]) -> str:
    """What was tried for each arm on seeds of its own: mean validation accuracy, the chosen in bold."""
    tuned = record["tuned"]
    candidates = [tried["overrides"] for tried in next(iter(tuned.values()))["tried"]]
    head = " | ".join(f"`{' '.join(words)}`" for words in candidates)
    lines = [
        "Validation accuracy of what was tried for each arm, on seeds of its own; the best (bold) is judged:",
        "",
        f"| arm | {head} |",
        f"|---|{'---:|' * len(candidates)}",
    ]  # fmt: skip
    for arm, choice in tuned.items():
        cells = []
        for tried in choice["tried"]:
            text = "diverged" if tried["val/acc"] is None else f"{100 * tried['val/acc']:.2f} %"
            cells.append(f"**{text}**" if tried["overrides"] == choice["chosen"] else text)
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    at_edge = [arm for arm, choice in tuned.items() if choice["chosen"] in (candidates[0], candidates[-1])]
    if at_edge:
        lines += ["", f"At the edge of what was tried: {', '.join(at_edge)}."]
    return "\n".join(lines)


def provenance(record: Mapping[str, Any]) -> str:
    """Commit, seeds, machine, data copy, time."""
    said = [f"Commit {', '.join(record['commits'])}"]
    if record["arms"]:
        said.append(f"seeds {', '.join(map(str, record['seeds']))}")
        said.append(record["machine"])
        said.append("; ".join(record["data"]))
        said.append(f"about {format_duration(record['run_seconds'])} of runs, one after the other")
    return "; ".join(said) + "."


def settings_section(record: Mapping[str, Any]) -> str:
    """The overrides of every arm."""
    lines = [f"All: `{' '.join(record['shared'])}`"]
    lines += [
        f"- {arm}: `{' '.join(words) or 'as it is'}`"
        for arm, words in _overrides_outside_grid(record).items()
    ]
    return (
        "<details><summary>Settings</summary>\n\n" + "\n".join([lines[0], "", *lines[1:]]) + "\n\n</details>"
    )


def _overrides_outside_grid(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arms with their overrides; of a grid, which says them itself, none of the cells."""
    grid = record.get("grid")
    if not grid:
        return record["overrides"]
    cells = {PhaseGrid.name(scale, depth) for scale in grid["scales"] for depth in grid["depths"]}
    rest = {arm: words for arm, words in record["overrides"].items() if arm not in cells}
    return rest | {"scale × depth": [f"{grid['scale']}=… depth=…"]}


def format_p_value(p: float) -> str:
    """Three digits at most; what is below 0.0001 says so."""
    if p in (0.0, 1.0):
        return f"{p:.0f}"
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def format_p_equation(p: float) -> str:
    """`p = 0.012` or `p < 0.0001`."""
    text = format_p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def _bound_text(finding: Mapping[str, Any]) -> str:
    if finding["bound"] in (None, 0.0):
        return ""
    sign = "±" if finding["kind"] == "same" else ""
    return f"; bound {sign}{format_in_unit(finding['bound'], finding['unit'])}"


def _mean_text(interval: Mapping[str, Any], metric: str) -> str:
    if interval["value"] is None:
        return "–"
    scale, unit = (100, " %") if metric.endswith("/acc") else (1, "")
    digits = 2 if unit else 3
    text = f"{scale * interval['value']:.{digits}f}"
    if interval["low"] is not None:
        text += f" ± {scale * (interval['high'] - interval['low']) / 2:.{digits}f}"
    return text + unit


def _remarks(arm: Mapping[str, Any]) -> str:
    """Runs that did not simply finish, and why runs did not learn."""
    others = [f"{count} {status}" for status, count in arm["statuses"].items() if status != "finished"]
    told = {
        cause: n for cause, n in arm["causes"].items() if is_cause_valid(cause, arm.get("verdict_version"))
    }
    causes = [f"{cause.replace('_', ' ')} ({count})" for cause, count in told.items()]
    return ", ".join([*others, *causes])
