"""The top of the page Inside a run: verdict, cause, evidence and remedy, or the progress so far."""

from typing import Any

import streamlit as st

from trainlab.app import model_service
from trainlab.app.widgets import escape_markdown, section_heading, show_command
from trainlab.diagnosis import presentation
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis, cause_sentence
from trainlab.diagnosis.run_diagnosis import diagnose_run
from trainlab.runs import RunFolder
from trainlab.runs.result import WEAK_LEVELS

CAUSES_DECIDED_AT_END = ("too_few_steps", "not_known", "learning_rate_too_low", "labels_unlearnable")
"""Causes that a run which goes on may still refute."""
BADGES: dict[bool | None, tuple[Any, str | None]] = {
    True: ("green", ":material/check:"),
    False: ("orange", ":material/close:"),
    None: ("gray", None),
}


def show_verdict(run: RunFolder) -> None:
    """What became of the run and why, in words; the remedy as a command."""
    known = diagnose_run(run)
    status, result, evidence, diagnosis = known.status, known.result, known.evidence, known.today
    with st.container(border=True):
        if status == "running":
            _show_progress(run, evidence, diagnosis)
            return
        colour, icon = BADGES[diagnosis.learned if diagnosis.level not in WEAK_LEVELS else False]
        _show_badge(run, presentation.describe_outcome(diagnosis.learned, diagnosis.level), colour, icon)
        if says := presentation.describe_status(status, result):
            st.markdown(escape_markdown(says))
        if known.differs and known.recorded is not None:
            st.caption(
                escape_markdown(
                    _capitalize(
                        presentation.describe_recorded_verdict(known.recorded, known.recorded_version or 1)
                    )
                )
            )
        if diagnosis.cause is not None:
            _show_cause(run, diagnosis)
        elif diagnosis.learned is not True:
            st.markdown(escape_markdown(presentation.describe_missing_cause(evidence)))
        st.caption(escape_markdown(_capitalize(presentation.describe_accuracy(diagnosis))))


def _show_badge(run: RunFolder, says: str, colour: Any, icon: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(says, color=colour, icon=icon)
        st.caption(escape_markdown(run.run_id), width="content")


def _show_progress(run: RunFolder, evidence: Evidence, diagnosis: Diagnosis) -> None:
    """Of a run that goes on: what its record shows, and nothing that only its end can tell."""
    _show_badge(run, "is training", "blue", ":material/progress_activity:")
    st.markdown(escape_markdown(presentation.describe_status("running", None) or ""))
    if evidence.losses:
        step, loss = max(evidence.losses), evidence.late_loss()
        st.markdown(
            f"After step {step:,} the training loss is **{loss:.3f}**; guessing gives "
            f"{evidence.chance_loss:.3f}."
        )
    known = [finding for finding in diagnosis.findings if finding.cause not in CAUSES_DECIDED_AT_END]
    if known:
        st.markdown(
            f"Seen so far: **{escape_markdown(presentation.describe_finding(known[0]))}**. Evidence: "
            f"{escape_markdown(known[0].says)}."
        )


def _show_cause(run: RunFolder, diagnosis: Diagnosis) -> None:
    """The first cause with its evidence and remedy, and the others below."""
    finding = diagnosis.findings[0]
    section_heading(escape_markdown(_capitalize(presentation.describe_finding(finding))))
    st.markdown(
        f"{escape_markdown(_capitalize(cause_sentence(finding)))}. Evidence: {escape_markdown(finding.says)}."
    )
    if remedy := diagnosis.remedies.get(finding.cause):
        st.markdown("Try next:")
        show_command(model_service.retry_command(run.settings(), remedy, run.path.parent))
    if others := diagnosis.findings[1:]:
        with st.expander(f"also found: {len(others)}"):
            for other in others:
                st.markdown(
                    f"**{escape_markdown(presentation.describe_finding(other))}**: "
                    f"{escape_markdown(other.says)}"
                )


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
