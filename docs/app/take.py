"""The README's pictures of the web app: `python docs/app/take.py [--runs FOLDER]`, after `make demo`.

Starts the app on those runs, drives Chromium through it, draws a two with the mouse, and writes PNG files
of 220 colours beside this file.
"""

import argparse
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from trainlab.runs import load_runs

HERE = Path(__file__).parent
CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
WIDTH, COLOURS = 1280, 220
TWO = [
    (0.32, 0.34), (0.38, 0.24), (0.50, 0.20), (0.62, 0.25), (0.66, 0.36), (0.60, 0.50), (0.48, 0.63),
    (0.34, 0.78), (0.50, 0.78), (0.70, 0.78),
]  # fmt: skip
"""Shares of the canvas."""


def main() -> None:
    """Both pictures."""
    parser = argparse.ArgumentParser(prog="python docs/app/take.py")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of runs")
    runs = parser.parse_args().runs
    learned, did_not = _two_runs(runs)
    with _served(runs) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        _inside(browser, f"{url}/run?run={did_not}&beside={learned}")
        _drawn(browser, f"{url}/draw?run={learned}")
        browser.close()


def _two_runs(runs: Path) -> tuple[str, str]:
    """The best run that learned, and one that did not: sigmoid, if there is one."""
    best = load_runs(runs).sort("test/acc", descending=True)
    learned = best.filter(learned=True)["run_id"][0]
    return learned, best.filter(learned=False).sort("activation")["run_id"][-1]


def _inside(browser: Any, address: str) -> None:
    """Two runs side by side."""
    page = _open(browser, address, 1180)
    page.locator("[data-testid=stVegaLiteChart] svg").nth(3).wait_for()
    _save(page, "inside")


def _drawn(browser: Any, address: str) -> None:
    """A digit drawn with the mouse, and what the network makes of it."""
    page = _open(browser, address, 1100)
    canvas = page.locator("canvas.upper-canvas")
    canvas.wait_for()
    page.wait_for_timeout(1000)  # the canvas takes the mouse only once its tools are there
    box = canvas.bounding_box()
    assert box is not None
    (x, y), *rest = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in TWO]
    page.mouse.move(x, y)
    page.mouse.down()
    for x, y in rest:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()
    page.get_by_role("heading", name="On the way").wait_for()
    _save(page, "draw")


def _open(browser: Any, address: str, height: int) -> Page:
    page = browser.new_page(viewport={"width": WIDTH, "height": height})
    page.set_default_timeout(120_000)
    page.goto(address)
    page.locator("h1").first.wait_for()
    return page


def _save(page: Page, name: str) -> None:
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(1500)  # pictures fade in
    path = HERE / f"{name}.png"
    page.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS).save(path, optimize=True)
    print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


@contextmanager
def _served(runs: Path) -> Iterator[str]:
    """The app's address, while the block lasts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "trainlab", "app", "--runs", str(runs), "--port", str(port)]
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://localhost:{port}"
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
