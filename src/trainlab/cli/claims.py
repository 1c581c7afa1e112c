"""`trainlab claims`: list, check, run, report."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trainlab.claims import jobs, registry
from trainlab.claims.judge import DOES_NOT_HOLD, HOLDS, REFUTED, SUPPORTED
from trainlab.claims.registry import ClaimFile
from trainlab.claims.spec import PROFILE_NAMES
from trainlab.cli.arguments import Experiments, RunsFolder
from trainlab.cli.command_app import command_app
from trainlab.errors import RequestError, unknown_name
from trainlab.terminal import PlainConsole, markup_text
from trainlab.units import pluralize

if TYPE_CHECKING:
    from trainlab.claims.execution import ClaimOptions
    from trainlab.claims.runner import ClaimResult

console = PlainConsole()
REPORT_FILE = "claims.html"
MIN_QUESTION_WIDTH = 30
"""Columns of text that a question takes beside its claim's name; on a narrower screen it is printed below."""


Claims = Annotated[list[str] | None, typer.Argument(help="Names of claims; all when left out.")]
InCollection = Annotated[
    str | None, typer.Option("--collection", help="Only those of course, or of papers; both when left out.")
]

cli = command_app("Lessons and what papers claim, as claims that run.")


@cli.command("list")
def claims_list(collection: InCollection = None, experiments: Experiments = None) -> None:
    """List the claims: question and verdict, in their order."""
    from trainlab.claims.collection_pages import NOT_RUN, read_records, verdicts_by_claim

    claims_folder = experiments or registry.default_claims_folder()
    verdicts = verdicts_by_claim(read_records(registry.load_claims(claims_folder)))
    entries = registry.load_claims(claims_folder, collection=collection)
    rows = [
        (
            e.claim.collection,
            e.name,
            e.claim.question,
            verdicts[e.name].verdict if e.name in verdicts else NOT_RUN,
        )
        for e in entries
    ]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    room = console.width - sum(max(map(len, column)) + 2 for column in (*zip(*rows, strict=True),)[:2])
    if room >= MIN_QUESTION_WIDTH + max(len(row[3]) for row in rows):
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


@cli.command("check")
def claims_check(
    names: Claims = None, collection: InCollection = None, experiments: Experiments = None
) -> None:
    """Check that claims can be read and decided; nothing is run."""
    entries = registry.load_claims(experiments or registry.default_claims_folder(), names or [], collection)
    jobs.check_claims(entries)
    from trainlab.claims.design_check import check_designs
    from trainlab.claims.design_power import WHAT_POWER_IS
    from trainlab.sweeps.forkserver import ForkServer

    with ForkServer() as server:
        checked = check_designs(entries, server)
    for one in checked:
        for line in one.power:
            console.print(f"{one.name}, {line}", soft_wrap=True, highlight=False, markup=False)
        for line in one.warnings:
            console.print(
                f"{one.name}: {line}", style="yellow", soft_wrap=True, highlight=False, markup=False
            )
    console.print(WHAT_POWER_IS, style="dim", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{pluralize(len(entries), 'claim')}, all in order")


@cli.command("run")
def claims_run(
    names: Claims = None,
    collection: InCollection = None,
    profile: Annotated[str, typer.Option(help="The budget: quick (two cores), full or gpu.")] = "quick",
    folder: RunsFolder = Path("runs"),
    experiments: Experiments = None,
    slots: Annotated[int | None, typer.Option(min=1, help="How many runs at the same time.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again.")] = False,
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Show what would run and how long it takes; run nothing.")
    ] = False,
    rates: Annotated[
        Path | None,
        typer.Option(help="With --plan-only: a card's rates, a file of `make gpu-check`; else timed here."),
    ] = None,
    stack: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --plan-only: a stack has at most so many runs; else by this GPU's memory."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --plan-only: print JSON.")] = False,
) -> None:
    """Run what is missing of claims, and write their pages."""
    if profile not in PROFILE_NAMES:
        raise unknown_name("profile", profile, PROFILE_NAMES)
    claims_folder = experiments or registry.default_claims_folder()
    entries = registry.with_profile(
        registry.load_claims(claims_folder, names or [], collection), profile, names
    )
    from trainlab.claims import collection_pages
    from trainlab.claims.execution import ClaimOptions

    options = ClaimOptions(profile, folder.absolute(), slots, retry_failed)
    if plan_only:
        _print_plan(entries, options, rates, stack, as_json)
        return
    for name, is_given in (("--rates", rates), ("--stack", stack), ("--json", as_json)):
        if is_given:
            raise RequestError(f"{name} is of the plan: expected --plan-only beside it")
    failed, refused = _run_all(entries, options)
    collection_pages.write_collection_pages(claims_folder, registry.load_claims(claims_folder))
    for line in failed:
        console.print(line, style="red")
    if refused:
        raise RequestError("; ".join(refused))
    if failed:
        raise typer.Exit(1)


