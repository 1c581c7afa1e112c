"""What every page shares: headings, charts, controls bound to the address, one-line errors."""

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, ParamSpec, cast
from urllib.parse import quote

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from trainlab.app.paths import app_paths
from trainlab.config.command_line import train_command_line
from trainlab.errors import RequestError
from trainlab.figures.style import PageChart
from trainlab.runs import CorruptRunError

if TYPE_CHECKING:
    from altair import Chart, TopLevelMixin

P = ParamSpec("P")

DEMO_OVERRIDES = ("-m", "experiment=demo", "activation=sigmoid,relu", "init=glorot,kaiming")
"""Four small networks in a minute."""
CONTROL_WIDTH = 156
"""Of a control, in pixels: two fit side by side on a telephone."""
_MARKDOWN_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_{}[]()<>#+-.!|~$:&"})


def escape_markdown(text: object) -> str:
    """Text from outside (the name of a run, a folder, an error) as Markdown that shows it verbatim."""
    return " ".join(str(text).split()).translate(_MARKDOWN_ESCAPES)


def page_heading(title: str, question: str) -> None:
    st.title(title, anchor=False)
    st.caption(question)


def section_heading(title: str) -> None:
    """The heading of a part of a page: one level below its title, so that no level is skipped."""
    st.header(title, anchor=False)


def show_chart(figure: "TopLevelMixin", alt: str, into: DeltaGenerator | None = None) -> DeltaGenerator:
    """A figure of `trainlab.figures` in the colours of the page; `alt` describes it in words.

    Returns its element, `into` which the next one can be drawn, so that the place is never empty.
    """
    chart = cast("Chart", PageChart(figure))  # Streamlit calls only its `to_dict`
    return (into or st).altair_chart(chart, theme=None, alt=alt)


def url_control(
    widget: Callable[..., Any], label: str | Sequence[str], *values: object, key: str, **options: object
) -> Any:
    """A widget of Streamlit whose value is in the address as `key`: a link shows what its sender saw.

    Every control of every page is made here, or by `select_from_url` and `multiselect_from_url`. Returns what
    the widget returns, for which Streamlit's overloads have no one type.
    """
    return widget(label, *values, key=key, bind="query-params", **options)


def select_from_url(label: str, names: Mapping[str, str], key: str, first: int | None = 0) -> str | None:
    """A choice among ids shown by their names; the address has the chosen id as `key`.

    An id in the address that does not exist (yet) is no choice: None is returned with a warning, and the id
    is selected as soon as it exists. A choice enters the browser's history, and "back" undoes it.
    """
    requested, state = st.query_params.get(key), f"{key}.choice"
    follows, missing = f"{key}.requested", f"{key}.missing"
    is_new = st.session_state.get(follows) != requested  # a link, or "back"
    if requested is not None and requested not in names:
        if is_new or st.session_state.get(state) not in names:  # else another has been chosen since
            _warn_missing([requested])
            st.session_state[state] = None
    elif requested is not None and (is_new or state not in st.session_state or st.session_state.get(missing)):
        st.session_state[state] = requested
    elif requested is None and is_new and follows in st.session_state:
        st.session_state.pop(state, None)
    index = None if state in st.session_state else first
    chosen = st.selectbox(label, list(names), index, lambda name: names.get(name, name), key=state)
    if chosen is not None:
        st.query_params[key] = chosen
    elif requested in names:  # it was cleared
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
    placeholder: str | None = None,
) -> list[str]:
    """As `select_from_url`, for up to `most` ids: those chosen, in their order.

    Ids in the address that do not exist stay in it, with a warning. `same_as` maps an id to the one that
    represents it.
    """
    state, follows = f"{key}.choice", f"{key}.requested"
    in_url = st.query_params.get_all(key)
    requested = list(dict.fromkeys((same_as or {}).get(name, name) for name in in_url))
    existing = [name for name in requested if name in names][:most]
    missing = [name for name in requested if name not in names]
    if st.session_state.get(follows) != existing:  # at first, and when one has come or gone
        st.session_state[state] = existing
    elif st.session_state.get(state, existing) != existing:  # others have been chosen since
        missing = []
    if missing:
        _warn_missing(missing)
    chosen = st.multiselect(
        label,
        list(names),
        format_func=lambda name: names.get(name, name),
        key=state,
        max_selections=most,
        placeholder=placeholder,
    )
    now = [*chosen, *missing]
    if now != in_url:
        if now:
            st.query_params[key] = now
        else:
            del st.query_params[key]
    st.session_state[follows] = list(chosen)
    return chosen


def _warn_missing(ids: Sequence[str]) -> None:
    names = ", ".join(map(escape_markdown, ids))
    is_are = "is" if len(ids) == 1 else "are"
    st.warning(f"{names} {is_are} not there, or not any more: choose another, or wait until it is.")


def show_run_links(runs: Mapping[str, str], label: str = "") -> None:
    """Links to the pages of runs (id → name), after a label.

    In plain HTML: a link in Markdown or in a table opens a new tab, and Streamlit's own link to a page drops
    the query of the address, so that "back" would lead to another view.
    """
    links = [
        f'<a href="run?run={quote(run_id, safe="")}">{escape(name)}</a>' for run_id, name in runs.items()
    ]
    st.html(f"<p>{escape(label)} {' · '.join(links)}</p>".replace("<p> ", "<p>"))


def show_command(line: str) -> None:
    """A command line, with a button that copies it."""
    st.code(line, language="bash", wrap_lines=True)


def train_command(*overrides: str) -> str:
    """The command of a run or a sweep into the folder of runs that this app reads."""
    return train_command_line(overrides, app_paths().runs)


def show_empty_state(message: str, *lines: str) -> None:
    """A message that there is nothing to show, with the commands that would make something."""
    with st.container(border=True):
        st.markdown(f"**{message}**")
        for line in lines:
            show_command(line)


@contextmanager
def show_errors() -> Generator[None]:
    """Shows a wrong request or a corrupt run in one line; the app goes on."""
    try:
        yield
    except (RequestError, CorruptRunError) as error:
        st.error(escape_markdown(error))


def auto_refresh(seconds: float) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Decorates a part of a page that Streamlit runs again by itself, every so many seconds."""

    def wrap(draw: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(draw)
        def draw_or_show_error(*args: P.args, **kwargs: P.kwargs) -> None:
            with show_errors():
                draw(*args, **kwargs)

        return st.fragment(draw_or_show_error, run_every=seconds)

    return wrap
