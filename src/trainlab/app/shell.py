"""What every page shares: its heading, its charts, and plain messages where something is wrong."""

import functools
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import streamlit as st

from trainlab.errors import RequestError
from trainlab.figures.style import OnScreen
from trainlab.runs import BrokenRun

_MARKUP = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()<>#+-.!|~$:&"})


def plain(text: object) -> str:
    """Text of a user (the name of a run, a folder, an error) as Markdown that shows it letter by letter."""
    return " ".join(str(text).split()).translate(_MARKUP)


def heading(title: str, question: str) -> None:
    """The page's name and the question that it answers."""
    st.title(title, anchor=False)
    st.caption(question)


def chart(figure: Any, alt: str, **options: Any) -> Any:
    """A figure of `trainlab.figures` in the colours of the page; `alt` says in words what it shows."""
    on_screen: Any = OnScreen(figure)
    return st.altair_chart(on_screen, theme=None, alt=alt, **options)


def one_of(label: str, names: Mapping[str, str], key: str, first: int | None = 0) -> str | None:
    """A choice among ids shown by their names, which stands in the address by its id as `key`.

    What the address asks for and is not there is told apart from a choice: it gives None, and a line.
    """
    asked, state = st.query_params.get(key), f"{key}.choice"
    if asked is not None and asked not in names:
        st.warning(f"{plain(asked)} is not there, or not any more: choose another.")
        st.session_state.pop(state, None)
        first = None
    elif asked is not None and state not in st.session_state:
        st.session_state[state] = asked
    chosen = st.selectbox(label, list(names), first, lambda name: names.get(name, name), key=state)
    if chosen is not None:
        st.query_params[key] = chosen
    elif asked in names:  # it was cleared
        del st.query_params[key]
    return chosen


def command(line: str) -> None:
    """A command line, with a button that copies it."""
    st.code(line, language="bash", wrap_lines=True)


def nothing_yet(message: str, *lines: str) -> None:
    """Where there is nothing to show: says so, and which commands make something."""
    with st.container(border=True):
        st.markdown(f"**{message}**")
        for line in lines:
            command(line)


@contextmanager
def plainly() -> Generator[None]:
    """Shows a wrong request or a broken run as one line, and lets the app go on."""
    try:
        yield
    except (RequestError, BrokenRun) as error:
        st.error(plain(error))


def live(seconds: float | None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A part of a page that is drawn anew every so often (never where None), by itself."""

    def wrap(draw: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(draw)
        def safely(*args: Any, **named: Any) -> None:
            with plainly():
                draw(*args, **named)

        return st.fragment(safely, run_every=seconds)

    return wrap
