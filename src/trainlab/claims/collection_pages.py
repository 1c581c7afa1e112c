"""A collection of claims as one page, and as the table of verdicts of the top README.

The course is `experiments/README.md`, the papers `experiments/papers.md`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainlab.claims.claim_page import FIGURE_FILE, PAGE_FILE
from trainlab.claims.claim_record import ClaimRecord, read_record
from trainlab.claims.judge import PageVerdict, page_verdicts
from trainlab.claims.registry import ClaimFile
from trainlab.units import format_duration

NOT_RUN = "not run yet"


@dataclass(frozen=True)
class CollectionPage:
    """Claims that are read, and judged, together. title: of its part of the report."""

    page: str
    title: str
    opening: str


ADJUSTMENT_NOTE = """\
"By itself" a claim is decided at e ≥ 20, wrong at most once in twenty; "among all" by e-BH over all claims \
of this page that were run: of the verdicts among them at most one in twenty is wrong, on average.
"""
COLLECTION_PAGES = {
    "course": CollectionPage(
        PAGE_FILE,
        "What the course claims, and what came out",
        """\
# The way through the course

Every lesson is a question, a command that answers it on your own machine, and a verdict: supported, \
refuted, or not enough evidence. A lesson that does not come out as its source says is reported as it came \
out. Each takes five minutes at most on two cores; `make reproduce` runs all, `make report` makes one page.

"""
        + ADJUSTMENT_NOTE
        + """
Further on: [what the papers claim](papers.md). As published, on a GPU: `trainlab claims run --profile gpu`, \
and what that takes, before anything starts: `trainlab claims run --profile gpu --plan-only` \
([the whole plan](gpu_plan/README.md)).
""",
    ),
    "papers": CollectionPage(
        "papers.md",
        "What the papers claim, and what came out",
        """\
# What the papers claim

The literature of trainability as commands. Each claim is that of a paper, with what it measured, at a scale \
that fits two cores, and as published where there is a GPU (`--profile gpu`). What was expected was written \
down before the runs that count, from the paper; what did not come out is reported as it came out, and is no \
word on the paper at its own scale. `make reproduce-papers` runs all, `trainlab claims run NAME` one.

"""
        + ADJUSTMENT_NOTE,
    ),
}


def read_records(entries: Sequence[ClaimFile]) -> dict[str, ClaimRecord]:
    """The records that there are, by name, in the order of the claims."""
    records = {entry.name: read_record(entry.folder) for entry in entries}
    return {name: record for name, record in records.items() if record is not None}


def verdicts_by_claim(records: Mapping[str, ClaimRecord]) -> dict[str, PageVerdict]:
    """The verdict of each record among those of its collection, by e-BH."""
    verdicts: dict[str, PageVerdict] = {}
    for collection in COLLECTION_PAGES:
        verdicts |= page_verdicts({n: r for n, r in records.items() if r.collection == collection})
    return verdicts


def group_by_collection(entries: Sequence[ClaimFile]) -> dict[str, list[ClaimFile]]:
    """The claims of each collection that has any."""
    groups = {name: [e for e in entries if e.claim.collection == name] for name in COLLECTION_PAGES}
    return {name: group for name, group in groups.items() if group}


def write_collection_pages(folder: Path, entries: Sequence[ClaimFile]) -> list[Path]:
    """Refreshes the page of each collection. Raises OSError."""
    paths = []
    for name, group in group_by_collection(entries).items():
        paths.append(folder / COLLECTION_PAGES[name].page)
        paths[-1].write_text(collection_page(name, group), encoding="utf-8")
    return paths


def collection_page(collection: str, entries: Sequence[ClaimFile]) -> str:
    """All claims of a collection in their order: question, command, verdict, picture, one thing to try."""
    records = read_records(entries)
    verdicts = verdicts_by_claim(records)
    parts = [COLLECTION_PAGES[collection].opening]
    if collection == "papers":
        parts.append(verdict_table(entries, prefix="") + "\n")
    for number, entry in enumerate(entries, start=1):
        record = records.get(entry.name)
        if record is None:
            parts.append(_claim_section(number, entry, NOT_RUN.capitalize(), has_page=False))
        else:
            verdict = _verdict_text(record.verdict, verdicts[entry.name].verdict)
            parts.append(_claim_section(number, entry, verdict, has_page=True))
    return "\n".join(parts)


def _verdict_text(by_itself: str, adjusted: str) -> str:
    """The verdict, or both where the adjustment for the number of claims makes a difference."""
    if by_itself == adjusted:
        return by_itself.capitalize()
    return f"{by_itself.capitalize()} by itself, {adjusted} among all"


def _claim_section(number: int, entry: ClaimFile, verdict: str, has_page: bool) -> str:
    claim, name = entry.claim, entry.name
    link = f"[the numbers]({name}/{PAGE_FILE})" if has_page else "no numbers yet"
    lines = [
        f"## {number}. {claim.question}",
        f"{claim.statement}",
        f"```bash\ntrainlab claims run {name}\n```",
        f"**{verdict}** ({link}).",
    ]
    if (entry.folder / FIGURE_FILE).exists():
        lines.append(f"![{claim.question}]({name}/{FIGURE_FILE})")
    lines.append(f"*Try:* {claim.suggestion}")
    return "\n\n".join(lines) + "\n"


def verdict_table(entries: Sequence[ClaimFile], prefix: str = "experiments/") -> str:
    """The verdicts as a table in Markdown, a line a claim, and on what they were measured.

    prefix: the folder of the claims, seen from the page.
    """
    records = read_records(entries)
    verdicts = verdicts_by_claim(records)
    lines = [
        "| claim | question | by itself | among all | seeds | time of runs |",
        "|---|---|---|---|---:|---:|",
    ]
    for entry in entries:
        name, question, record = entry.name, entry.claim.question, records.get(entry.name)
        if record is None:
            lines.append(f"| `{name}` | {question} | {NOT_RUN} | – | – | – |")
            continue
        link = f"[`{name}`]({prefix}{name}/{PAGE_FILE})"
        minutes = f"{record.run_seconds / 60:.1f} min" if record.seeds else "–"
        lines.append(
            f"| {link} | {question} | {record.verdict} | {verdicts[name].verdict} "
            f"| {len(record.seeds) or '–'} | {minutes} |"
        )
    return "\n".join(lines) + f"\n\n{provenance_paragraph(records.values())}"


def provenance_paragraph(records: Collection[ClaimRecord]) -> str:
    """Commits, machines and data copies of all records, in one paragraph."""
    if not records:
        return "Nothing has been run yet."
    commits = sorted({commit for record in records for commit in record.commits})
    machines = sorted({record.machine for record in records if record.arms})
    data = sorted({copy for record in records for copy in record.data})
    duration = format_duration(sum(record.run_seconds for record in records))
    return (
        f"Written by `trainlab claims run`; among all: by e-BH over the {len(records)} claims run. "
        f"All runs one after the other: {duration}. "
        f"Commit {', '.join(commits)}; {'; '.join(machines)}; {'; '.join(data)}."
    )
