"""Claims: which lessons hold, and how sure is that? Each with its figure and the command for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from trainlab.app.place import place
from trainlab.app.shell import command, heading, nothing_yet, plain, plainly
from trainlab.claims import course, folder, page, record
from trainlab.claims.folder import Entry
from trainlab.claims.verdict import REFUTED, SUPPORTED
from trainlab.errors import RequestError

COLOURS: Mapping[str, Any] = {SUPPORTED: "green", REFUTED: "orange"}
MARKS = page.MARKS | {course.NOT_RUN: "·"}


def show() -> None:
    """The whole page."""
    heading("Claims", "Which lessons hold, and how sure is that?")
    where = place().experiments or folder.default_folder()
    try:
        entries = folder.load(where)
    except RequestError as error:
        st.error(plain(error))
        nothing_yet("This says what is wrong with the claims:", "trainlab claims check")
        return
    found, broken = _read(entries)
    for line in broken:
        st.warning(plain(line))
    judged = course.verdicts(found)
    collections = course.by_collection(entries)
    chosen = st.segmented_control(
        "Collection", list(collections), default=next(iter(collections)), required=True, key="collection",
        format_func=str.capitalize, bind="query-params", label_visibility="collapsed",
    )  # fmt: skip
    shown = collections[chosen or next(iter(collections))]
    unjudged = (course.NOT_RUN, 1.0)
    verdicts = {entry.name: judged.get(entry.name, unjudged)[0] for entry in shown}
    kept = _filter(verdicts)
    for entry in shown:
        if verdicts[entry.name] in kept:
            _claim(entry, found.get(entry.name), verdicts[entry.name])
    st.caption("Verdicts are those among all claims of a collection (Holm-adjusted). This runs all of them:")
    command(f"trainlab claims run --collection {chosen}")


def _read(entries: Sequence[Entry]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The records by claim, and a line for each that cannot be read."""
    found, broken = {}, []
    for entry in entries:
        try:
            content = record.read(entry.folder)
            if content is not None:
                page.page(content, has_figure=False)  # everything that is shown is there
                found[entry.name] = content
        except RequestError as error:
            broken.append(str(error))
        except (KeyError, TypeError, AttributeError, StopIteration) as error:
            broken.append(
                f"{entry.folder / record.RESULT_FILE} is no record of a claim ({error!r}); run it again"
            )
    return found, broken


def _filter(verdicts: Mapping[str, str]) -> list[str]:
    """The verdicts to show: all, until some are chosen."""
    counts = Counter(verdicts.values())
    st.markdown(" · ".join(f"**{count}** {plain(verdict)}" for verdict, count in counts.items()))
    chosen = st.pills(
        "Only these", list(counts), selection_mode="multi", key="verdict", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    return list(chosen) or list(counts)


def _claim(entry: Entry, content: Mapping[str, Any] | None, verdict: str) -> None:
    """One claim, closed until it is asked for."""
    colour = COLOURS.get(verdict, "gray")
    label = f"{plain(entry.claim.question)} :{colour}-badge[{MARKS.get(verdict, '?')} {plain(verdict)}]"
    opened = st.expander(label, key=f"claim.{entry.name}", on_change="rerun")
    if opened.open:
        with opened, plainly():
            _inside(entry, content)


def _inside(entry: Entry, content: Mapping[str, Any] | None) -> None:
    st.markdown(f"> {entry.claim.statement}\n>\n> — {entry.claim.source}")
    if content is None:
        st.markdown("It has not been run yet. This runs it and says what came of it:")
        command(f"trainlab claims run {entry.name}")
        return
    st.markdown(f"**{content['verdict'].capitalize()}** at this scale ({page.evidence_line(content)}).")
    picture = entry.folder / page.FIGURE_FILE
    if picture.is_file():
        st.image(picture.read_text(encoding="utf-8"), width=640, alt=entry.claim.question)
    st.markdown(page.findings_table(content))
    if content.get("grid"):
        st.markdown(page.grid_table(content))
    elif content["arms"]:
        st.markdown(page.arms_table(content))
    st.markdown(
        f"**Scale.** {content['scale']}\n\n**How this differs from the source.** {content['differs']}"
    )
    st.markdown(f"**Try.** {content['try']}")
    command(f"trainlab claims run {entry.name} --profile {content['profile']}")
    st.caption(plain(page.provenance(content)))


show()
