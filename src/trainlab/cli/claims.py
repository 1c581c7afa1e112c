"""`trainlab claims`: list, check, run, report."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trainlab.claims import jobs
from trainlab.claims import registry as claims
from trainlab.claims.registry import ClaimFile
from trainlab.errors import RequestError, unknown_name
from trainlab.terminal import PlainConsole, markup_text

if TYPE_CHECKING:
    from trainlab.claims.execution import ClaimOptions
    from trainlab.claims.runner import ClaimResult

console = PlainConsole()
PROFILES = ("cpu", "gpu")
REPORT = "claims.html"
LEAST_QUESTION = 30
"""Columns of text that a question takes beside its claim's name; on a smaller screen it stands below."""


def show(folder: Path | None, collection: str | None) -> None:
    """Prints the claims in order, with what came of them (Holm-adjusted over each collection)."""
    from trainlab.claims.collection_pages import NOT_RUN, read_records, verdicts_by_claim

    where = folder or claims.default_claims_folder()
    judged = verdicts_by_claim(read_records(claims.load_claims(where)))
    entries = claims.load_claims(where, collection=collection)
    rows = [
        (e.claim.collection, e.name, e.claim.question, judged[e.name][0] if e.name in judged else NOT_RUN)
        for e in entries
    ]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    room = console.width - sum(max(map(len, column)) + 2 for column in (*zip(*rows, strict=True),)[:2])
    if room >= LEAST_QUESTION + max(len(row[3]) for row in rows):
        for column in ("collection", "claim", "question", "verdict"):
            table.add_column(column, no_wrap=column != "question", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
        return
    for number, (_, name, question, verdict) in enumerate(rows):
        if number == 0 or rows[number - 1][0] != rows[number][0]:
            console.print(Text(f"{rows[number][0]}:", style="bold"))
        console.print(Text(f"{name}: {verdict}"), soft_wrap=True)
        console.print(Padding(Text(question, style="dim"), (0, 0, 0, 2)))


def check(folder: Path | None, names: list[str], collection: str | None) -> None:
    """Checks schema and overrides of claims. Raises RequestError with all faults."""
    entries = claims.load_claims(folder or claims.default_claims_folder(), names, collection)
    jobs.check_claims(entries)
    console.print(f"{len(entries)} claim{'s' * (len(entries) != 1)}, all in order", highlight=False)


def run(
    folder: Path | None,
    names: list[str],
    collection: str | None,
    profile: str,
    runs: Path,
    slots: int | None,
    retry_failed: bool,
) -> int:
    """Runs claims one after the other and writes their pages; 1 where a run failed."""
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    where = folder or claims.default_claims_folder()
    entries = claims.load_claims(where, names, collection)
    from trainlab.claims.execution import ClaimOptions

    setup = ClaimOptions(profile, runs.absolute(), slots, retry_failed)
    failed = _run_all(entries, setup)
    from trainlab.claims import collection_pages

    collection_pages.write_collection_pages(where, claims.load_claims(where))
    for line in failed:
        console.print(line, style="red", highlight=False, markup=False)
    return 1 if failed else 0


def _run_all(entries: list[ClaimFile], setup: "ClaimOptions") -> list[str]:
    """Runs each; a claim whose runs fail does not keep the others from being run."""
    from trainlab.claims import runner
    from trainlab.claims.execution import ClaimInterrupted
    from trainlab.sweeps import SweepFailed
    from trainlab.sweeps.forkserver import ForkServer

    failed = []
    with ForkServer() as server, jobs.claim_composer() as composer:
        for entry in entries:
            since = time.monotonic()
            try:
                _write(runner.run_claim(entry, setup, composer, server, console))
            except SweepFailed as error:
                failed.append(str(error))
                if isinstance(error, ClaimInterrupted):
                    break
            console.print(f"{time.monotonic() - since:.0f} s", style="dim")
    return failed


def _write(judged: "ClaimResult") -> None:
    from trainlab.claims import claim_figure, claim_page, claim_record
    from trainlab.figures.style import save_figure as draw

    where = judged.entry.folder
    content = claim_record.build_record(judged)
    draw(claim_figure.draw_claim_figure(judged), where / claim_page.FIGURE_FILE)
    claim_record.write_record(where, content)
    path = claim_page.write_claim_page(where, content, has_figure=True)
    colour = {"supported": "green", "refuted": "red"}.get(content["verdict"], "yellow")
    console.print(markup_text(f"[bold {colour}]{{}}[/]: {{}}", content["verdict"], content["statement"]))
    for finding in content["findings"]:
        console.print(
            f"  {finding['verdict']}: {finding['says']}", highlight=False, markup=False, soft_wrap=True
        )
        console.print(f"    {finding['saw']}", highlight=False, markup=False, style="dim", soft_wrap=True)
    console.print(str(path), highlight=False, soft_wrap=True)


def report(folder: Path | None, names: list[str], collection: str | None, to: Path | None) -> None:
    """Writes one page of all claims that were run (and of what stands beside them, where none is named), and
    refreshes the pages of the collections."""
    from trainlab.claims import collection_pages, html_report

    where = folder or claims.default_claims_folder()
    entries = claims.load_claims(where, names, collection)
    if not collection_pages.read_records(entries):
        raise RequestError("none of these claims has been run: `trainlab claims run NAME` first")
    beside = where if collection is None and not names else None
    path = html_report.write_report(to or where / REPORT, entries, beside)
    collection_pages.write_collection_pages(where, claims.load_claims(where))
    console.print(str(path), highlight=False, soft_wrap=True)
