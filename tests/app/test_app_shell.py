"""The app as a whole: its pages have addresses, its command says what it needs."""

import base64
import contextlib
import http.client
import os
import socket
import subprocess
import sys

import pytest

from trainlab.app.allowed_hosts import LOCAL_NAMES, AllowedHosts
from trainlab.app.paths import AppPaths
from trainlab.app.server import serve
from trainlab.errors import RequestError

PAGES = {
    "compare": "Compare", "run": "Inside a run", "will-it-learn": "Will it learn?", "claims": "Claims",
    "draw": "Draw and predict", "anatomy": "Anatomy",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_an_address(address, open_page, name):
    page = open_page(f"{address}/{name}")
    assert page.locator("h1").first.inner_text() == PAGES[name]
    assert page.get_by_text("Page not found").count() == 0


def test_the_root_is_the_first_page_and_keeps_what_the_address_says(address, open_page):
    page = open_page(f"{address}/?metric=test%2Floss")
    page.get_by_text("runs").first.wait_for()
    assert page.url.endswith("/compare?metric=test%2Floss")


def test_a_taken_port_is_refused_in_one_line(tmp_path):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(RequestError, match=f"port {port} of 127.0.0.1 is taken; .*--port"):
            serve(AppPaths(tmp_path), port)


def handshake(address: str, path: str = "/_stcore/stream", **headers: str) -> int:
    """The status that the server answers with, to a request with these headers (`Host`, `Origin`)."""
    host, port = address.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in {"Host": f"localhost:{port}", **headers}.items():
        connection.putheader(name, value.format(port=port))
    if path == "/_stcore/stream":
        key = base64.b64encode(os.urandom(16)).decode()
        for name, value in {
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
        }.items():  # fmt: skip
            connection.putheader(name, value)
    connection.endheaders()
    with contextlib.closing(connection):
        return connection.getresponse().status


HOSTS = {
    "localhost:{port}": True, "127.0.0.1:{port}": True, "[::1]:{port}": True, "LocalHost.:{port}": True,
    "evil.example": False, "evil.example:{port}": False, "127.0.0.1.evil.example:{port}": False,
    "localhost.evil.example": False, "localhost@evil.example": False, "evil.example@localhost": False,
    "": False, "192.168.1.7:{port}": False, "0.0.0.0:{port}": False, "localhost:x": False,
}  # fmt: skip


def test_only_its_own_names_are_answered(address):
    """DNS rebinding: a name of somebody's that leads here gets a 403, for the page, a file and the data."""
    for host, is_ours in HOSTS.items():
        origin = {"Origin": f"http://{host}"} if host else {}
        assert handshake(address, Host=host, **origin) == (101 if is_ours else 403), host
        for path in ("/compare", "/_stcore/health", "/static/index.html"):
            assert handshake(address, path, Host=host) in ((200, 404) if is_ours else (403,)), (host, path)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://localhost:{port}.evil.example",
               "file://", "http://127.0.0.1:{port}"]
)  # fmt: skip
def test_pages_of_other_origins_get_no_data(address, origin):
    assert handshake(address, Origin=origin) == 403
    assert handshake(address, Origin="http://localhost:{port}") == 101


def test_a_host_that_is_none_of_this_machine_is_refused_in_one_line(call_command, tmp_path):
    for host in ("192.0.2.1", "no such host"):
        code, _, line = call_command("app", "--host", host, "--port", "0", "--runs", str(tmp_path))
        assert code == 2 and line.count("\n") == 1


@pytest.mark.parametrize(
    ("names", "host", "may"),
    [(["0.0.0.0"], "192.168.1.7:8501", True), (["0.0.0.0"], "evil.example:8501", False),
     (["lab-pc"], "lab-pc:8501", True), (["lab-pc"], "192.168.1.7:8501", False),
     (["::"], "[fe80::1]:1", True)],
)  # fmt: skip
def test_what_host_names_is_answered(names, host, may):
    hosts = AllowedHosts(None, [*LOCAL_NAMES, *names])  # pyrefly: ignore[bad-argument-type]  # serves no app
    assert hosts._is_known_host(host) is may


def test_without_the_extra_it_says_what_to_install():
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'streamlit' else find(name, *a)\n"
        "from trainlab.cli import main; main(['app'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "trainlab: the app needs streamlit and altair; pip install 'trainlab[app]'"
    ]


def test_help_needs_neither_streamlit_nor_torch():
    code = (
        "import sys\nfrom trainlab.cli import main\n"
        "try: main(['app', '--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('torch', 'streamlit', 'polars') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"
    assert "--port" in done.stdout