@cli.command("report")
def claims_report(
    names: Claims = None,
    collection: InCollection = None,
    experiments: Experiments = None,
    to: Annotated[Path | None, typer.Option(help="Where to; claims.html beside the claims.")] = None,
) -> None:
    """Write one page of all claims that were run."""
    from trainlab.claims import collection_pages, html_report

    claims_folder = experiments or registry.default_claims_folder()
    entries = registry.load_claims(claims_folder, names or [], collection)
    if not collection_pages.read_records(entries):
        raise RequestError("none of these claims has been run: `trainlab claims run NAME` first")
    # the grids beside the claims are part of the page of all of them
    beside = claims_folder if collection is None and not names else None
    path = html_report.write_report(to or claims_folder / REPORT_FILE, entries, beside)
    collection_pages.write_collection_pages(claims_folder, registry.load_claims(claims_folder))
    console.print(str(path), soft_wrap=True)


def _print_plan(
    entries: list[ClaimFile], options: "ClaimOptions", rates: Path | None, stack: int | None, as_json: bool
) -> None:
    """What running these claims would start, a line each, and what that takes."""
    from trainlab.claims import plan_table
    from trainlab.claims.plan_estimate import estimate_course
    from trainlab.sweeps.forkserver import ForkServer

    with ForkServer() as server:
        course = estimate_course(entries, options, server, rates, stack)
    if as_json:
        print(json.dumps(plan_table.course_json(course), indent=2))
        return
    rows = plan_table.table_rows(course)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    if console.width >= sum(
        max(map(len, column)) + 2 for column in zip(plan_table.HEADER, *rows, strict=True)
    ):
        for number, name in enumerate(plan_table.HEADER):
            table.add_column(name, no_wrap=True, justify="left" if number < 2 else "right")
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    else:
        for row in rows:
            console.print(Text(row[0], style="bold"), soft_wrap=True)
            cells = zip(plan_table.HEADER[1:], row[1:], strict=True)
            shown = "; ".join(
                f"{name} {cell}" for name, cell in cells if cell not in ("", plan_table.NOTHING)
            )
            console.print(Padding(Text(shown), (0, 0, 0, 2)))
    for line in plan_table.notes(course):
        console.print(line, style="dim", soft_wrap=True)


def _run_all(entries: list[ClaimFile], options: "ClaimOptions") -> tuple[list[str], list[str]]:
    """Runs each claim, also where another could not be; returns a line for each whose runs failed, and for
    each that cannot be run as it stands."""
    from trainlab.claims import runner
    from trainlab.claims.execution import ClaimInterrupted
    from trainlab.sweeps import SweepFailed
    from trainlab.sweeps.forkserver import ForkServer

    failed, refused = [], []
    composer = jobs.ClaimComposer()
    with ForkServer() as server:
        for entry in entries:
            started = time.monotonic()
            try:
                _write_outcome(runner.run_claim(entry, options, composer, server, console))
            except RequestError as error:  # of this claim: the others are still to be run
                refused.append(str(error) if entry.name in str(error) else f"claim {entry.name}: {error}")
            except SweepFailed as error:
                failed.append(str(error))
                if isinstance(error, ClaimInterrupted):
                    break
            console.print(f"{time.monotonic() - started:.0f} s", style="dim")
    return failed, refused


def _write_outcome(result: "ClaimResult") -> None:
    from trainlab.claims import claim_figure, claim_page, claim_record, collection_pages, record_builder
    from trainlab.claims.evidence_text import evidence_words

    folder = result.entry.folder
    record = record_builder.build_record(result)
    figure = folder / claim_page.FIGURE_FILE
    is_shown = record.profile == "quick" or not figure.exists()
    if is_shown and result.entry.claim.profile(record.profile).not_testable is None:
        for fault in claim_figure.save_claim_figures(result, folder):
            console.print(fault, style="yellow", soft_wrap=True)
    claim_record.write_record(folder, record)
    shown = claim_record.read_record(folder) or record
    others = collection_pages.other_records(folder, shown.profile)
    path = claim_page.write_claim_page(folder, shown, others=others)
    colour = {SUPPORTED: "green", HOLDS: "green", REFUTED: "red", DOES_NOT_HOLD: "red"}.get(
        record.verdict, "yellow"
    )
    console.print(markup_text(f"[bold {colour}]{{}}[/]: {{}}", record.verdict, record.statement))
    if record.reason:
        console.print(f"  {record.reason}", style="dim", soft_wrap=True, highlight=False, markup=False)
    for expectation in record.expectations:
        text = f"  {expectation.verdict}: {expectation.description}"
        console.print(text, soft_wrap=True, highlight=False, markup=False)
        evidence = evidence_words(expectation)
        line = "; ".join(part for part in (expectation.observed, evidence) if part)
        console.print(f"    {line}", style="dim", soft_wrap=True, highlight=False, markup=False)
    console.print(str(path), soft_wrap=True)
