"""`experiments/<name>/README.md`: the result of a claim as a page, from its record alone."""

from pathlib import Path

from trainlab.claims.claim_record import ArmRecord, ClaimRecord, ExpectationRecord, MeanRecord
from trainlab.claims.judge import DOES_NOT_HOLD, HOLDS, REFUTED, SUPPORTED, PageVerdict
from trainlab.claims.spec import cell_name
from trainlab.claims.value_text import evidence_text, format_e_value, format_in_unit
from trainlab.diagnosis.verdict import is_cause_valid
from trainlab.units import format_duration

PAGE_FILE = "README.md"
FIGURE_FILE = "figure.svg"
MARKS = {SUPPORTED: "✔", REFUTED: "✘", HOLDS: "✔", DOES_NOT_HOLD: "✘"}


def claim_page(record: ClaimRecord, has_figure: bool) -> str:
    """Statement, verdict, expectations, arms, picture, scale, provenance, and one thing to try."""
    parts = [
        f"# {record.question}",
        f"> {record.statement}\n>\n> — {record.source}",
        f"**{record.verdict.capitalize()}** at this scale ({certainty_text(record)}).",
        expectations_table(record),
    ]
    if has_figure:
        parts.append(f"![{record.question}]({FIGURE_FILE})")
    if record.grid is not None:
        parts.append(grid_table(record))
    elif record.arms:
        parts.append(arms_table(record))
    if record.tuned:
        parts.append(tuning_table(record))
    parts += [
        f"**Scale.** {record.scale}",
        f"**How this differs from the source.** {record.differs}",
        f"**Try.** {record.suggestion}",
        f"**Measured by** `trainlab claims run {record.name} --profile {record.profile}`. "
        + provenance(record),
        settings_section(record),
    ]
    return "\n\n".join(parts) + "\n"


def write_claim_page(folder: Path, record: ClaimRecord, has_figure: bool) -> Path:
    """Writes the page into the claim's folder and returns where. Raises OSError."""
    path = folder / PAGE_FILE
    path.write_text(claim_page(record, has_figure), encoding="utf-8")
    return path


def certainty_text(record: ClaimRecord) -> str:
    """How sure the verdict is, as far as chance has a part in it."""
    evidence = evidence_text(record.e_for, record.e_against)
    return record.reason or evidence or "counted, no chance involved"


def page_evidence(verdict: PageVerdict) -> str:
    """The evidence of a verdict on a page; a dash where nothing was tested."""
    return "–" if verdict.e_value is None else f"e = {format_e_value(verdict.e_value)}"


def expectations_table(record: ClaimRecord) -> str:
    """One line an expectation: what was expected, what was seen."""
    lines = ["| | expected | seen | e for | e against |", "|---|---|---|---:|---:|"]
    for expectation in record.expectations:
        mark = MARKS.get(expectation.verdict, "?")
        lines.append(
            f"| {mark} {expectation.verdict} | {expectation.description} "
            f"| {expectation.observed}{_bound_text(expectation)} "
            f"| {_e_cell(expectation.e_for)} | {_e_cell(expectation.e_against)} |"
        )
    return "\n".join(lines)


