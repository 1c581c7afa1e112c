"""result.json → README.md."""

import json
from collections.abc import Mapping
from pathlib import Path

from experiments.rendering import render_template, round_numbers
from experiments.speedrun_cifar10.measure import TARGET, Report
from trainlab.claims.value_text import format_p_value

HERE = Path(__file__).parent
RESULT, TEMPLATE, README = HERE / "result.json", HERE / "README.template.md", HERE / "README.md"
DEVICES = {"cuda": "One GPU", "cpu": "One core of a CPU"}
NOT_RUN = "Not run here."


def read_reports() -> dict[str, Report]:
    """By kind of device; empty before anything was run."""
    return json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}


def record(report: Report) -> None:
    """Puts the report in the place of the last one of its kind of device."""
    reports = read_reports() | {report["device"]: round_numbers(report)}
    RESULT.write_text(json.dumps(reports, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_readme() -> None:
    """The page, from what is recorded."""
    README.write_text(readme(read_reports()), encoding="utf-8")


def readme(reports: Mapping[str, Report]) -> str:
    """Its text."""
    parts = [
        f"## {title}\n\n{_section(reports[kind]) if kind in reports else NOT_RUN}"
        for kind, title in DEVICES.items()
    ]
    return render_template(TEMPLATE, {"devices": "\n\n".join(parts)})


def _section(report: Report) -> str:
    rows = [
        f"| {row['seed']} | {_percent(row['accuracy'])} | {_percent(row['accuracy_one_view'])} "
        f"| {row['seconds']:,.1f} | {row['training_seconds']:,.1f} | `{(row['commit'] or '')[:7]}` |"
        for row in report["rows"]
    ]
    threads = "1 thread" if report["threads"] == 1 else f"{report['threads']} threads"
    return "\n".join([
        f"{report['processor']}, {threads}, {report['precision']}, {report['epochs']:g} epochs, "
        f"CUDA graph {report['cuda_graph']}; data: **{report['copy']}**; "
        f"`{' '.join(report['overrides'])}`.",
        "",
        _verdict(report),
        "",
        _seconds(report),
        "",
        "| seed | accuracy, averaged views | one view | seconds | of these in training steps | commit |",
        "|---|---|---|---|---|---|",
        *rows,
    ])  # fmt: skip


def _verdict(report: Report) -> str:
    n, spread = report["n"], report["std"]
    if n == 1 or spread is None:
        text = f"**{_percent(report['mean'])}**, n = 1."
    else:
        text = f"**{_percent(report['mean'])} ± {100 * spread:.2f}** (mean ± std, n = {n})"
        p_value = report["p_value"]
        text += "." if p_value is None else f", p = {format_p_value(p_value)} for a mean above {TARGET:.0%}."
    if "JPEG" in report["copy"]:
        text += (
            f" The images are a JPEG copy: this is no result on CIFAR-10, and {TARGET:.0%} is not claimed."
        )
    return text


def _seconds(report: Report) -> str:
    first, later, steps = (
        report[key] for key in ("seconds_first", "seconds_later", "training_seconds_later")
    )
    if later is None or steps is None:
        return "One run, start-up included; seconds are those of the clock, whatever else the machine did."
    started = "" if first is None else f"{first:,.1f} s for the first run of the process, "
    return (
        f"{started}{later:,.2f} s for those after it, {steps:,.2f} s of these in training steps "
        "(the rest: building, whitening, validation, test in seven views, the record)."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
