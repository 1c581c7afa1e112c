"""What the server runs for every view: the theme's few rules, the navigation, and the page asked for."""

from pathlib import Path

import streamlit as st

from trainlab.app import theme
from trainlab.app.widgets import show_errors

# Beside the pages and not above them: a folder `pages` beside the script would make Streamlit list its files.
HERE = Path(__file__).parent
APP = HERE.parent


def pages() -> list[st.Page]:
    """The pages in the order of their use, each with an address of its own."""
    return [
        st.Page(HERE / f"{name}.py", title=title, url_path=name.replace("_", "-"))
        for name, title in (
            ("compare", "Compare"),
            ("run", "Inside a run"),
            ("will_it_learn", "Will it learn?"),
            ("claims", "Claims"),
            ("draw", "Draw and predict"),
            ("anatomy", "Anatomy"),
        )
    ]


def main() -> None:
    """Shows the page of the address; `/` leads to the first."""
    all_pages = pages()

    def start() -> None:
        query = {name: st.query_params.get_all(name) for name in st.query_params}
        st.switch_page(all_pages[0], query_params=query)

    home = st.Page(start, title="trainlab", default=True, visibility="hidden")
    chosen = st.navigation([home, *all_pages], position="top")
    title = "trainlab" if chosen is home else f"{chosen.title} · trainlab"
    st.set_page_config(page_title=title, page_icon=str(APP / "mark.svg"), layout="wide")
    st.html(f"<style>{(APP / 'style.css').read_text(encoding='utf-8')}\n{theme.chart_css()}</style>")
    st.logo(APP / "mark.svg", size="large")
    with show_errors():
        chosen.run()


main()
