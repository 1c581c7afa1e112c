"""The real server on a free port, and Debian's Chromium before it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import REPOSITORY, serving, settled
from filelock import FileLock

CHROMIUM = "/usr/bin/chromium"
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
    """Eight real runs on digits, the sweep `demo`, made once for all workers: do not change it."""
    folder = shared_folder / "app-runs"
    with FileLock(f"{folder}.lock"):
        if not (folder / "made").exists():
            make = [sys.executable, str(Path(__file__).with_name("make_runs.py")), str(folder)]
            subprocess.run(make, check=True, cwd=REPOSITORY, timeout=200)
            (folder / "made").touch()
    return folder


@pytest.fixture(scope="session")
def served_copy(runs_folder, tmp_path_factory):
    """The app on a folder whose content tests change: (its address, the folder)."""
    folder = tmp_path_factory.mktemp("changing") / "runs"
    folder.mkdir()
    with serving(folder) as url:
        yield url, folder


@pytest.fixture
def own(served_copy, runs_folder):
    """(Address, folder) of the app on a copy of the runs that the test may change."""
    url, folder = served_copy
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(runs_folder, folder, dirs_exist_ok=True)
    os.utime(folder)  # it is not the folder of the test before
    return url, folder


@pytest.fixture(scope="session")
def address(runs_folder):
    """The address of the app on these runs."""
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


@pytest.fixture(scope="session")
def loaded_address(address, chromium):
    """The same, once its server and the process of its forecasts have imported torch."""
    with chromium.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(150_000)
        page.goto(f"{address}/will-it-learn")
        page.get_by_text("likely to learn").wait_for()
    return address


@pytest.fixture
def open_page(chromium):
    """Opens an address in a window of its own; at the end of the test no page has shown an exception."""
    contexts = []

    def open_it(url: str, width: int = 1280, scheme: str = "light"):
        context = chromium.new_context(viewport={"width": width, "height": 1500}, color_scheme=scheme)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(60_000)
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
