"""Claims: which lessons hold, and how sure is that? Each with its figure and the command for it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from trainlab.app.place import place
from trainlab.app.shell import command, control, heading, live, nothing_yet, one_of, plain, plainly, section
from trainlab.app.theme import figure_on_page
from trainlab.claims import course, folder, page, record
from trainlab.claims.folder import Entry
from trainlab.claims.others import svg_text
from trainlab.claims.verdict import REFUTED, SUPPORTED
from trainlab.config.command import trainlab
from trainlab.errors import RequestError

COLOURS: Mapping[str, Any] = {SUPPORTED: "green", REFUTED: "orange"}
SECONDS = 3
MARKS = page.MARKS | {course.NOT_RUN: "·"}


def show() -> None:
    """The whole page."""
    heading("Claims", "Which lessons hold, and how sure is that?")
    where = place().experiments or folder.default_folder()
    seen = _written(where)
    try:
        entries = folder.load(where)
    except RequestError as error:
        st.error(plain(error))
        _watch(where, seen)
        nothing_yet("This says what is wrong with the claims:", _claims("check"))
        return
    found, broken = _read(entries)
    for line in broken:
        st.warning(plain(line))
    judged = course.verdicts(found)
    collections = course.by_collection(entries)
    of = {entry.name: entry.claim.collection for entry in entries}
    first = of.get(st.query_params.get("claim", ""), next(iter(collections)))  # a link to a claim suffices
    chosen = control(
        st.segmented_control, "Collection", list(collections), default=first, required=True,
        key="collection", format_func=str.capitalize, label_visibility="collapsed", on_change=_all_of_it,
    )  # fmt: skip
    shown = collections[chosen or first]
    unjudged = (course.NOT_RUN, 1.0)
    verdicts = {entry.name: judged.get(entry.name, unjudged)[0] for entry in shown}
    kept = _filter(verdicts)
    offered = {e.name: f"{e.name} · {e.claim.question}" for e in shown if verdicts[e.name] in kept}
    one = one_of("One of them", offered, "claim", None)
    if not offered:
        st.info("No claim of this collection has this verdict: choose another.")
    for entry in shown:
        if entry.name in offered and one in (None, entry.name):
            _claim(entry, found.get(entry.name), verdicts[entry.name])
    st.caption("Verdicts are those among all claims of a collection (Holm-adjusted). This runs all of them:")
    command(_claims("run", "--collection", chosen or first))
    _watch(where, seen)


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
    """The verdicts to show: all, until some are chosen. The same are offered in every collection."""
    counts = Counter(verdicts.values())
    st.markdown(" · ".join(f"**{count}** {plain(verdict)}" for verdict, count in counts.items()))
    chosen = control(
        st.pills, "Only these", list(dict.fromkeys([*MARKS, *counts])), selection_mode="multi", key="verdict",
        label_visibility="collapsed",
    )  # fmt: skip
    return list(chosen) or list(counts)


def _all_of_it() -> None:
    """Another collection is shown whole: the one claim chosen is of the other."""
    st.session_state.pop("claim.choice", None)
    if "claim" in st.query_params:
        del st.query_params["claim"]


def _claim(entry: Entry, content: Mapping[str, Any] | None, verdict: str) -> None:
    """A card: question, verdict, statement and command; its picture beside them; its numbers below."""
    colour = COLOURS.get(verdict, "gray")
    with st.container(border=True, key=f"claim.{entry.name}"), plainly():
        words, picture = st.columns([1, 1.3], gap="medium")
        with words:
            section(plain(entry.claim.question))
            st.badge(f"{MARKS.get(verdict, '?')} {plain(verdict)}", color=colour)
            st.markdown(plain(entry.claim.statement))
            st.caption(plain(entry.claim.source))
            if content is None:
                st.markdown("It has not been run yet. This runs it and says what came of it:")
            command(_command(entry, content))
        with picture:
            _picture(entry, content)
        if content is not None:
            with st.expander("Numbers, scale and settings"):
                _numbers(content)


def _command(entry: Entry, content: Mapping[str, Any] | None) -> str:
    """What runs the claim as it was run; the folder is said where it is not the usual one."""
    profile = [] if content is None else ["--profile", content["profile"]]
    return _claims("run", entry.name, *profile)


def _claims(*words: str) -> str:
    """A command about these claims."""
    where = [] if place().experiments is None else ["--experiments", str(place().experiments)]
    return trainlab("claims", *words, *where)


def _picture(entry: Entry, content: Mapping[str, Any] | None) -> None:
    path = entry.folder / page.FIGURE_FILE
    if content is not None and (svg := svg_text(path)) is not None:
        drawn = figure_on_page(svg)
        st.image(drawn, width="stretch", alt=entry.claim.question)
    else:
        st.caption("No picture yet.")


def _numbers(content: Mapping[str, Any]) -> None:
    """Of each expectation what was seen, of each arm what came of it; how, and on what."""
    _said(f"**{content['verdict'].capitalize()}** by itself ({page.evidence_line(content)}).")
    _said(page.findings_table(content))
    if content.get("grid"):
        _said(page.grid_table(content))
    elif content["arms"]:
        _said(page.arms_table(content))
    if content.get("tuned"):
        _said(page.tuning_table(content))
    _said(
        f"**Scale.** {content['scale']}\n\n**How this differs from the source.** {content['differs']}"
        f"\n\n**Try.** {content['try']}"
    )
    st.caption(plain(page.provenance(content)))


def _said(markdown: str) -> None:
    """Markdown of a record, of whoever has written it: with no picture, which a browser would fetch."""
    st.markdown(markdown.replace("![", "!\\["))


@live(SECONDS)
def _watch(where: Path, seen: list[tuple[str, int]]) -> None:
    """Draws the page anew where a claim was run."""
    if _written(where) != seen:
        st.rerun()


def _written(where: Path) -> list[tuple[str, int]]:
    """What changes when a claim is written, run or drawn."""
    paths = [
        path for pattern in (folder.CLAIM_FILE, record.RESULT_FILE) for path in where.glob(f"*/{pattern}")
    ]
    return sorted((str(path), path.stat().st_mtime_ns) for path in paths if path.exists())


show()
