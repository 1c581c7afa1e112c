"""How soon the web app shows something: in a real browser, on a few runs and on ten thousand."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import many_runs
from benchmarks.measure import Measure, Skipped
from benchmarks.workspace import REPOSITORY, Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
PORT = 8790
DEMO = ["-m", "experiment=demo", "activation=sigmoid,relu", "init=glorot,kaiming"]
AT_MOST_SECONDS = {"the demo's 4 runs": 2.0, "10,000 runs × 200 points": 4.0}
AT_MOST_GIB = 1.0
AT_MOST_THEORY_SECONDS = 1.0
ROUNDS = 5
CHART, TABLE = "[data-testid=stVegaLiteChart] svg", "[data-testid=stDataFrame] canvas"
DRAWN = "[data-testid=stApp][data-test-script-state=notRunning] h1"
PAGES = {
    "compare": (CHART, TABLE),
    "run": (CHART, DRAWN),
    "will-it-learn": (CHART,),
    "claims": (DRAWN,),
    "draw": (DRAWN,),
    "anatomy": ("table.lp", DRAWN),
}
"""Each page, and what is there once it is drawn."""
LAST_CHART_CHANGED = """before => {
    const charts = document.querySelectorAll("[data-testid=stVegaLiteChart] svg");
    return charts.length == 3 && charts[2].innerHTML != before;
}"""


@dataclass(frozen=True)
class Seen:
    """Seconds from the command to the address, to the first view, to a second browser's; what both cost.

    processor: seconds of the server's processor time that the first view took; a first view
    that took much longer waited for the browser, or for other work on the machine.
    """

    started: float
    first: float
    later: float
    processor: float
    gib: float


def measure(workspace: Workspace) -> list[Measure]:
    """First view of Compare (curves and table drawn), and the memory of the server after all its views."""
    if not CHROMIUM.exists():
        raise Skipped(f"{CHROMIUM} is missing: apt-get install chromium")
    demo, many = workspace.folder / "demo", workspace.folder / "many"
    train_demo(demo, workspace)
    many_runs.write(many, 200 if workspace.quick else many_runs.RUNS, many_runs.POINTS)
    figures = []
    for (name, at_most), folder in zip(AT_MOST_SECONDS.items(), (demo, many), strict=True):
        seen = [_look(folder) for _ in range(1 if workspace.quick else ROUNDS)]
        firsts = [look.first for look in seen]
        figures.append(
            Measure(
                name=f"app: first view of {name}",
                question="seconds from opening a just started server until curves and table are drawn",
                unit="s",
                value=median(firsts),
                at_most=at_most,
                rounds={"first view": firsts},
                rounds_unit="s",
                medians={"first view": median(firsts)},
                details={
                    "seconds from the command to its address": median(look.started for look in seen),
                    "seconds of a second browser's view": median(look.later for look in seen),
                    "seconds of the server's processor time": median(look.processor for look in seen),
                    "runnable processes on this machine, mean of a minute": os.getloadavg()[0],
                },
            )
        )
        figures.append(
            Measure(
                name=f"app: memory on {name}",
                question="resident memory of the server after all views of Compare",
                unit="GiB",
                value=max(look.gib for look in seen),
                at_most=AT_MOST_GIB,
            )
        )
    return [*figures, *_pages(demo, 1 if workspace.quick else ROUNDS)]


def _pages(folder: Path, rounds: int) -> list[Measure]:
    """Every page of a server that has shown it once; and how soon theory follows a control."""
    from playwright.sync_api import sync_playwright

    views: dict[str, list[float]] = {name: [] for name in PAGES}
    with sync_playwright() as playwright, serving(app_command(folder)):
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        firsts = {name: view(browser, name, parts) for name, parts in PAGES.items()}
        for _ in range(rounds):
            for name, parts in PAGES.items():
                views[name].append(view(browser, name, parts))
        theory = _theory_follows(browser, rounds)
        browser.close()
    medians = {name: median(seconds) for name, seconds in views.items()}
    return [
        Measure(
            name="app: every page",
            question="seconds from opening a page until it is drawn, of the slowest page",
            unit="s",
            value=max(medians.values()),
            rounds=views,
            rounds_unit="s",
            medians=medians,
            details={
                f"seconds of the server's first view of {name}": first for name, first in firsts.items()
            },
        ),
        Measure(
            name="app: theory while a control is moved",
            question="seconds from a key on the depth's slider until words and charts by layer have changed",
            unit="s",
            value=median(theory),
            at_most=AT_MOST_THEORY_SECONDS,
            rounds={"theory": theory},
            rounds_unit="s",
            medians={"theory": median(theory)},
        ),
    ]


def _theory_follows(browser: "Browser", rounds: int) -> list[float]:
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    page.goto(f"http://localhost:{PORT}/will-it-learn")
    page.get_by_text("likely to learn").wait_for(timeout=120_000)
    slider, seconds = page.get_by_role("slider", name="depth"), []
    for _ in range(rounds):
        page.locator(DRAWN).wait_for(timeout=120_000)  # the forecast of the last depth is there
        before = page.locator(CHART).nth(2).inner_html()
        now = int(slider.get_attribute("aria-valuetext") or 0)
        slider.focus()
        began = time.perf_counter()
        page.keyboard.press("ArrowRight")
        page.get_by_text(f"this network has {now + 1} before").wait_for()
        page.wait_for_function(LAST_CHART_CHANGED, arg=before)
        seconds.append(time.perf_counter() - began)
    page.close()
    return seconds


def train_demo(folder: Path, workspace: Workspace) -> None:
    """The runs of `make demo`."""
    paths = [f"paths.runs={folder}", f"paths.cache={workspace.folder / 'cache'}"]
    command = [sys.executable, "train.py", *DEMO, "logger=none", *paths]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)


def _look(folder: Path) -> Seen:
    """One server, just started, and two browsers one after the other."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        with serving(app_command(folder)) as (server, started):
            before = _processor_seconds(server.pid)
            first = view(browser, "compare", PAGES["compare"])
            processor = _processor_seconds(server.pid) - before
            later = view(browser, "compare", PAGES["compare"])
            _every_view(browser)
            gib = _resident(server.pid)
        browser.close()
    return Seen(started, first, later, processor, gib)


