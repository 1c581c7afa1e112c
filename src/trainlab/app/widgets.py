"""What every page shares: headings, charts, controls bound to the address, one-line errors."""

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import quote

import streamlit as st

from trainlab.app.paths import app_paths
from trainlab.config.command_line import train_command_line
from trainlab.errors import RequestError
from trainlab.figures.style import PageChart
from trainlab.runs import CorruptRunError

DEMO_OVERRIDES = ("-m", "experiment=demo", "activation=sigmoid,relu", "init=glorot,kaiming")
"""Four small networks in a minute."""
_MARKDOWN_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()<>#+-.!|~$:&"})


def escape_markdown(text: object) -> str:
    """Text of a user (the name of a run, a folder, an error) as Markdown that shows it letter by letter."""
    return " ".join(str(text).split()).translate(_MARKDOWN_ESCAPES)


def page_heading(title: str, question: str) -> None:
    """The page's name and the question that it answers."""
    st.title(title, anchor=False)
    st.caption(question)


def section_heading(title: str) -> None:
    """The heading of a part of a page: the step below its title, so that no level is left out."""
    st.header(title, anchor=False)


def show_chart(figure: Any, alt: str, into: Any = st) -> Any:
    """A figure of `trainlab.figures` in the colours of the page; `alt` says in words what it shows.

    Returns its place, `into` which another one can be drawn, so that there is always one of the two.
    """
    on_screen: Any = PageChart(figure)
    return into.altair_chart(on_screen, theme=None, alt=alt)


def url_control(widget: Callable[..., Any], label: Any, *values: Any, key: str, **options: Any) -> Any:
    """A widget of Streamlit whose value stands in the address as `key`: a link shows what its sender saw.

    Every control of every page is made here, or by `one_of` and `some_of`.
    """
    return widget(label, *values, key=key, bind="query-params", **options)


def select_from_url(label: str, names: Mapping[str, str], key: str, first: int | None = 0) -> str | None:
    """A choice among ids shown by their names, which stands in the address by its id as `key`.

    What the address asks for and is not there is told apart from a choice: it gives None, and a line; it is
    chosen as soon as it is there. A choice goes into the browser's history, and "back" takes it back.
    """
    asked, state = st.query_params.get(key), f"{key}.choice"
    follows, missing = f"{key}.asked", f"{key}.missing"
    is_new = st.session_state.get(follows) != asked  # a link, or "back"
    if asked is not None and asked not in names:
        if is_new or st.session_state.get(state) not in names:  # else another has been chosen since
            _warn_missing([asked])
            st.session_state[state] = None
    elif asked is not None and (is_new or state not in st.session_state or st.session_state.get(missing)):
        st.session_state[state] = asked
    elif asked is None and is_new and follows in st.session_state:
        st.session_state.pop(state, None)
    index = None if state in st.session_state else first
    chosen = st.selectbox(label, list(names), index, lambda name: names.get(name, name), key=state)
    if chosen is not None:
        st.query_params[key] = chosen
    elif asked in names:  # it was cleared
        del st.query_params[key]
    st.session_state[follows] = st.query_params.get(key)
    st.session_state[missing] = st.session_state[follows] not in (None, *names)
    return chosen


def multiselect_from_url(
    label: str,
    names: Mapping[str, str],
    key: str,
    same_as: Mapping[str, str] | None = None,
    most: int | None = None,
    **options: Any,
) -> list[str]:
    """As `one_of`, for several, `most` of them: those chosen, in their order; none where nothing is chosen.

    What the address asks for and is not there stays in it, with a line that says so. `same_as` says which id
    stands for others.
    """
    state, follows = f"{key}.choice", f"{key}.asked"
    asked = list(dict.fromkeys((same_as or {}).get(name, name) for name in st.query_params.get_all(key)))
    there = [name for name in asked if name in names][:most]
    missing = [name for name in asked if name not in names]
    if st.session_state.get(follows) != there:  # at first, and when one has come or gone
        st.session_state[state] = there
    elif st.session_state.get(state, there) != there:  # others have been chosen since
        missing = []
    if missing:
        _warn_missing(missing)
    chosen = st.multiselect(
        label,
        list(names),
        format_func=lambda name: names.get(name, name),
        key=state,
        max_selections=most,
        **options,
    )
    now = [*chosen, *missing]
    if now != st.query_params.get_all(key):
        if now:
            st.query_params[key] = now
        else:
            del st.query_params[key]
    st.session_state[follows] = list(chosen)
    return chosen


def _warn_missing(asked: Sequence[str]) -> None:
    said = ", ".join(map(escape_markdown, asked))
    is_are = "is" if len(asked) == 1 else "are"
    st.warning(f"{said} {is_are} not there, or not any more: choose another, or wait until it is.")


def show_run_links(runs: Mapping[str, str], says: str = "") -> None:
    """Links to the pages of runs, by their names, after a word of what they are.

    Of plain HTML: a link in Markdown or in a table opens a new tab, and Streamlit's own link to a page loses
    what stands in the address, so that "back" would come back to another view.
    """
    links = [
        f'<a href="run?run={quote(run_id, safe="")}">{escape(name)}</a>' for run_id, name in runs.items()
    ]
    st.html(f"<p>{escape(says)} {' · '.join(links)}</p>".replace("<p> ", "<p>"))


def show_command(line: str) -> None:
    """A command line, with a button that copies it."""
    st.code(line, language="bash", wrap_lines=True)


def train_command(*overrides: str) -> str:
    """The command of a run or a sweep that is recorded where this app looks."""
    return train_command_line(overrides, app_paths().runs)


def show_empty_state(message: str, *lines: str) -> None:
    """Where there is nothing to show: says so, and which commands make something."""
    with st.container(border=True):
        st.markdown(f"**{message}**")
        for line in lines:
            show_command(line)


@contextmanager
def show_errors() -> Generator[None]:
    """Shows a wrong request or a broken run as one line, and lets the app go on."""
    try:
        yield
    except (RequestError, CorruptRunError) as error:
        st.error(escape_markdown(error))


def auto_refresh(seconds: float | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A part of a page that is drawn anew every so often (never where None), by itself."""

    def wrap(draw: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(draw)
        def safely(*args: Any, **named: Any) -> None:
            with show_errors():
                draw(*args, **named)

        return st.fragment(safely, run_every=seconds)

    return wrap
