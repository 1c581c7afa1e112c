"""A collection of claims as one page, and as the table of verdicts of the top README.

The course is `experiments/README.md`, the papers `experiments/papers.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainlab.claims import claim_record as records
from trainlab.claims.claim_page import FIGURE_FILE, PAGE_FILE
from trainlab.claims.judge import adjusted_verdicts
from trainlab.claims.registry import ClaimFile
from trainlab.stats.hypothesis_tests import OneSidedPValues
from trainlab.units import format_duration

NOT_RUN = "not run yet"


@dataclass(frozen=True)
class CollectionPage:
    """Claims that are read, and judged, together. title: of its part of the report."""

    page: str
    title: str
    opening: str


ADJUSTMENT_NOTE = """\
"By itself" is a claim's verdict at α = 0.05; "among all" is Holm-adjusted over all claims of this page that \
were run, so that one false verdict among them stays unlikely.
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
Further on: [what the papers claim](papers.md).
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


def read_records(entries: Sequence[ClaimFile]) -> dict[str, dict[str, Any]]:
    """The records that there are, by name, in the order of the course."""
    found = {entry.name: records.read_record(entry.folder) for entry in entries}
    return {name: record for name, record in found.items() if record is not None}


def verdicts_by_claim(found: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, float]]:
    """Verdict and p-value of each record, Holm-adjusted over the records of its collection."""
    judged: dict[str, tuple[str, float]] = {}
    for collection in COLLECTION_PAGES:
        of = {name: r for name, r in found.items() if r.get("collection", "course") == collection}
        judged |= adjusted_verdicts(
            {name: OneSidedPValues(r["p_for"], r["p_against"]) for name, r in of.items()}
        )
    return judged


def group_by_collection(entries: Sequence[ClaimFile]) -> dict[str, list[ClaimFile]]:
    """The claims of each collection that has any."""
    found = {name: [e for e in entries if e.claim.collection == name] for name in COLLECTION_PAGES}
    return {name: of for name, of in found.items() if of}


def write_collection_pages(folder: Path, entries: Sequence[ClaimFile]) -> list[Path]:
    """Refreshes the page of each collection. Raises OSError."""
    paths = []
    for name, of in group_by_collection(entries).items():
        paths.append(folder / COLLECTION_PAGES[name].page)
        paths[-1].write_text(collection_page(name, of), encoding="utf-8")
    return paths


def collection_page(collection: str, entries: Sequence[ClaimFile]) -> str:
    """All claims of a collection in their order: question, command, verdict, picture, one thing to try."""
    found = read_records(entries)
    judged = verdicts_by_claim(found)
    parts = [COLLECTION_PAGES[collection].opening]
    if collection == "papers":
        parts.append(verdict_table(entries, place="") + "\n")
    for number, entry in enumerate(entries, start=1):
        record = found.get(entry.name)
        said = _verdict_text(record["verdict"], judged[entry.name][0]) if record else NOT_RUN.capitalize()
        parts.append(_claim_section(number, entry, said, record is not None))
    return "\n".join(parts)


def _verdict_text(alone: str, among_all: str) -> str:
    """The verdict, or both where the adjustment for the number of claims makes a difference."""
    return (
        alone.capitalize() if alone == among_all else f"{alone.capitalize()} by itself, {among_all} among all"
    )


def _claim_section(number: int, entry: ClaimFile, said: str, has_page: bool) -> str:
    claim, name = entry.claim, entry.name
    link = f"[the numbers]({name}/{PAGE_FILE})" if has_page else "no numbers yet"
    lines = [
        f"## {number}. {claim.question}",
        f"{claim.statement}",
        f"```bash\ntrainlab claims run {name}\n```",
        f"**{said}** ({link}).",
    ]
    if (entry.folder / FIGURE_FILE).exists():
        lines.append(f"![{claim.question}]({name}/{FIGURE_FILE})")
    lines.append(f"*Try:* {claim.attempt}")
    return "\n\n".join(lines) + "\n"


def verdict_table(entries: Sequence[ClaimFile], place: str = "experiments/") -> str:
    """The verdicts as a table in Markdown, a line a claim, and on what they were measured; `place` is where
    the claims are, seen from the page."""
    found = read_records(entries)
    judged = verdicts_by_claim(found)
    lines = [
        "| claim | question | by itself | among all | seeds | time of runs |",
        "|---|---|---|---|---:|---:|",
    ]
    for entry in entries:
        verdict = judged.get(entry.name, (NOT_RUN, 1.0))[0]
        record = found.get(entry.name)
        seeds = len(record["seeds"]) or "–" if record else "–"
        seconds = f"{record['run_seconds'] / 60:.1f} min" if record and record["seeds"] else "–"
        link = f"[`{entry.name}`]({place}{entry.name}/{PAGE_FILE})" if record else f"`{entry.name}`"
        alone = record["verdict"] if record else NOT_RUN
        verdict = verdict if record else "–"
        lines.append(f"| {link} | {entry.claim.question} | {alone} | {verdict} | {seeds} | {seconds} |")
    return "\n".join(lines) + f"\n\n{provenance_paragraph(found)}"


def provenance_paragraph(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Commits, machines and data copies of all records, in one paragraph."""
    if not found:
        return "Nothing has been run yet."
    commits = sorted({commit for record in found.values() for commit in record["commits"]})
    machines = sorted({record["machine"] for record in found.values() if record["arms"]})
    data = sorted({copy for record in found.values() for copy in record["data"]})
    minutes = format_duration(sum(record["run_seconds"] for record in found.values()))
    return (
        f"Written by `trainlab claims run`; among all: Holm-adjusted over the {len(found)} claims run. "
        f"All runs one after the other: {minutes}. "
        f"Commit {', '.join(commits)}; {'; '.join(machines)}; {'; '.join(data)}."
    )