def view(browser: "Browser", name: str, parts: Sequence[str]) -> float:
    """Seconds from opening the page of this name until all its parts are drawn."""
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    began = time.perf_counter()
    page.goto(f"http://localhost:{PORT}/{name}")
    for part in parts:
        page.locator(part).first.wait_for(timeout=120_000)
    seconds = time.perf_counter() - began
    page.close()
    return seconds


def _every_view(browser: "Browser") -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 1500})
    page.goto(f"http://localhost:{PORT}/compare")
    for name in ("Effect of each axis", "Parallel coordinates", "Two runs"):
        page.get_by_role("tab", name=name).click(timeout=60_000)
        page.wait_for_timeout(500)
        page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for(timeout=120_000)
    page.close()


def app_command(folder: Path) -> list[str]:
    """Our app on these runs."""
    return [sys.executable, "-m", "trainlab", "app", "--runs", str(folder), "--port", str(PORT)]


@contextmanager
def serving(command: list[str]) -> Iterator[tuple[subprocess.Popen, float]]:
    """A server at `PORT` that has just told that it is there, and the seconds until then."""
    began = time.perf_counter()
    server = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_healthy(server)
        yield server, time.perf_counter() - began
    finally:
        server.terminate()
        server.wait(30)


def _wait_until_healthy(server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health", timeout=1)
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"the app ended with {server.returncode}")


def _processor_seconds(pid: int) -> float:
    """User and system time of a process so far, as Linux counts it."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    """GiB, as Linux counts them."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kib) / 2**20
