"""Claims: which lessons hold, and how sure is that? Each with its figure and the command for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
from trainlab.claims import claim_page, claim_record, collection_pages, registry
from trainlab.claims.claim_record import ClaimRecord
from trainlab.claims.judge import REFUTED, SUPPORTED
from trainlab.claims.registry import ClaimFile
from trainlab.claims.safe_html import read_svg
from trainlab.config.command_line import trainlab_command_line
from trainlab.errors import RequestError

COLOURS: Mapping[str, Any] = {SUPPORTED: "green", REFUTED: "orange"}
SECONDS = 3
MARKS = claim_page.MARKS | {collection_pages.NOT_RUN: "·"}


def show() -> None:
    """The whole page."""
    page_heading("Claims", "Which lessons hold, and how sure is that?")
    where = app_paths().experiments or registry.default_claims_folder()
    seen = _written(where)
    try:
        entries = registry.load_claims(where)
    except RequestError as error:
        st.error(escape_markdown(error))
        _watch(where, seen)
        show_empty_state("This says what is wrong with the claims:", _claims("check"))
        return
    found, broken = _read(entries)
    for line in broken:
        st.warning(escape_markdown(line))
    adjusted = collection_pages.verdicts_by_claim(found)
    collections = collection_pages.group_by_collection(entries)
    of = {entry.name: entry.claim.collection for entry in entries}
    first = of.get(st.query_params.get("claim", ""), next(iter(collections)))  # a link to a claim suffices
    chosen = url_control(
        st.segmented_control, "Collection", list(collections), default=first, required=True,
        key="collection", format_func=str.capitalize, label_visibility="collapsed", on_change=_all_of_it,
    )  # fmt: skip
    shown = collections[chosen or first]
    verdicts = {
        entry.name: adjusted[entry.name].verdict if entry.name in adjusted else collection_pages.NOT_RUN
        for entry in shown
    }
    kept = _filter(verdicts)
    offered = {e.name: f"{e.name} · {e.claim.question}" for e in shown if verdicts[e.name] in kept}
    one = select_from_url("One of them", offered, "claim", None)
    if not offered:
        st.info("No claim of this collection has this verdict: choose another.")
    for entry in shown:
        if entry.name in offered and one in (None, entry.name):
            _claim(entry, found.get(entry.name), verdicts[entry.name])
    st.caption("Verdicts are those among all claims of a collection (Holm-adjusted). This runs all of them:")
    show_command(_claims("run", "--collection", chosen or first))
    _watch(where, seen)


def _read(entries: Sequence[ClaimFile]) -> tuple[dict[str, ClaimRecord], list[str]]:
    """The records by claim, and a line for each that cannot be read."""
    found, broken = {}, []
    for entry in entries:
        try:
            record = claim_record.read_record(entry.folder)
            if record is not None:
                found[entry.name] = record
        except RequestError as error:
            broken.append(str(error))
    return found, broken


def _filter(verdicts: Mapping[str, str]) -> list[str]:
    """The verdicts to show: all, until some are chosen. The same are offered in every collection."""
    counts = Counter(verdicts.values())
    st.markdown(" · ".join(f"**{count}** {escape_markdown(verdict)}" for verdict, count in counts.items()))
    chosen = url_control(
        st.pills, "Only these", list(dict.fromkeys([*MARKS, *counts])), selection_mode="multi", key="verdict",
        label_visibility="collapsed",
    )  # fmt: skip
    return list(chosen) or list(counts)


def _all_of_it() -> None:
    """Another collection is shown whole: the one claim chosen is of the other."""
    st.session_state.pop("claim.choice", None)
    if "claim" in st.query_params:
        del st.query_params["claim"]


def _claim(entry: ClaimFile, record: ClaimRecord | None, verdict: str) -> None:
    """A card: question, verdict, statement and command; its picture beside them; its numbers below."""
    colour = COLOURS.get(verdict, "gray")
    with st.container(border=True, key=f"claim.{entry.name}"), show_errors():
        words, picture = st.columns([1, 1.3], gap="medium")
        with words:
            section_heading(escape_markdown(entry.claim.question))
            st.badge(f"{MARKS.get(verdict, '?')} {escape_markdown(verdict)}", color=colour)
            st.markdown(escape_markdown(entry.claim.statement))
            st.caption(escape_markdown(entry.claim.source))
            if record is None:
                st.markdown("It has not been run yet. This runs it and says what came of it:")
            show_command(_command(entry, record))
        with picture:
            _picture(entry, record)
        if record is not None:
            with st.expander("Numbers, scale and settings"):
                _numbers(record)


def _command(entry: ClaimFile, record: ClaimRecord | None) -> str:
    """What runs the claim as it was run; the folder is said where it is not the usual one."""
    profile = [] if record is None else ["--profile", record.profile]
    return _claims("run", entry.name, *profile)


def _claims(*words: str) -> str:
    """A command about these claims."""
    where = [] if app_paths().experiments is None else ["--experiments", str(app_paths().experiments)]
    return trainlab_command_line("claims", *words, *where)


def _picture(entry: ClaimFile, record: ClaimRecord | None) -> None:
    path = entry.folder / claim_page.FIGURE_FILE
    if record is not None and (svg := read_svg(path)) is not None:
        drawn = themed_svg(svg)
        st.image(drawn, width="stretch", alt=entry.claim.question)
    else:
        st.caption("No picture yet.")


def _numbers(record: ClaimRecord) -> None:
    """Of each expectation what was seen, of each arm what came of it; how, and on what."""
    _said(f"**{record.verdict.capitalize()}** by itself ({claim_page.certainty_text(record)}).")
    _said(claim_page.expectations_table(record))
    if record.grid is not None:
        _said(claim_page.grid_table(record))
    elif record.arms:
        _said(claim_page.arms_table(record))
    if record.tuned:
        _said(claim_page.tuning_table(record))
    _said(
        f"**Scale.** {record.scale}\n\n**How this differs from the source.** {record.differs}"
        f"\n\n**Try.** {record.suggestion}"
    )
    st.caption(escape_markdown(claim_page.provenance(record)))


def _said(markdown: str) -> None:
    """Markdown of a record, of whoever has written it: with no picture, which a browser would fetch."""
    st.markdown(markdown.replace("![", "!\\["))


@auto_refresh(SECONDS)
def _watch(where: Path, seen: list[tuple[str, int]]) -> None:
    """Draws the page anew where a claim was run."""
    if _written(where) != seen:
        st.rerun()


def _written(where: Path) -> list[tuple[str, int]]:
    """What changes when a claim is written, run or drawn."""
    paths = [
        path
        for pattern in (registry.CLAIM_FILE_NAME, claim_record.RESULT_FILE)
        for path in where.glob(f"*/{pattern}")
    ]
    return sorted((str(path), path.stat().st_mtime_ns) for path in paths if path.exists())


show()
