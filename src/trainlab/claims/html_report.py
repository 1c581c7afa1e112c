"""One page of all claims: HTML that needs nothing beside it, pictures inline."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainlab.claims.claim_page import (
    FIGURE_FILE,
    certainty_text,
    format_p_equation,
    format_p_value,
    provenance,
)
from trainlab.claims.collection_pages import (
    COLLECTION_PAGES,
    NOT_RUN,
    group_by_collection,
    provenance_paragraph,
    read_records,
    verdicts_by_claim,
)
from trainlab.claims.judge import format_in_unit
from trainlab.claims.registry import ClaimFile
from trainlab.claims.safe_html import extra_pages, image_tag, inline_svg, read_svg
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
h1,h2{overflow-wrap:anywhere}}
.supported{color:#00664b;font-weight:600}.refuted{color:#a34700;font-weight:600}
.open{color:#555;font-weight:600}
@media print{h2{break-before:page}}"""
FOREST_COLUMNS = ("estimate", "low", "high", "bound", "verdict")
"""Of a finding, in the forest plot."""
_CLASSES = {"supported": "supported", "refuted": "refuted"}


def write_report(path: Path, entries: Sequence[ClaimFile], folder: Path | None = None) -> Path:
    """Writes the report and returns where. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, report_html(entries, folder))
    return path


def report_html(entries: Sequence[ClaimFile], folder: Path | None = None) -> str:
    """The whole report: of each collection the summary, the forest plot, and a section for each claim; then
    what stands beside the claims in `folder`."""
    body = [part for name, of in group_by_collection(entries).items() for part in _collection_html(name, of)]
    body += [f"<article>{part}</article>" for part in (extra_pages(folder) if folder is not None else [])]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>trainlab: claims</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _collection_html(name: str, entries: Sequence[ClaimFile]) -> list[str]:
    found = read_records(entries)
    judged = verdicts_by_claim(found)
    sections = [
        _claim_html(entry, found[entry.name], judged[entry.name]) for entry in entries if entry.name in found
    ]
    return [
        f"<h1>{html.escape(COLLECTION_PAGES[name].title)}</h1>",
        f"<p>{_code_spans(html.escape(provenance_paragraph(found)))}</p>",
        _summary_table(entries, judged),
        inline_svg(forest_plot_svg(found)) if found else "",
        *sections,
    ]


def forest_plot_svg(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The forest plot of all expectations on shares, as SVG; empty where there is none."""
    rows = [
        {"name": f"{name} ({i})", **{key: finding[key] for key in FOREST_COLUMNS}}
        for name, record in found.items()
        for i, finding in enumerate(record["findings"], start=1)
        if finding["unit"] in ("share", "points") and finding["low"] is not None
        and finding["kind"] != "boundary"  # of runs, not of images
    ]  # fmt: skip
    if not rows:
        return ""
    from trainlab.figures import interval_plots as forest_plot
    from trainlab.figures.style import to_svg

    return to_svg(
        forest_plot.forest_plot(rows, "Every expectation on a share of images, and its minimum effect")
    )


def _summary_table(entries: Sequence[ClaimFile], judged: Mapping[str, tuple[str, float]]) -> str:
    rows = []
    for entry in entries:
        verdict, p = judged.get(entry.name, (NOT_RUN, 1.0))
        shown = format_p_value(p) if entry.name in judged else "–"
        name = html.escape(entry.name)
        link = f'<a href="#{name}">{name}</a>' if entry.name in judged else name
        question = html.escape(entry.claim.question)
        rows.append(
            f"<tr><td>{link}</td><td>{question}</td><td>{_verdict_span(verdict)}</td><td>{html.escape(shown)}</td></tr>"
        )
    head = "<tr><th>claim</th><th>question</th><th>verdict</th><th>p, Holm-adjusted</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _claim_html(entry: ClaimFile, record: Mapping[str, Any], judged: tuple[str, float]) -> str:
    e = html.escape
    path = entry.folder / FIGURE_FILE
    picture = "" if read_svg(path) is None else image_tag(path, record["question"])
    rows = "".join(
        f"<tr><td>{_verdict_span(f['verdict'])}</td><td>{e(f['says'])}</td><td>{e(f['saw'])}</td>"
        f"<td>{e(_bound_text(f))}</td></tr>"
        for f in record["findings"]
    )
    return (
        f'<h2 id="{e(entry.name)}">{e(record["question"])}</h2>'
        f"<blockquote>{e(record['statement'])}<br><small>{e(record['source'])}</small></blockquote>"
        f"<p>{_verdict_span(judged[0])} in this report, {e(format_p_equation(judged[1]))} over all claims; "
        f"by itself {e(record['verdict'])}, {e(certainty_text(record))}.</p>"
        f"<table><tr><th></th><th>expected</th><th>seen</th><th>bound</th></tr>{rows}</table>{picture}"
        f"<p><b>Scale.</b> {e(record['scale'])} <b>Unlike the source.</b> {e(record['differs'])}</p>"
        f"<p><b>Try.</b> {e(record['try'])}</p>"
        f"<p><small><code>trainlab claims run {e(record['name'])}</code> {e(provenance(record))}</small></p>"
    )


def _code_spans(escaped: str) -> str:
    """What stands between backticks, as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escaped)


def _bound_text(finding: Mapping[str, Any]) -> str:
    return "" if finding["bound"] is None else format_in_unit(finding["bound"], finding["unit"])


def _verdict_span(verdict: str) -> str:
    return f'<span class="{_CLASSES.get(verdict, "open")}">{html.escape(verdict)}</span>'
