"""The top of the page Inside a run: verdict, cause, evidence and remedy, or the progress so far."""

from typing import Literal

import streamlit as st

from trainlab.app import model_service, run_cache
from trainlab.app.widgets import escape_markdown, section_heading, show_command
from trainlab.diagnosis import presentation
from trainlab.diagnosis.evidence import Evidence
from trainlab.diagnosis.explain import Diagnosis, cause_sentence
from trainlab.diagnosis.run_diagnosis import diagnose_run
from trainlab.runs import RunFolder
from trainlab.runs.result import WEAK_LEVELS

CAUSES_DECIDED_AT_END = ("too_few_steps", "not_known", "learning_rate_too_low", "labels_unlearnable")
"""Causes that a run in progress may still refute."""
Colour = Literal["green", "orange", "gray", "blue"]
BADGES: dict[bool | None, tuple[Colour, str | None]] = {
    True: ("green", ":material/check:"),
    False: ("orange", ":material/close:"),
    None: ("gray", None),
}


def show_verdict(run: RunFolder) -> None:
    """Whether the run learned and why, in words; the remedy as a command."""
    known = diagnose_run(run, run_cache.read_tables(run.path))
    evidence, diagnosis = known.evidence, known.today
    with st.container(border=True):
        if known.status == "running":
            _show_progress(run, evidence, diagnosis)
            return
        colour, icon = BADGES[diagnosis.learned if diagnosis.level not in WEAK_LEVELS else False]
        _show_badge(run, presentation.describe_outcome(diagnosis.learned, diagnosis.level), colour, icon)
        if status := presentation.describe_status(known.status, known.result):
            st.markdown(escape_markdown(status))
        if known.differs and known.recorded is not None:
            version = known.recorded_version or 1
            _show_caption(presentation.describe_recorded_verdict(known.recorded, version))
        if diagnosis.cause is not None:
            _show_cause(run, diagnosis, evidence.setup.is_own_loop)
        elif diagnosis.learned is not True:
            st.markdown(escape_markdown(presentation.describe_missing_cause(evidence)))
        _show_caption(presentation.describe_accuracy(diagnosis))


def _show_badge(run: RunFolder, label: str, colour: Colour, icon: str | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(label, color=colour, icon=icon)
        st.caption(escape_markdown(run.run_id), width="content")


def _show_caption(sentence: str) -> None:
    st.caption(escape_markdown(_capitalize(sentence)))


def _show_progress(run: RunFolder, evidence: Evidence, diagnosis: Diagnosis) -> None:
    """A run in progress: what its record shows, without anything that only the end can decide."""
    _show_badge(run, "is training", "blue", ":material/progress_activity:")
    st.markdown(escape_markdown(presentation.describe_status("running", None) or ""))
    if evidence.losses:
        step, loss = max(evidence.losses), evidence.final_loss()
        st.markdown(
            f"After step {step:,} the training loss is **{loss:.3f}**; guessing gives "
            f"{evidence.chance_loss:.3f}."
        )
    findings = [finding for finding in diagnosis.findings if finding.cause not in CAUSES_DECIDED_AT_END]
    if findings:
        cause = escape_markdown(presentation.describe_finding(findings[0]))
        st.markdown(f"Seen so far: **{cause}**. Evidence: {escape_markdown(findings[0].description)}.")


def _show_cause(run: RunFolder, diagnosis: Diagnosis, is_own_loop: bool) -> None:
    """The first cause with its evidence and remedy, and the others below."""
    finding = diagnosis.findings[0]
    section_heading(escape_markdown(_capitalize(presentation.describe_finding(finding))))
    sentence = escape_markdown(_capitalize(cause_sentence(finding)))
    st.markdown(f"{sentence}. Evidence: {escape_markdown(finding.description)}.")
    if remedy := diagnosis.remedies.get(finding.cause):
        st.markdown("Try next:")
        if is_own_loop:
            st.code(remedy, language="python")
        else:
            show_command(model_service.retry_command(run.settings(), remedy, run.path.parent))
    if others := diagnosis.findings[1:]:
        with st.expander(f"also found: {len(others)}"):
            for other in others:
                cause = escape_markdown(presentation.describe_finding(other))
                st.markdown(f"**{cause}**: {escape_markdown(other.description)}")


def _capitalize(text: str) -> str:
    return text[:1].upper() + text[1:]
