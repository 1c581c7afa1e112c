"""The proof kit: its runner with small items, its reports, and its dry run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.gpu import kit, report
from benchmarks.gpu.catalogue import ITEMS, Item
from benchmarks.gpu.lab import largest_difference
from benchmarks.gpu.outcome import Check, Figure, Outcome
from benchmarks.gpu.runner import Place, Runner

REPOSITORY = Path(__file__).parents[2]
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def run_items(tmp_path, monkeypatch):
    """Does items of kit_items.py; returns their outcomes by name, in the order in which they ended."""
    paths = [REPOSITORY, REPOSITORY / "src", Path(__file__).parent]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))

    def run(*items: Item, seconds: float = 60, early: bool = False, at_once: int = 4) -> dict[str, Outcome]:
        ended: list[Outcome] = []
        place = Place("cpu", tmp_path, tmp_path, at_once, prepares_early=early)
        Runner(place, seconds, ended.append, preload=["benchmarks.gpu.lab"]).run(items)
        return {outcome.name: outcome for outcome in ended}

    return run


def item(name: str, seconds: float = 30, least: float = 1) -> Item:
    return Item(name, f"does it {name}", f"kit_items:{name}", seconds, least, is_forked=False)


def is_alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_an_item_that_fails_hangs_or_dies_leaves_the_others(run_items, tmp_path):
    names = ("holds", "does_not_hold", "raises", "dies", "is_skipped")
    ended = run_items(item("hangs", seconds=3), *map(item, names))
    statuses = {name: outcome.status for name, outcome in ended.items()}
    assert statuses == {
        "holds": "passed", "does_not_hold": "FAILED", "raises": "FAILED", "dies": "FAILED",
        "is_skipped": "skipped", "hangs": "FAILED",
    }  # fmt: skip
    assert "it holds" in ended["holds"].line()
    assert (
        "one is two: 1 and 2" in ended["does_not_hold"].line()
        and "this holds" not in ended["does_not_hold"].line()
    )
    assert "ZeroDivisionError: no number" in ended["raises"].line()
    assert "last words" in ended["dies"].error and "exit code 3" in ended["dies"].line()
    assert "nothing to do it with" in ended["is_skipped"].line()
    assert "killed" in ended["hangs"].line()
    assert [figure.value for figure in ended["hangs"].figures] == [3.0], "what it had told is kept"
    assert not is_alive(int((tmp_path / "child.pid").read_text())), "its child in another session is gone too"


def test_items_with_too_little_time_are_not_begun(run_items):
    began = time.monotonic()
    ended = run_items(item("hangs", seconds=30), item("holds", least=20), seconds=3, at_once=1)
    assert time.monotonic() - began < 9
    assert ended["hangs"].status == "FAILED" and ended["holds"].status == "no time"
    assert "left" in ended["holds"].line()


@pytest.mark.parametrize("early", [False, True])
def test_timed_items_run_alone_and_their_time_begins_then(run_items, tmp_path, early):
    timed = [
        Item(name, "", "kit_items:is_alone", 5, 1, is_timed=True, is_forked=forked)
        for name, forked in (("first", True), ("second", False))
    ]
    ended = run_items(*timed, item("hangs", seconds=1), early=early)
    assert list(ended) == ["hangs", "first", "second"]
    first, second = (ended[name].details for name in ("first", "second"))
    assert first["ended"] <= second["began"]
    assert all(ended[name].status == "measured" and ended[name].seconds < 5 for name in ("first", "second"))
    assert all(4 < told["seconds_left"] < 5 for told in (first, second)), "waiting is not counted"


def test_the_file_is_whole_after_every_item_and_reads_back(tmp_path):
    out = tmp_path / "deep" / "card.json"
    done = Outcome("card", "which card", "measured", details={"name": "Card 1", "loss": NAN})
    missed = Outcome(
        "networks/s", "how many", "measured", 3.0, "ten",
        [Check("a | b", True, "1")],
        [Figure("stack over one", 9.5, "×", 10.0), Figure("one", 2000.0, "a second")],
    )  # fmt: skip
    failed = Outcome("resume", "goes on", "FAILED", error="Traceback\nValueError: bad")
    for count in (1, 2, 3):
        report.write(out, [done, missed, failed][:count], {"seconds": 12.0, "device": "gpu", "git": None})
        assert len(json.loads(out.read_text())["items"]) == count
    table = report.readme_table(out.parent)
    assert "**missed**" in table and "2,000 a second" in table and "Card 1" in table
    assert "| resume | **failed** | ValueError: bad |" in table
    assert report.summary([done, missed, failed]) == "1 FAILED, 2 measured; thresholds: 0 reached, 1 missed"
    assert report.readme_table(tmp_path / "none") == report.NOT_RUN


def test_thresholds_are_told_as_they_are():
    assert Figure("x", 10.0, "×", 10.0).text() == "10 × (≥ 10: reached)"
    assert Figure("x", 9.99, "×", 10.0).reached is False
    assert Figure("x", 9.99, "×").reached is None
    outcome = Outcome("a", "b", figures=[Figure("x", 1.0, "×", 10.0)])
    outcome.judge()
    assert outcome.status == "measured", "a threshold that is missed is no failure"


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([100.0], [101.0], 0.01),
        ([0.5], [0.25], 0.25),
        ([1.0], [1.0, 2.0], INFINITY),
        ([], [], INFINITY),
        ([NAN], [1.0], INFINITY),
    ],
)
def test_differences_of_losses(a, b, difference):
    assert largest_difference(a, b) == pytest.approx(difference)


def test_items_are_chosen_by_name_or_beginning(capsys):
    assert [i.name for i in kit.chosen("networks,CPU = GPU")] == ["CPU = GPU", "networks/s"]
    assert kit.chosen(None) == list(ITEMS)
    assert len({i.name for i in ITEMS}) == len(ITEMS)
    with pytest.raises(SystemExit) as end:
        kit.main(["--device", "cpu", "--only", "netwrks"])
    assert end.value.code == 2 and "networks/s" in capsys.readouterr().err


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert kit.main([]) == 2
    assert "--device cpu" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_dry_run_does_every_item(tmp_path, real_root):
    """Every item in its smallest form: passed, measured, or skipped with the reason."""
    out = tmp_path / "dry.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "gpu", "--device=cpu", "--seconds=1500", f"--out={out}"],
        cwd=REPOSITORY, env=os.environ | {"TRAINLAB_DATA": str(real_root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    items = {told["name"]: told for told in json.loads(out.read_text())["items"]}
    assert set(items) == {i.name for i in ITEMS}
    assert all(told["status"] in ("passed", "measured", "skipped") for told in items.values())
    needs_a_card = {name for name, told in items.items() if told["status"] == "skipped"}
    assert needs_a_card <= {"TF32", "stack: memory", "Ray"}, needs_a_card
