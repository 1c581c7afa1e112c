"""A collection of claims as one page, and as the table of verdicts of the top README.

The course is `experiments/README.md`, the papers `experiments/papers.md`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainlab.claims.claim_page import FIGURE_FILE, PAGE_FILE, write_claim_page
from trainlab.claims.claim_record import ClaimRecord, LessonRecord, read_record
from trainlab.claims.evidence_text import (
    WHAT_EVIDENCE_MEANS,
    WHAT_PAGE_VERDICTS_ARE,
    format_evidence,
    page_verdict_sentence,
    verdict_sentence,
)
from trainlab.claims.judge import PageVerdict, page_verdicts
from trainlab.claims.registry import ClaimFile
from trainlab.claims.spec import PROFILE_NAMES, Claim
from trainlab.units import format_duration

NOT_RUN = "not run yet"


@dataclass(frozen=True)
class CollectionPage:
    """Claims that are read, and judged, together. title: of its part of the report."""

    page: str
    title: str
    opening: str


NOTES_PAGE = "notes-corrected.md"
COLLECTION_PAGES = {
    "course": CollectionPage(
        PAGE_FILE,
        "What the course claims, and what came out",
        f"""\
# The way through the course

Every lesson is a question, a prediction to make, a command that answers it on your own machine, and a \
verdict: supported, refuted, not enough evidence, or not testable at this budget; a fact holds or does \
not. A lesson that does not come out as its source says is reported as it came out. `make reproduce` runs \
all on two cores, `make report` makes one page.

{WHAT_EVIDENCE_MEANS} {WHAT_PAGE_VERDICTS_ARE}

[What the notes get wrong, and the command that shows it]({NOTES_PAGE}) is a list of its own. Further on: \
[what the papers claim](papers.md). As published, on a GPU: `trainlab claims run --profile gpu`, and what \
that takes, before anything starts: `trainlab claims run --profile gpu --plan-only` \
([the whole plan](gpu_plan/README.md)).
""",
    ),
    "papers": CollectionPage(
        "papers.md",
        "What the papers claim, and what came out",
        f"""\
# What the papers claim

The literature of trainability as commands. Each claim is that of a paper, with what it measured, at a scale \
that fits two cores, and as published where there is a GPU (`--profile gpu`). What was expected was written \
down before the runs that count, from the paper; what did not come out is reported as it came out, and is no \
word on the paper at its own scale. `make reproduce-papers` runs all, `trainlab claims run NAME` one.

