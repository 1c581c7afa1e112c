"""Streamlit's own page and scripts, served at once: from memory, and with word of what will be needed.

Streamlit's page fetches the code of a chart or of a table only when the first one arrives, and its server
opens each of some 130 small files in a thread. Here the page itself names that code, so that it comes while
the server is still drawing, and a file is one write.
"""

import functools
import mimetypes
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

STATIC = Path(streamlit.__file__).parent / "static"
SOON = ("ArrowVegaLiteChart", "embed", "DataFrame")
"""Streamlit's names for the code of what the pages show first; a name it does not know is left out."""
SERVER = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin}</script>"
"""Told where its server is, Streamlit does not look for one below each page first: 404 in every console."""
FOR_EVER = b"public, immutable, max-age=31536000"  # as Streamlit says of these files: their names hold a hash
_IMPORTED = re.compile(r'(?:from|import)"\./([\w.-]+\.js)"')


class Frontend:
    """ASGI middleware: answers for the page and its files, and hands everything else on."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """One request."""
        found = _answer(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        kind, caching, body = found
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", caching),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _answer(path: str) -> tuple[str, bytes, bytes] | None:
    """Content type, caching and body of what this answers for; None for everything else."""
    if path.startswith("/static/"):
        return _file(path.removeprefix("/"))
    is_page = path.count("/") == 1 and "." not in path and not path.startswith("/_")
    return ("text/html; charset=utf-8", b"no-cache", index()) if is_page else None


@functools.lru_cache(maxsize=512)
def _file(name: str) -> tuple[str, bytes, bytes] | None:
    if name not in _names():
        return None
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return kind or "application/octet-stream", FOR_EVER, (STATIC / name).read_bytes()


@functools.cache
def _names() -> frozenset[str]:
    """The files there are, so that no path can lead out of the folder."""
    return frozenset(
        path.relative_to(STATIC).as_posix() for path in (STATIC / "static").rglob("*") if path.is_file()
    )


@functools.cache
def index() -> bytes:
    """Streamlit's page, naming also the code of what comes soon."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    links = [
        f'<link rel="modulepreload" fetchpriority="low" crossorigin href="./{name}">'
        for name in needed(SOON)
        if name not in page
    ]
    links += [f'<link rel="stylesheet" crossorigin href="./{name}">' for name in styles(SOON)]
    return (
        page.replace("<head>", f"<head>{SERVER}", 1)
        .replace("</head>", "".join(links) + "</head>", 1)
        .encode()
    )


def needed(roots: Iterable[str]) -> list[str]:
    """The files of these parts of Streamlit's page, and what they import, in the order of use."""
    paths = [path.name for root in roots for path in (STATIC / "static" / "js").glob(f"{root}.*.js")]
    seen = dict.fromkeys(paths)
    while paths:
        text = (STATIC / "static" / "js" / paths.pop()).read_text(encoding="utf-8")
        new = [name for name in _IMPORTED.findall(text) if name not in seen]
        seen |= dict.fromkeys(new)
        paths += new
    return [f"static/js/{name}" for name in seen]


def styles(roots: Iterable[str]) -> list[str]:
    """The style sheets of these parts."""
    paths = [path for root in roots for path in (STATIC / "static" / "css").glob(f"{root}.*.css")]
    return [path.relative_to(STATIC).as_posix() for path in paths]
