"""Streamlit's page and scripts served from memory, with preload links for the code of charts and tables.

Streamlit's server opens each of some 130 small files in a thread, and its page fetches the code of a chart or
a table only when the first one arrives. Here a file is one write, and the page itself names that code.
"""

import functools
import mimetypes
from typing import TYPE_CHECKING

from trainlab.app.streamlit_internals import STATIC, index_html

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

# Streamlit's own header for these files: their names hold a hash of the content
IMMUTABLE = b"public, immutable, max-age=31536000"


class StaticCache:
    """ASGI middleware: answers for the page and its files, and passes everything else on."""

    def __init__(self, app: "ASGIApp") -> None:
        self.app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        is_get = scope["type"] == "http" and scope["method"] == "GET"
        answer = _answer(scope["path"]) if is_get else None
        if answer is None:
            await self.app(scope, receive, send)
            return
        kind, caching, body = answer
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
        return _read_file(path.removeprefix("/"))
    is_page = path.count("/") == 1 and "." not in path and not path.startswith("/_")
    return ("text/html; charset=utf-8", b"no-cache", index_html()) if is_page else None


@functools.lru_cache(maxsize=512)
def _read_file(name: str) -> tuple[str, bytes, bytes] | None:
    if name not in _file_names():
        return None
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return kind or "application/octet-stream", IMMUTABLE, (STATIC / name).read_bytes()


@functools.cache
def _file_names() -> frozenset[str]:
    """All static files: a path that is none of them, also one that leads out of the folder, is passed on."""
    return frozenset(
        path.relative_to(STATIC).as_posix() for path in (STATIC / "static").rglob("*") if path.is_file()
    )
