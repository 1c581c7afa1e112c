"""One page of all claims: HTML that needs nothing beside it, pictures inline."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from trainlab.claims.claim_page import FIGURE_FILE, claim_body, with_files
from trainlab.claims.claim_record import ClaimRecord
from trainlab.claims.collection_pages import (
    COLLECTION_PAGES,
    NOT_RUN,
    group_by_collection,
    other_records,
    profiles_text,
    provenance_paragraph,
    read_records,
    verdicts_by_claim,
)
from trainlab.claims.evidence_text import WHAT_EVIDENCE_MEANS, WHAT_PAGE_VERDICTS_ARE, format_evidence
from trainlab.claims.judge import PageVerdict
from trainlab.claims.registry import ClaimFile
from trainlab.claims.safe_html import extra_pages, inline_svg, markdown_as_html, read_svg
from trainlab.runs.safe_files import write_atomically

STYLE = """\
body{font:16px/1.5 Helvetica Neue,Helvetica,Arial,sans-serif;max-width:60rem;margin:2rem auto;
padding:0 1rem;color:#222}
h2{margin-top:3rem;border-top:1px solid #ddd;padding-top:1.5rem}
table{border-collapse:collapse;width:100%;font-size:14px}
td,th{border-bottom:1px solid #e6e6e6;padding:.35rem .6rem;text-align:left;vertical-align:top}
blockquote{color:#555;border-left:3px solid #ccc;margin:0;padding-left:1rem}
svg,img{max-width:100%;height:auto}small{color:#555}code{background:#f4f4f4;padding:.1rem .3rem}
a,code{overflow-wrap:anywhere}pre{background:#f4f4f4;padding:.5rem;overflow-x:auto}pre code{padding:0}
@media(max-width:40rem){table{display:block;overflow-x:auto}td{min-width:4rem}
td code,td a{overflow-wrap:normal}
h1,h2{overflow-wrap:anywhere}.wide{overflow-x:auto}.wide svg{max-width:none}}
.supported{color:#00664b;font-weight:600}.refuted{color:#a34700;font-weight:600}
.open{color:#555;font-weight:600}
details{margin:1rem 0;border-left:3px solid #ccc;padding-left:1rem}summary{cursor:pointer;font-weight:600}
@media(prefers-color-scheme:dark){body{background:#12161b;color:#e6e9ec}a{color:#7cc6f2}
code,pre{background:#1c2229}td,th,h2{border-color:#2f3842}blockquote,small{color:#a8b2bc}
.supported{color:#3ccba0}.refuted{color:#ff9a57}.open{color:#a8b2bc}}
@media print{h2{break-before:page}}"""
FOREST_COLUMNS = {"estimate", "low", "high", "bound", "verdict"}
"""Of an expectation, in the forest plot."""
_CLASSES = {
    "supported": "supported", "holds": "supported", "refuted": "refuted", "does not hold": "refuted",
}  # fmt: skip


def write_report(path: Path, entries: Sequence[ClaimFile], folder: Path | None = None) -> Path:
    """Writes the report and returns where. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, report_html(entries, folder))
    return path


def report_html(entries: Sequence[ClaimFile], folder: Path | None = None) -> str:
    """The whole report: of each collection the summary, the forest plot, and a section for each claim; then
    what stands beside the claims in `folder`."""
    groups = group_by_collection(entries)
    body = [part for name, group in groups.items() for part in _collection_html(name, group)]
    body += [f"<article>{page}</article>" for page in (extra_pages(folder) if folder is not None else [])]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>trainlab: claims</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _collection_html(name: str, entries: Sequence[ClaimFile]) -> list[str]:
    records = read_records(entries)
    verdicts = verdicts_by_claim(records)
    sections = [
        _claim_html(entry, records[entry.name], verdicts[entry.name])
        for entry in entries
        if entry.name in records
    ]
    return [
        f"<h1>{html.escape(COLLECTION_PAGES[name].title)}</h1>",
        f"<p>{_code_spans(html.escape(provenance_paragraph(records.values())))}</p>",
        f"<p><small>{WHAT_EVIDENCE_MEANS} {WHAT_PAGE_VERDICTS_ARE}</small></p>",
        _summary_table(entries, verdicts),
        f'<div class="wide">{inline_svg(forest_plot_svg(records))}</div>' if records else "",
        *sections,
    ]


def forest_plot_svg(records: Mapping[str, ClaimRecord]) -> str:
    """The forest plot of all expectations on shares, as SVG; empty where there is none."""
    rows = [
        {"name": f"{name} ({i})", **expectation.model_dump(include=FOREST_COLUMNS)}
        for name, record in records.items()
        for i, expectation in enumerate(record.expectations, start=1)
        if expectation.unit in ("share", "points") and expectation.low is not None
        and expectation.kind != "boundary"  # of runs, not of images
    ]  # fmt: skip
    if not rows:
        return ""
    from trainlab.figures.interval_plots import forest_plot
    from trainlab.figures.style import to_svg

    return to_svg(forest_plot(rows, "Every expectation on a share of images, and its minimum effect"))


def _summary_table(entries: Sequence[ClaimFile], verdicts: Mapping[str, PageVerdict]) -> str:
    rows = []
    for entry in entries:
        name, on_page = html.escape(entry.name), verdicts.get(entry.name)
        if on_page is None:
            link, verdict, evidence = name, NOT_RUN, "–"
        else:
            link = f'<a href="#{name}">{name}</a>'
            verdict, evidence = on_page.verdict, format_evidence(on_page.e_value)
        cells = (
            link,
            html.escape(entry.claim.question),
            _verdict_span(verdict) + html.escape(profiles_text(entry)),
            html.escape(evidence),
        )
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    head = "<tr><th>claim</th><th>question</th><th>verdict</th><th>evidence</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _claim_html(entry: ClaimFile, record: ClaimRecord, on_page: PageVerdict) -> str:
    """The claim's page as a section, in the same order."""
    has_figure = read_svg(entry.folder / FIGURE_FILE) is not None
    body = claim_body(with_files(record, entry.folder), has_figure, on_page, other_records(entry.folder))
    title = f'<h2 id="{html.escape(entry.name)}">{html.escape(record.question)}</h2>'
    return f"<section>{title}{markdown_as_html(body, entry.folder)}</section>"


def _code_spans(escaped: str) -> str:
    """What stands between backticks, as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escaped)


def _verdict_span(verdict: str) -> str:
    return f'<span class="{_CLASSES.get(verdict, "open")}">{html.escape(verdict)}</span>'
