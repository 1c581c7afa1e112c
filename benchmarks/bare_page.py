"""The app's first page beside the least page that Streamlit can have: what is ours to make faster?"""

import sys
from pathlib import Path
from statistics import median

from benchmarks import app
from benchmarks.measure import Measure, Skipped
from benchmarks.rounds import interleaved
from benchmarks.workspace import Workspace

AT_MOST = 1.0
ROUNDS = 7
BARE = """
import altair, pandas, streamlit
points = pandas.DataFrame({"x": [1, 2, 3], "y": [1, 2, 3]})
streamlit.altair_chart(altair.Chart(points).mark_line().encode(x="x", y="y"))
streamlit.dataframe(points)
"""


def measure(workspace: Workspace) -> list[Measure]:
    """Compare on the demo's runs over a page of one line and one table of three rows, in the same rounds."""
    if not app.CHROMIUM.exists():
        raise Skipped(f"{app.CHROMIUM} is missing: apt-get install chromium")
    demo, script = workspace.folder / "demo", workspace.folder / "bare.py"
    app.train_demo(demo, workspace)
    script.write_text(BARE, encoding="utf-8")
    contenders = {
        "trainlab app": lambda: _first_view(app.app_command(demo), "compare"),
        "bare page": lambda: _first_view(_bare(script), ""),
    }
    rounds = interleaved(contenders, 1 if workspace.quick else ROUNDS, warm_ups=0 if workspace.quick else 1)
    pairs = zip(rounds["trainlab app"], rounds["bare page"], strict=True)
    return [
        Measure(
            name="app: first view beside a bare page",
            question="first view of Compare over that of a Streamlit page with one line and one small table, "
            "from a just started server in a just started browser",
            unit="× the bare page",
            value=median(ours / bare for ours, bare in pairs),
            at_most=AT_MOST,
            rounds=rounds,
            rounds_unit="s",
            medians={name: median(seconds) for name, seconds in rounds.items()},
        )
    ]


def _bare(script: Path) -> list[str]:
    settings = {
        "server.headless": "true", "server.port": str(app.PORT), "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }  # fmt: skip
    flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [sys.executable, "-m", "streamlit", "run", str(script), *flags]


def _first_view(command: list[str], page: str) -> float:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, app.serving(command):
        browser = playwright.chromium.launch(executable_path=str(app.CHROMIUM), args=app.FLAGS)
        seconds = app.view(browser, page, app.PAGES["compare"])
        browser.close()
    return seconds
