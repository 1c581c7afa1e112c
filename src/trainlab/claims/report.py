"""One page of all claims: HTML that needs nothing beside it, pictures inline."""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainlab.claims.course import COLLECTIONS, NOT_RUN, by_collection, measured_on, recorded, verdicts
from trainlab.claims.folder import Entry
from trainlab.claims.further import inline, parts
from trainlab.claims.others import image, svg_text
from trainlab.claims.page import FIGURE_FILE, evidence_line, p_equals, p_value, provenance
from trainlab.claims.verdict import number
from trainlab.runs.atomic import write_atomically

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
SHOWN = ("estimate", "low", "high", "bound", "verdict")
"""Of a finding, in the forest plot."""
_CLASSES = {"supported": "supported", "refuted": "refuted"}


def write(path: Path, entries: Sequence[Entry], folder: Path | None = None) -> Path:
    """Writes the report and returns where. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page(entries, folder))
    return path


def page(entries: Sequence[Entry], folder: Path | None = None) -> str:
    """The whole report: of each collection the summary, the forest plot, and a section for each claim; then
    what stands beside the claims in `folder`."""
    body = [part for name, of in by_collection(entries).items() for part in _collection(name, of)]
    body += [f"<article>{part}</article>" for part in (parts(folder) if folder is not None else [])]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>trainlab: claims</title>'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _collection(name: str, entries: Sequence[Entry]) -> list[str]:
    found = recorded(entries)
    judged = verdicts(found)
    sections = [
        _section(entry, found[entry.name], judged[entry.name]) for entry in entries if entry.name in found
    ]
    return [
        f"<h1>{html.escape(COLLECTIONS[name].title)}</h1>",
        f"<p>{_code(html.escape(measured_on(found)))}</p>",
        _summary(entries, judged),
        inline(forest(found)) if found else "",
        *sections,
    ]


def forest(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The forest plot of all expectations on shares, as SVG; empty where there is none."""
    rows = [
        {"name": f"{name} ({i})", **{key: finding[key] for key in SHOWN}}
        for name, record in found.items()
        for i, finding in enumerate(record["findings"], start=1)
        if finding["unit"] in ("share", "points") and finding["low"] is not None
        and finding["kind"] != "boundary"  # of runs, not of images
    ]  # fmt: skip
    if not rows:
        return ""
    from trainlab.figures import forest as forest_plot
    from trainlab.figures.style import svg

    return svg(forest_plot.figure(rows, "Every expectation on a share of images, and its minimum effect"))


def _summary(entries: Sequence[Entry], judged: Mapping[str, tuple[str, float]]) -> str:
    rows = []
    for entry in entries:
        verdict, p = judged.get(entry.name, (NOT_RUN, 1.0))
        shown = p_value(p) if entry.name in judged else "–"
        name = html.escape(entry.name)
        link = f'<a href="#{name}">{name}</a>' if entry.name in judged else name
        question = html.escape(entry.claim.question)
        rows.append(
            f"<tr><td>{link}</td><td>{question}</td><td>{_verdict(verdict)}</td><td>{html.escape(shown)}</td></tr>"
        )
    head = "<tr><th>claim</th><th>question</th><th>verdict</th><th>p, Holm-adjusted</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _section(entry: Entry, record: Mapping[str, Any], judged: tuple[str, float]) -> str:
    e = html.escape
    path = entry.folder / FIGURE_FILE
    picture = "" if svg_text(path) is None else image(path, record["question"])
    rows = "".join(
        f"<tr><td>{_verdict(f['verdict'])}</td><td>{e(f['says'])}</td><td>{e(f['saw'])}</td>"
        f"<td>{e(_bound(f))}</td></tr>"
        for f in record["findings"]
    )
    return (
        f'<h2 id="{e(entry.name)}">{e(record["question"])}</h2>'
        f"<blockquote>{e(record['statement'])}<br><small>{e(record['source'])}</small></blockquote>"
        f"<p>{_verdict(judged[0])} in this report, {e(p_equals(judged[1]))} over all claims; "
        f"by itself {e(record['verdict'])}, {e(evidence_line(record))}.</p>"
        f"<table><tr><th></th><th>expected</th><th>seen</th><th>bound</th></tr>{rows}</table>{picture}"
        f"<p><b>Scale.</b> {e(record['scale'])} <b>Unlike the source.</b> {e(record['differs'])}</p>"
        f"<p><b>Try.</b> {e(record['try'])}</p>"
        f"<p><small><code>trainlab claims run {e(record['name'])}</code> {e(provenance(record))}</small></p>"
    )


def _code(escaped: str) -> str:
    """What stands between backticks, as code."""
    return re.sub("`([^`]*)`", r"<code>\1</code>", escaped)


def _bound(finding: Mapping[str, Any]) -> str:
    return "" if finding["bound"] is None else number(finding["bound"], finding["unit"])


def _verdict(verdict: str) -> str:
    return f'<span class="{_CLASSES.get(verdict, "open")}">{html.escape(verdict)}</span>'
