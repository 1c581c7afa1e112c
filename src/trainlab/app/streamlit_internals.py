"""What relies on undocumented parts of Streamlit: its static files, their imports, test ids, its start.

Nothing else in the app does. `tests/app/test_streamlit_internals.py` is the contract: a test for each part,
which says what of the app is broken when another version of Streamlit does without it.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import streamlit
from streamlit.web import bootstrap

STATIC = Path(streamlit.__file__).parent / "static"
PRELOADED_PARTS = ("ArrowVegaLiteChart", "embed", "DataFrame")
"""Streamlit's names for the code of what the pages show first; a name it does not know is left out."""
BACKEND_SCRIPT = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin}</script>"
"""Streamlit's page looks for its server below each page first, a 404 in every console, unless it is given."""
CHART_SELECTOR = '[data-testid="stVegaLiteChart"] svg'
_IMPORTED = re.compile(r'(?:from|import)"\./([\w.-]+\.js)"')


def set_options(options: Mapping[str, object]) -> None:
    """Sets options by their names (`server.port`), also those that `streamlit.set_option` refuses."""
    bootstrap.load_config_options({name.replace(".", "_"): value for name, value in options.items()})


@functools.cache
def index_html() -> bytes:
    """Streamlit's page with preload links for `PRELOADED_PARTS` and the address of its server."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    links = [
        f'<link rel="modulepreload" fetchpriority="low" crossorigin href="./{name}">'
        for name in scripts_needed(PRELOADED_PARTS)
        if name not in page
    ]
    sheets = style_sheets(PRELOADED_PARTS)
    links += [f'<link rel="stylesheet" crossorigin href="./{name}">' for name in sheets]
    page = page.replace("<head>", f"<head>{BACKEND_SCRIPT}", 1)
    return page.replace("</head>", f"{''.join(links)}</head>", 1).encode()


def scripts_needed(parts: Iterable[str]) -> list[str]:
    """The scripts of these parts of Streamlit's page and, transitively, what they import."""
    folder = STATIC / "static" / "js"
    pending = [path.name for part in parts for path in folder.glob(f"{part}.*.js")]
    found = dict.fromkeys(pending)
    while pending:
        script = (folder / pending.pop()).read_text(encoding="utf-8")
        imported = [name for name in _IMPORTED.findall(script) if name not in found]
        found |= dict.fromkeys(imported)
        pending += imported
    return [f"static/js/{name}" for name in found]


def style_sheets(parts: Iterable[str]) -> list[str]:
    """The style sheets of these parts."""
    folder = STATIC / "static" / "css"
    return [f"static/css/{path.name}" for part in parts for path in folder.glob(f"{part}.*.css")]
