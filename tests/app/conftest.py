"""The real server on a free port, and Debian's Chromium before it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

CHROMIUM = "/usr/bin/chromium"
REPOSITORY = Path(__file__).parents[2]
SCREENSHOTS = Path(os.environ.get("TRAINLAB_SCREENSHOTS", ""))
"""Where screenshots are kept; with nothing said, in the test's own folder."""


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, worker_id):
    """A folder that all workers of this test session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def worker_id(request):
    """The worker's name, `master` without workers."""
    return getattr(request.config, "workerinput", {}).get("workerid", "master")


@pytest.fixture(scope="session")
def runs_folder(shared_folder):
    """Four real runs on digits, a tiny sweep `demo`, made once for all workers: do not change it."""
    folder = shared_folder / "app-runs"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            make = [sys.executable, str(Path(__file__).with_name("make_runs.py")), str(folder)]
            subprocess.run(make, check=True, cwd=REPOSITORY, timeout=200)
            (folder / "made").touch()
    return folder


@pytest.fixture
def own_runs(runs_folder, tmp_path):
    """A copy of the runs that a test may change."""
    return Path(shutil.copytree(runs_folder, tmp_path / "runs"))


@contextmanager
def serving(runs: Path, *arguments: str):
    """The app's address, served for as long as the block lasts."""
    port = _free_port()
    command = [sys.executable, "-m", "trainlab", "app", "--runs", str(runs), "--port", str(port), *arguments]
    server = subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="session")
def address(runs_folder):
    """The address of the app on the four runs."""
    with serving(runs_folder) as url:
        yield url


@pytest.fixture(scope="session")
def chromium():
    """A started browser. Where it is missing: a skip with the reason here, a failure in CI."""
    if not Path(CHROMIUM).exists():
        reason = f"{CHROMIUM} is missing: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens an address in a window of its own; at the end of the test no page has shown an exception."""
    contexts = []

    def open_it(url: str, width: int = 1280, scheme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(url)
        settled(page)
        return page

    yield open_it
    for context in contexts:
        for page in context.pages:
            assert page.get_by_test_id("stException").count() == 0, page.get_by_test_id(
                "stException"
            ).first.inner_text()
        context.close()


def settled(page) -> None:
    """Waits until the page is drawn: its title is there and no part of it is being computed."""
    page.locator("h1").first.wait_for()
    page.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    page.wait_for_function("() => !document.querySelector('[data-stale=true]')")


@pytest.fixture
def shot(tmp_path):
    """Saves a screenshot of the whole page and returns its path."""

    def save(page, name: str) -> Path:
        folder = SCREENSHOTS if str(SCREENSHOTS) != "." else tmp_path
        path = folder / f"{name}.png"
        # the app scrolls inside, so the window is made as tall as what it shows
        height = page.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": page.viewport_size["width"], "height": min(int(height) + 20, 6000)})
        page.wait_for_timeout(400)
        page.screenshot(path=path)
        return path

    return save


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _wait_for(url: str, server: subprocess.Popen, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.poll() is not None:
            raise RuntimeError(f"the app ended: {server.stdout.read() if server.stdout else ''}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)
