"""The claims as a report: each with its statement, verdict, table and figure.

The same Markdown goes to W&B, where charts of the claim's runs replace the figure, and into a file.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainlab.claims import claim_page, collection_pages
from trainlab.claims.claim_page import FIGURE_FILE
from trainlab.claims.registry import ClaimFile
from trainlab.errors import RequestError
from trainlab.wandb_sync.sweep_view import STEP

if TYPE_CHECKING:
    from wandb_workspaces.reports.v2 import H2, MarkdownBlock, PanelGrid, Report

TITLE = "What was claimed, and what came out"
_CHARTS = {"train/loss": "Training loss", "val/acc": "Validation accuracy"}


@dataclass(frozen=True)
class ReportSection:
    """A claim that was run: its question, its result in Markdown, its figure, its runs."""

    question: str
    text: str
    figure: Path | None
    run_ids: tuple[str, ...]


def report_sections(entries: Sequence[ClaimFile]) -> list[ReportSection]:
    """A section for each claim that was run, in their order.

    Raises:
        RequestError: none has been run.
    """
    records = collection_pages.read_records(entries)
    if not records:
        raise RequestError("none of these claims has been run: `trainlab claims run NAME` first")
    verdicts = collection_pages.verdicts_by_claim(records)
    sections = []
    for entry in entries:
        if entry.name not in records:
            continue
        record = records[entry.name]
        text = [
            f"> {record.statement}\n>\n> — {record.source}",
            *claim_page.result_parts(record, verdicts[entry.name]),
            f"`trainlab claims run {entry.name}` {claim_page.provenance(record)}",
        ]
        figure = entry.folder / FIGURE_FILE
        run_ids = tuple(run_id for arm in record.arms for run_id in arm.runs.values())
        sections.append(
            ReportSection(record.question, "\n\n".join(text), figure if figure.exists() else None, run_ids)
        )
    return sections


def report_markdown(sections: Sequence[ReportSection], folder: Path) -> str:
    """The report as a file in `folder`, with figures."""
    parts = [f"# {TITLE}"]
    for section in sections:
        parts += [f"## {section.question}", section.text]
        if section.figure is not None:
            parts.append(f"![{section.question}]({_relative_link(folder, section.figure)})")
    return "\n\n".join(parts) + "\n"


def _relative_link(folder: Path, target: Path) -> str:
    """The path of a file relative to a folder; its URI where there is none."""
    try:
        return Path(os.path.relpath(target, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return target.resolve().as_uri()


def build_report(sections: Sequence[ReportSection], entity: str, project: str) -> "Report":
    """The report for W&B, with charts of each claim's runs."""
    import wandb_workspaces.reports.v2 as wr

    blocks: list[H2 | MarkdownBlock | PanelGrid] = []
    for section in sections:
        blocks += [wr.H2(section.question), wr.MarkdownBlock(section.text)]
        if section.run_ids:
            blocks.append(_chart_grid(section, entity, project))
    return wr.Report(entity=entity, project=project, title=TITLE, blocks=blocks)


def _chart_grid(section: ReportSection, entity: str, project: str) -> "PanelGrid":
    import wandb_workspaces.reports.v2 as wr

    is_of_claim = f'Metric("ID") in {json.dumps(section.run_ids)}'
    return wr.PanelGrid(
        runsets=[wr.Runset(entity=entity, project=project, name=section.question, filters=is_of_claim)],
        panels=[
            wr.LinePlot(
                title=title, x=STEP, y=[key], max_runs_to_show=50, layout=wr.Layout(x=12 * column, w=12, h=8)
            )
            for column, (key, title) in enumerate(_CHARTS.items())
        ],
    )
