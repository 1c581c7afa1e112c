"""Streamlit's page and files as the app serves them, without a browser: what is named, what is refused."""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

pytest.importorskip("streamlit")

from trainlab.app import static_cache
from trainlab.app.streamlit_internals import PRELOADED_PARTS, STATIC, index_html

BEHIND = b"left to Streamlit"


@dataclass(frozen=True)
class Answer:
    headers: dict[str, str]
    body: bytes


def answer(path: str, method: str = "GET") -> Answer:
    """What a server says that has the cache before an app that says the same to everything."""
    sent = []

    async def receive():
        raise AssertionError("nothing is read of a request")

    async def send(message):
        sent.append(message)

    async def behind(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": BEHIND})

    scope = {"type": "http", "method": method, "path": path}
    # in a thread of its own: a browser test before this one leaves its loop running in this one
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, static_cache.StaticCache(behind)(scope, receive, send)).result()
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(headers, sent[1]["body"])


def test_the_page_names_the_code_of_charts_and_tables_and_all_of_it_is_there():
    page = answer("/compare")
    assert (
        page.headers["content-type"].startswith("text/html") and page.headers["cache-control"] == "no-cache"
    )
    named = re.findall(r'href="\./(static/(?:js|css)/[\w.-]+)"', page.body.decode())
    assert len(named) == len(set(named))
    for part in PRELOADED_PARTS:
        assert any(name.startswith(f"static/js/{part}.") for name in named), part
    assert any(name.startswith("static/css/DataFrame.") for name in named)
    for name in named:
        file = answer(f"/{name}")
        assert file.body == (STATIC / name).read_bytes()
        assert int(file.headers["content-length"]) == len(file.body)
        assert file.headers["content-type"] in ("text/javascript", "text/css")
        assert "immutable" in file.headers["cache-control"]


@pytest.mark.parametrize("path", ["/", "/run", "/will-it-learn"])
def test_every_address_of_the_app_has_the_page(path):
    assert answer(path).body == index_html()


@pytest.mark.parametrize(
    "path",
    ["/_stcore/health", "/media/a.png", "/favicon.png", "/static/js/none.js", "/static/../index.html",
     "/static//etc/passwd", "/component/canvas/index.html"],
)  # fmt: skip
def test_everything_else_is_left_to_streamlit(path):
    assert answer(path).body == BEHIND


def test_only_what_is_asked_for_is_answered():
    assert answer("/compare", "POST").body == BEHIND
