"""What relies on undocumented parts of Streamlit: its static files, their imports, its test ids.

`tests/app/test_streamlit_internals.py` holds each of them and says what broke when Streamlit changes."""

import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit

if TYPE_CHECKING:
    pass


STATIC = Path(streamlit.__file__).parent / "static"
PRELOADED_PARTS = ("ArrowVegaLiteChart", "embed", "DataFrame")
"""Streamlit's names for the code of what the pages show first; a name it does not know is left out."""
BACKEND_SCRIPT = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin}</script>"
"""Told where its server is, Streamlit does not look for one below each page first: 404 in every console."""
_IMPORTED = re.compile(r'(?:from|import)"\./([\w.-]+\.js)"')


@functools.cache
def index_html() -> bytes:
    """Streamlit's page, naming also the code of what comes soon."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    links = [
        f'<link rel="modulepreload" fetchpriority="low" crossorigin href="./{name}">'
        for name in scripts_needed(PRELOADED_PARTS)
        if name not in page
    ]
    links += [
        f'<link rel="stylesheet" crossorigin href="./{name}">' for name in style_sheets(PRELOADED_PARTS)
    ]
    return (
        page.replace("<head>", f"<head>{BACKEND_SCRIPT}", 1)
        .replace("</head>", "".join(links) + "</head>", 1)
        .encode()
    )


def scripts_needed(roots: Iterable[str]) -> list[str]:
    """The files of these parts of Streamlit's page, and what they import, in the order of use."""
    paths = [path.name for root in roots for path in (STATIC / "static" / "js").glob(f"{root}.*.js")]
    seen = dict.fromkeys(paths)
    while paths:
        text = (STATIC / "static" / "js" / paths.pop()).read_text(encoding="utf-8")
        new = [name for name in _IMPORTED.findall(text) if name not in seen]
        seen |= dict.fromkeys(new)
        paths += new
    return [f"static/js/{name}" for name in seen]


def style_sheets(roots: Iterable[str]) -> list[str]:
    """The style sheets of these parts."""
    paths = [path for root in roots for path in (STATIC / "static" / "css").glob(f"{root}.*.css")]
    return [path.relative_to(STATIC).as_posix() for path in paths]


CHART_SELECTOR = '[data-testid="stVegaLiteChart"] svg'
