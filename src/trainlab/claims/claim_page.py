"""`experiments/<name>/README.md`: a lesson with its result as a page, from its records alone."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from trainlab.claims.claim_record import ClaimRecord
from trainlab.claims.claim_tables import arms_table, facts_table, grid_table, tested_table, tuning_table
from trainlab.claims.evidence_text import (
    WHAT_EVIDENCE_MEANS,
    facts_of,
    format_evidence,
    observed_text,
    page_verdict_sentence,
    primary_of,
    secondary_of,
    verdict_sentence,
)
from trainlab.claims.judge import PageVerdict, is_outdated
from trainlab.units import format_duration

PAGE_FILE = "README.md"
FIGURE_FILE = "figure.svg"
SECONDARY_TITLE = (
    "**Beside it**, tested after it and together (e-BH: of these verdicts at most one in twenty is expected "
    "to be wrong)"
)
MAX_OPEN_ARMS = 6
"""Arms in a table up to which it is not folded."""


def claim_page(
    record: ClaimRecord,
    has_figure: bool,
    on_page: PageVerdict | None = None,
    others: Mapping[str, ClaimRecord] | None = None,
) -> str:
    """The page: first what a reader learns from, then what it rests on.

    on_page: the verdict among all claims of its collection. others: records of other profiles, by profile.
    """
    return f"# {record.question}\n\n{claim_body(record, has_figure, on_page, others)}"


def claim_body(
    record: ClaimRecord,
    has_figure: bool,
    on_page: PageVerdict | None = None,
    others: Mapping[str, ClaimRecord] | None = None,
) -> str:
    """The page without its title."""
    parts = [*lesson_opening(record), f"```bash\n{command(record)}\n```"]
    if has_figure:
        parts.append(f"![{record.question}]({FIGURE_FILE})")
    parts += [f"![{shows}]({file})\n\n*{shows}.*" for file, shows in record.pictures.items()]
    parts += [f"> {record.statement}\n>\n> — {record.source}", *result_parts(record, on_page)]
    parts += lesson_close(record)
    if others:
        parts.append(other_profiles(record, others))
    parts += ground_parts(record)
    return "\n\n".join(parts) + "\n"


def lesson_opening(record: ClaimRecord) -> list[str]:
    """Explanation, and the prediction with its answer folded; of a claim without a lesson nothing."""
    lesson = record.lesson
    if lesson is None:
        return []
    answer = fold("The answer, once you have yours", lesson.answer)
    return [lesson.explanation, f"**Predict first.** {lesson.prediction}", answer]


def result_parts(record: ClaimRecord, on_page: PageVerdict | None, with_meaning: bool = True) -> list[str]:
    """The verdict in a sentence, what evidence means, the facts, and the secondary expectations."""
    parts = [verdict_sentence(record)]
    if sentence := page_verdict_sentence(record, on_page):
        parts[0] += f" {sentence}"
    if with_meaning and record.e_for is not None:
        parts.append(f"*{WHAT_EVIDENCE_MEANS}*")
    if facts := facts_of(record):
        parts.append(f"**Facts**, counted and not tested:\n\n{facts_table(facts)}")
    if secondary := secondary_of(record):
        title = "**What was expected**" if is_outdated(record) else SECONDARY_TITLE
        parts.append(f"{title}:\n\n{tested_table(secondary)}")
    return parts


def lesson_close(record: ClaimRecord) -> list[str]:
    """Theory, what would change the result, and what to try."""
    parts = []
    if record.lesson is not None:
        parts += [f"**Why.** {record.lesson.why}", f"**What would change it.** {record.lesson.would_change}"]
    return [*parts, f"**Try it yourself.** {record.suggestion}"]


def ground_parts(record: ClaimRecord) -> list[str]:
    """What the result rests on: arms, scale, what differs from the source, tuning, settings, provenance."""
    parts = []
    if record.grid is not None and record.arms:
        parts.append(grid_table(record))
    elif record.arms:
        table = arms_table(record)
        parts.append(
            fold(f"The {len(record.arms)} arms", table) if len(record.arms) > MAX_OPEN_ARMS else table
        )
    if record.scale:  # where nothing is run there is none
        parts.append(f"**Scale.** {record.scale}")
    parts += [f"**How this differs from the source.** {record.differs}"]
    if record.tuned:
        parts.append(fold("What was tuned", tuning_table(record)))
    parts.append(fold("Settings", settings_list(record)))
    parts.append(f"**Measured by** `{command(record)}`. {provenance(record)}")
    return parts


def other_profiles(record: ClaimRecord, others: Mapping[str, ClaimRecord]) -> str:
    """The verdict of this profile beside those of others, and in which settings they differ."""
    lines = [
        "| profile | verdict | seen | evidence for | against | seeds | scale |",
        "|---|---|---|---:|---:|---:|---|",
    ]
    for one in (record, *others.values()):
        primary = primary_of(one)
        seen = "–" if primary is None else observed_text(primary)
        lines.append(
            f"| {one.profile} | {one.verdict} | {seen} | {format_evidence(one.e_for)} "
            f"| {format_evidence(one.e_against)} | {len(one.seeds) or '–'} | {one.scale} |"
        )
    parts = ["**At another scale:**", "\n".join(lines)]
    parts += [difference for one in others.values() if (difference := settings_difference(record, one))]
    return "\n\n".join(parts)


def settings_difference(record: ClaimRecord, other: ClaimRecord) -> str:
    """In which settings of all arms two profiles differ; '' where in none."""
    only_here = [line for line in record.shared if line not in other.shared]
    only_there = [line for line in other.shared if line not in record.shared]
    if not only_here and not only_there:
        return ""
    here, there = (f"`{' '.join(lines)}`" if lines else "nothing more" for lines in (only_here, only_there))
    return f"What differs: {record.profile} has {here}, {other.profile} {there}."


def write_claim_page(
    folder: Path,
    record: ClaimRecord,
    on_page: PageVerdict | None = None,
    others: Mapping[str, ClaimRecord] | None = None,
) -> Path:
    """Writes the page into the claim's folder, with the pictures that are there, and returns where.

    Raises OSError.
    """
    path = folder / PAGE_FILE
    text = claim_page(with_files(record, folder), (folder / FIGURE_FILE).exists(), on_page, others)
    path.write_text(text, encoding="utf-8")
    return path


def with_files(record: ClaimRecord, folder: Path) -> ClaimRecord:
    """The record with those pictures alone whose files are in the folder."""
    pictures = {file: shows for file, shows in record.pictures.items() if (folder / file).is_file()}
    return record.model_copy(update={"pictures": pictures})


def command(record: ClaimRecord) -> str:
    """The command that measures the claim again."""
    profile = "" if record.profile == "quick" else f" --profile {record.profile}"
    return f"trainlab claims run {record.name}{profile}"


def fold(summary: str, content: str) -> str:
    """Content behind a line that opens it."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def provenance(record: ClaimRecord) -> str:
    """Commit, seeds, machine, data copy, time."""
    parts = [f"Commit {', '.join(record.commits)}"]
    if record.arms:
        parts.append(f"seeds {', '.join(map(str, record.seeds))}")
        parts.append(record.machine)
        parts.append("; ".join(record.data))
        parts.append(f"about {format_duration(record.run_seconds)} of runs, one after the other")
    return "; ".join(parts) + "."


def settings_list(record: ClaimRecord) -> str:
    """The overrides of every arm."""
    lines = [f"All: `{' '.join(record.shared)}`", ""]
    for arm, overrides in _overrides_outside_grid(record):
        lines.append(f"- {arm}: `{' '.join(overrides) or 'as it is'}`")
    return "\n".join(lines)


def _overrides_outside_grid(record: ClaimRecord) -> Iterable[tuple[str, list[str]]]:
    """The arms with their overrides; the cells of a grid in one line."""
    if record.grid is None:
        return record.overrides.items()
    cells = set(record.grid.cells())
    others = {arm: overrides for arm, overrides in record.overrides.items() if arm not in cells}
    return (others | {"scale × depth": [f"{record.grid.scale}=… depth=…"]}).items()
