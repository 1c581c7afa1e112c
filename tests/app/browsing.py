"""What a test does with the app: serve it, wait for it, read what it shows."""

import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


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


def settled(page) -> None:
    """Waits until the page is drawn: its title is there and the server has nothing more to say."""
    page.locator("h1").first.wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def cells(page) -> list[str]:
    """What the first table shows, as a screen reader has it."""
    page.locator("[data-testid=stDataFrame] td").first.wait_for(state="attached")
    return page.locator("[data-testid=stDataFrame] td").all_text_contents()


def chart(page, says: str):
    """The chart whose description holds these words, once it is drawn."""
    found = page.locator(f"[data-testid=stVegaLiteChart][aria-label*='{says}']").first
    found.locator("svg").first.wait_for()
    return found


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
