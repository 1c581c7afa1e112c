"""The app as a whole: its pages have addresses, its command says what it needs."""

import socket
import subprocess
import sys

import pytest

from trainlab.app.place import Place
from trainlab.app.serve import serve
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
            serve(Place(tmp_path), port)


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