def arms_table(record: ClaimRecord) -> str:
    """One line an arm: how many runs learned, and the means over seeds with 95% intervals."""
    lines = [
        "| arm | parameters | learned | test accuracy | training accuracy | test loss | |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for arm in record.arms:
        lines.append(
            f"| {arm.arm} | {arm.parameters or 0:,} | {arm.learned} of {arm.n} "
            f"| {_accuracy_text(arm.test_accuracy)} | {_accuracy_text(arm.training_accuracy)} "
            f"| {_loss_text(arm.test_loss)} | {_remarks(arm)} |"
        )
    return "\n".join(lines)


def grid_table(record: ClaimRecord) -> str:
    """How many runs learned, by scale and depth; empty where the claim has no grid."""
    grid, arms = record.grid, {arm.arm: arm for arm in record.arms}
    if grid is None:
        return ""
    lines = [
        f"Runs that learned, by `{grid.scale}` and depth:",
        "",
        f"| depth | {' | '.join(f'{scale:g}' for scale in grid.scales)} |",
        f"|---:|{'---:|' * len(grid.scales)}",
    ]
    for depth in sorted(grid.depths, reverse=True):
        row = [arms[cell_name(scale, depth)] for scale in grid.scales]
        cells = [f"{arm.learned} of {arm.n}" for arm in row]
        lines.append(f"| {depth} | {' | '.join(cells)} |")
    return "\n".join(lines)


def tuning_table(record: ClaimRecord) -> str:
    """What was tried for each arm on seeds of its own: mean validation accuracy, the chosen in bold."""
    tuned = record.tuned
    candidates = [candidate.overrides for candidate in next(iter(tuned.values())).tried]
    head = " | ".join(f"`{' '.join(words)}`" for words in candidates)
    lines = [
        "Validation accuracy of what was tried for each arm, on seeds of its own; the best (bold) is judged:",
        "",
        f"| arm | {head} |",
        f"|---|{'---:|' * len(candidates)}",
    ]  # fmt: skip
    for arm, tuning in tuned.items():
        cells = []
        for candidate in tuning.tried:
            accuracy = candidate.accuracy
            text = "diverged" if accuracy is None else f"{100 * accuracy:.2f} %"
            cells.append(f"**{text}**" if candidate.overrides == tuning.chosen else text)
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    at_edge = [arm for arm, tuning in tuned.items() if tuning.edge]
    if at_edge:
        lines += ["", f"Not tuned, the best is at the edge of what was tried: {', '.join(at_edge)}."]
    return "\n".join(lines)


def provenance(record: ClaimRecord) -> str:
    """Commit, seeds, machine, data copy, time."""
    parts = [f"Commit {', '.join(record.commits)}"]
    if record.arms:
        parts.append(f"seeds {', '.join(map(str, record.seeds))}")
        parts.append(record.machine)
        parts.append("; ".join(record.data))
        parts.append(f"about {format_duration(record.run_seconds)} of runs, one after the other")
    return "; ".join(parts) + "."


def settings_section(record: ClaimRecord) -> str:
    """The overrides of every arm."""
    lines = [f"All: `{' '.join(record.shared)}`", ""]
    for arm, overrides in _overrides_outside_grid(record).items():
        lines.append(f"- {arm}: `{' '.join(overrides) or 'as it is'}`")
    return "<details><summary>Settings</summary>\n\n" + "\n".join(lines) + "\n\n</details>"


def _overrides_outside_grid(record: ClaimRecord) -> dict[str, list[str]]:
    """The arms with their overrides; the cells of a grid in one line."""
    if record.grid is None:
        return record.overrides
    cells = set(record.grid.cells())
    others = {arm: overrides for arm, overrides in record.overrides.items() if arm not in cells}
    return others | {"scale × depth": [f"{record.grid.scale}=… depth=…"]}


def _e_cell(e_value: float | None) -> str:
    return "–" if e_value is None else format_e_value(e_value)


def _bound_text(expectation: ExpectationRecord) -> str:
    if not expectation.bound:
        return ""
    sign = "±" if expectation.kind == "same" else ""
    return f"; bound {sign}{format_in_unit(expectation.bound, expectation.unit)}"


def _accuracy_text(mean: MeanRecord) -> str:
    return "–" if mean.value is None else f"{_mean_text(mean, scale=100, digits=2)} %"


def _loss_text(mean: MeanRecord) -> str:
    return "–" if mean.value is None else _mean_text(mean, scale=1, digits=3)


def _mean_text(mean: MeanRecord, scale: int, digits: int) -> str:
    """`91.20 ± 0.31`, in units of 1/scale."""
    text = f"{scale * (mean.value or 0.0):.{digits}f}"
    if mean.low is not None and mean.high is not None:
        text += f" ± {scale * (mean.high - mean.low) / 2:.{digits}f}"
    return text


def _remarks(arm: ArmRecord) -> str:
    """Runs that did not simply finish, and why runs did not learn."""
    others = [f"{count} {status}" for status, count in arm.statuses.items() if status != "finished"]
    causes = [
        f"{cause.replace('_', ' ')} ({count})"
        for cause, count in arm.causes.items()
        if is_cause_valid(cause, arm.verdict_version)
    ]
    return ", ".join([*others, *causes])
