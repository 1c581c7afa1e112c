"""Claims: which lessons hold, and how sure is that? Each with its figure and the command for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import streamlit as st

from trainlab.app.paths import app_paths
from trainlab.app.theme import themed_svg
from trainlab.app.widgets import (
    auto_refresh,
    escape_markdown,
    page_heading,
    section_heading,
    select_from_url,
    show_command,
    show_empty_state,
    show_errors,
    url_control,
)
from trainlab.claims import claim_page, claim_record, claim_tables, collection_pages, evidence_text, registry
from trainlab.claims.claim_record import ClaimRecord
from trainlab.claims.judge import DOES_NOT_HOLD, HOLDS, REFUTED, SUPPORTED, PageVerdict
from trainlab.claims.registry import ClaimFile
from trainlab.claims.safe_html import read_svg
from trainlab.config.command_line import trainlab_command_line
from trainlab.errors import RequestError

COLOURS: dict[str, Literal["green", "orange"]] = {
    SUPPORTED: "green", HOLDS: "green", REFUTED: "orange", DOES_NOT_HOLD: "orange",
}  # fmt: skip
REFRESH_SECONDS = 3
MARKS = evidence_text.MARKS | {collection_pages.NOT_RUN: "·"}


def page() -> None:
    page_heading("Claims", "Which lessons hold, and how sure is that?")
    folder = app_paths().experiments or registry.default_claims_folder()
    stamp = _change_stamp(folder)
    try:
        entries = registry.load_claims(folder)
    except RequestError as error:
        st.error(escape_markdown(error))
        _watch(folder, stamp)
        show_empty_state("This says what is wrong with the claims:", _claims_command("check"))
        return
    records, broken = _read_records(entries)
    for line in broken:
        st.warning(escape_markdown(line))
    on_page = collection_pages.verdicts_by_claim(records)
    collections = collection_pages.group_by_collection(entries)
    collection_of = {entry.name: entry.claim.collection for entry in entries}
    # a link to a claim need not name its collection
    first = collection_of.get(st.query_params.get("claim", ""), next(iter(collections)))
    chosen: str | None = url_control(
        st.segmented_control, "Collection", list(collections), default=first, required=True,
        key="collection", format_func=str.capitalize, label_visibility="collapsed", on_change=_forget_claim,
    )  # fmt: skip
    shown = collections[chosen or first]
    verdicts = {
        entry.name: on_page[entry.name].verdict if entry.name in on_page else collection_pages.NOT_RUN
        for entry in shown
    }
    kept = _choose_verdicts(verdicts)
    names = {e.name: f"{e.name} · {e.claim.question}" for e in shown if verdicts[e.name] in kept}
    selected = select_from_url("One of them", names, "claim", None)
    if not names:
        st.info("No claim of this collection has this verdict: choose another.")
    for entry in shown:
        if entry.name in names and selected in (None, entry.name):
            _show_claim(entry, records.get(entry.name), on_page.get(entry.name))
    st.caption(f"{evidence_text.WHAT_EVIDENCE_MEANS} {evidence_text.WHAT_PAGE_VERDICTS_ARE} This runs all:")
    show_command(_claims_command("run", "--collection", chosen or first))
    _watch(folder, stamp)


def _read_records(entries: Sequence[ClaimFile]) -> tuple[dict[str, ClaimRecord], list[str]]:
    """The records by claim, and a line for each that cannot be read."""
    records, broken = {}, []
    for entry in entries:
        try:
            record = claim_record.read_record(entry.folder)
            if record is not None:
                records[entry.name] = collection_pages.with_current_words(record, entry.claim)
        except RequestError as error:
            broken.append(str(error))
    return records, broken


def _choose_verdicts(verdicts: Mapping[str, str]) -> list[str]:
    """The verdicts to show: all, until some are chosen. Every collection offers the same ones."""
    counts = Counter(verdicts.values())
    st.markdown(" · ".join(f"**{count}** {escape_markdown(verdict)}" for verdict, count in counts.items()))
    chosen = url_control(
        st.pills, "Only these", list(dict.fromkeys([*MARKS, *counts])), selection_mode="multi", key="verdict",
        label_visibility="collapsed",
    )  # fmt: skip
    return list(chosen) or list(counts)


def _forget_claim() -> None:
    """Another collection is shown whole: the chosen claim belongs to the one before."""
    st.session_state.pop("claim.choice", None)
    if "claim" in st.query_params:
        del st.query_params["claim"]


def _show_claim(entry: ClaimFile, record: ClaimRecord | None, on_page: PageVerdict | None) -> None:
    """A card: what a lesson teaches, its command and its verdict; pictures beside, numbers below."""
    verdict = collection_pages.NOT_RUN if on_page is None else on_page.verdict
    with st.container(border=True, key=f"claim.{entry.name}"), show_errors():
        left, right = st.columns([1, 1.3], gap="medium")
        with left:
            section_heading(escape_markdown(entry.claim.question))
            st.badge(
                f"{MARKS.get(verdict, evidence_text.UNSURE)} {escape_markdown(verdict)}",
                color=COLOURS.get(verdict, "gray"),
            )
            _show_opening(entry)
            if record is None:
                st.markdown("It has not been run yet. This runs it and says what came of it:")
            show_command(_run_command(entry, record))
        with right:
            _show_figures(entry, record)
        if record is not None:
            for part in claim_page.result_parts(record, on_page, with_meaning=False):
                _show_markdown(part)
            for part in claim_page.lesson_close(record):
                _show_markdown(part)
            with st.expander("Numbers, scale and settings"):
                _show_numbers(entry, record)


def _show_opening(entry: ClaimFile) -> None:
    """Explanation, and the prediction with its answer folded; then what the source says."""
    lesson = entry.claim.lesson
    if lesson is not None:
        _show_markdown(lesson.explanation)
        _show_markdown(f"**Predict first.** {lesson.prediction}")
        with st.expander("The answer, once you have yours"):
            _show_markdown(lesson.answer)
    st.markdown(escape_markdown(entry.claim.statement))
    st.caption(escape_markdown(entry.claim.source))


def _run_command(entry: ClaimFile, record: ClaimRecord | None) -> str:
    """The command that runs the claim with the profile of its record."""
    profile = [] if record is None or record.profile == "quick" else ["--profile", record.profile]
    return _claims_command("run", entry.name, *profile)


def _claims_command(*arguments: str) -> str:
    """A command on these claims; it names their folder where that is not the default."""
    folder = [] if app_paths().experiments is None else ["--experiments", str(app_paths().experiments)]
    return trainlab_command_line("claims", *arguments, *folder)


def _show_figures(entry: ClaimFile, record: ClaimRecord | None) -> None:
    """The claim's figure, and the pictures below it."""
    if record is None:
        st.caption("No picture yet.")
        return
    for file, shows in {claim_page.FIGURE_FILE: entry.claim.question, **record.pictures}.items():
        svg = read_svg(entry.folder / file)
        if svg is not None:
            st.image(themed_svg(svg), width="stretch", alt=shows)
        elif file == claim_page.FIGURE_FILE:
            st.caption("No picture yet.")