{WHAT_EVIDENCE_MEANS} {WHAT_PAGE_VERDICTS_ARE}
""",
    ),
}


def read_records(entries: Sequence[ClaimFile], profile: str = "quick") -> dict[str, ClaimRecord]:
    """The records of a profile that there are, by name, in the order of the claims."""
    return {
        entry.name: with_current_words(record, entry.claim)
        for entry in entries
        if (record := read_record(entry.folder, profile)) is not None
    }


def with_current_words(record: ClaimRecord, claim: Claim) -> ClaimRecord:
    """The record with the words around the measurement as the claim's file has them today.

    Only where the file still expects what was tested; what was measured is never touched.
    """
    if [e.description for e in record.expectations] != [e.description for e in claim.expectations]:
        return record
    lesson = None if claim.lesson is None else LessonRecord(**claim.lesson.model_dump())
    return record.model_copy(
        update={
            "statement": claim.statement, "question": claim.question, "lesson": lesson,
            "differs": claim.differs, "suggestion": claim.suggestion,
        }
    )  # fmt: skip


def other_records(folder: Path, shown: str = "quick") -> dict[str, ClaimRecord]:
    """The records of a claim in other profiles than the one that is shown, by profile."""
    records = {profile: read_record(folder, profile) for profile in PROFILE_NAMES if profile != shown}
    return {profile: record for profile, record in records.items() if record is not None}


def verdicts_by_claim(records: Mapping[str, ClaimRecord]) -> dict[str, PageVerdict]:
    """The verdict of each record among those of its collection (e-BH)."""
    verdicts: dict[str, PageVerdict] = {}
    for collection in COLLECTION_PAGES:
        verdicts |= page_verdicts(
            {name: record for name, record in records.items() if record.collection == collection}
        )
    return verdicts


def group_by_collection(entries: Sequence[ClaimFile]) -> dict[str, list[ClaimFile]]:
    """The claims of each collection that has any."""
    groups = {name: [e for e in entries if e.claim.collection == name] for name in COLLECTION_PAGES}
    return {name: group for name, group in groups.items() if group}


def write_collection_pages(folder: Path, entries: Sequence[ClaimFile]) -> list[Path]:
    """Refreshes the page of each collection, and of each claim that was run: one verdict more or less may
    change those of others.

    Raises OSError.
    """
    paths = []
    for name, group in group_by_collection(entries).items():
        paths.append(folder / COLLECTION_PAGES[name].page)
        paths[-1].write_text(collection_page(name, group), encoding="utf-8")
        records = read_records(group)
        verdicts = verdicts_by_claim(records)
        for entry in group:
            if entry.name in records:
                write_claim_page(
                    entry.folder, records[entry.name], verdicts[entry.name], other_records(entry.folder)
                )
    return paths


def collection_page(collection: str, entries: Sequence[ClaimFile]) -> str:
    """All claims of a collection in their order: question, command, verdict, picture, one thing to try."""
    records = read_records(entries)
    verdicts = verdicts_by_claim(records)
    parts = [COLLECTION_PAGES[collection].opening]
    if collection == "papers":
        parts.append(verdict_table(entries, prefix="") + "\n")
    for number, entry in enumerate(entries, start=1):
        parts.append(_claim_section(number, entry, records.get(entry.name), verdicts.get(entry.name)))
    return "\n".join(parts)


def _claim_section(
    number: int, entry: ClaimFile, record: ClaimRecord | None, on_page: PageVerdict | None
) -> str:
    claim, name = entry.claim, entry.name
    lines = [f"## {number}. {claim.question}"]
    if claim.lesson is not None:
        lines += [claim.lesson.explanation, f"*Predict first.* {claim.lesson.prediction}"]
    lines += [claim.statement, f"```bash\ntrainlab claims run {name}\n```"]
    if (entry.folder / FIGURE_FILE).exists():
        lines.append(f"![{claim.question}]({name}/{FIGURE_FILE})")
    if record is None:
        lines.append(f"**{NOT_RUN.capitalize()}.**")
    else:
        lines.append(verdict_sentence(record))
        if sentence := page_verdict_sentence(record, on_page):
            lines[-1] += f" {sentence}"
        lines[-1] += "".join(
            f" With the profile {profile}: {other.verdict}."
            for profile, other in other_records(entry.folder).items()
        )
        lines.append(f"[The whole lesson, with the answer and the numbers]({name}/{PAGE_FILE})")
    lines.append(f"*Try:* {claim.suggestion}")
    return "\n\n".join(lines) + "\n"


def verdict_table(entries: Sequence[ClaimFile], prefix: str = "experiments/") -> str:
    """The verdicts as a table in Markdown, a line a claim, and on what they were measured.

    prefix: the folder of the claims, seen from the page.
    """
    records = read_records(entries)
    verdicts = verdicts_by_claim(records)
    lines = [
        "| claim | question | by itself | on this page | evidence | seeds | time of runs |",
        "|---|---|---|---|---:|---:|---:|",
    ]
    for entry in entries:
        name, question, record = entry.name, entry.claim.question, records.get(entry.name)
        if record is None:
            lines.append(f"| `{name}` | {question} | {NOT_RUN} | – | – | – | – |")
            continue
        link = f"[`{name}`]({prefix}{name}/{PAGE_FILE})"
        minutes = f"{record.run_seconds / 60:.1f} min" if record.seeds else "–"
        lines.append(
            f"| {link} | {question} | {record.verdict}{profiles_text(entry)} | {verdicts[name].verdict} "
            f"| {format_evidence(verdicts[name].e_value)} | {len(record.seeds) or '–'} | {minutes} |"
        )
    return "\n".join(lines) + f"\n\n{provenance_paragraph(records.values())}"


def profiles_text(entry: ClaimFile) -> str:
    """`; full: refuted`: the verdicts of other profiles."""
    return "".join(f"; {profile}: {other.verdict}" for profile, other in other_records(entry.folder).items())


def provenance_paragraph(records: Collection[ClaimRecord]) -> str:
    """Commits, machines and data copies of all records, in one paragraph."""
    if not records:
        return "Nothing has been run yet."
    commits = sorted({commit for record in records for commit in record.commits})
    machines = sorted({record.machine for record in records if record.arms})
    data = sorted({copy for record in records for copy in record.data})
    duration = format_duration(sum(record.run_seconds for record in records))
    return (
        f"Written by `trainlab claims run`; on this page: e-BH at 5 % over the {len(records)} claims run. "
        f"All runs one after the other: {duration}. "
        f"Commit {', '.join(commits)}; {'; '.join(machines)}; {'; '.join(data)}."
    )