def _show_numbers(entry: ClaimFile, record: ClaimRecord) -> None:
    """What else the verdict rests on: other profiles, arms, scale, tuning, settings and provenance."""
    if others := collection_pages.other_records(entry.folder):
        _show_markdown(claim_page.other_profiles(record, others))
    if record.grid is not None:
        _show_markdown(claim_tables.grid_table(record))
    elif record.arms:
        _show_markdown(claim_tables.arms_table(record))
    _show_markdown(f"**Scale.** {record.scale}\n\n**How this differs from the source.** {record.differs}")
    if record.tuned:
        _show_markdown(claim_tables.tuning_table(record))
    _show_markdown(claim_page.settings_list(record))
    st.caption(escape_markdown(claim_page.provenance(record)))


def _show_markdown(markdown: str) -> None:
    """Markdown of a record from anyone: without images, which a browser would fetch."""
    st.markdown(markdown.replace("![", "!\\["))


@auto_refresh(REFRESH_SECONDS)
def _watch(folder: Path, stamp: list[tuple[str, int]]) -> None:
    """Runs the page again when a claim has been run."""
    if _change_stamp(folder) != stamp:
        st.rerun()


def _change_stamp(folder: Path) -> list[tuple[str, int]]:
    """What changes when a claim is written, run or drawn."""
    paths = [
        path
        for pattern in (registry.CLAIM_FILE_NAME, claim_record.RESULT_FILE)
        for path in folder.glob(f"*/{pattern}")
    ]
    return sorted((str(path), path.stat().st_mtime_ns) for path in paths if path.exists())


page()
