import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainlab.analysis import compare
from trainlab.errors import RequestError
from trainlab.runs import RunFolder, index, json_nonfinite, load_runs, read_runs, run_statuses
from trainlab.runs import index as seal
from trainlab.runs.frozen_settings import diff_settings
from trainlab.runs.groups import add_to_group
from trainlab.runs.run_folder import RunStatuses


def index_lines(root: Path) -> list[str]:
    return (root / "index.jsonl").read_text().splitlines()


def test_one_row_per_run_with_axes_metrics_and_the_rest(make_run, tmp_path):
    make_run("aaa", metrics={"test/acc": 0.5}, axes={"activation": "relu", "depth": 4}, group="first")
    make_run(
        "bbb",
        status="diverged",
        metrics={"test/acc": float("nan"), "val/acc": 0.1},
        axes={"activation": "tanh", "depth": 8.5},
        seed=3,
    )
    runs = load_runs(tmp_path / "runs")
    assert runs["run_id"].to_list() == ["aaa", "bbb"]
    assert runs["status"].to_list() == ["finished", "diverged"]
    assert runs["activation"].to_list() == ["relu", "tanh"]
    assert runs["depth"].to_list() == [4.0, 8.5]
    assert runs["seed"].to_list() == [0, 3]
    assert runs["group"].to_list() == ["first", None]
    assert runs["val/acc"].to_list() == [None, 0.1]
    assert runs["test/acc"].is_nan().to_list() == [False, True]
    assert runs["data_copy"].to_list() == ["embedded", "embedded"]
    assert runs.columns[:3] == ["run_id", "status", "group"]


def test_settings_that_differ_become_columns_when_asked_for(make_run, settings_of, tmp_path):
    make_run(settings=settings_of(optimizer__lr=0.1))
    make_run(settings=settings_of(optimizer__lr=1, optimizer__betas=[0.8, 0.9]))
    assert "optimizer.lr" not in load_runs(tmp_path / "runs").columns
    runs = load_runs(tmp_path / "runs", settings=True).sort("optimizer.lr")
    assert runs["optimizer.lr"].to_list() == [0.1, 1.0]
    assert runs["optimizer.betas"].to_list() == ["[0.9, 0.999]", "[0.8, 0.9]"]
    assert "data.batch_size" not in runs.columns


def test_the_index_changes_nothing_but_the_time(make_run, tmp_path, monkeypatch):
    root = tmp_path / "runs"
    for name in ("aaa", "bbb", "ccc"):
        make_run(name)
    assert len(index_lines(root)) == 3, "finish() adds a line"
    with_index = read_runs(root, settings=True).frame
    with monkeypatch.context() as patch:
        patch.setattr(index, "read_result", lambda folder: pytest.fail("a current line was not believed"))
        assert read_runs(root, settings=True).frame.equals(with_index)
    (root / "index.jsonl").unlink()
    assert read_runs(root, settings=True).frame.equals(with_index)
    assert len(index_lines(root)) == 3, "a missing index is rebuilt"


def test_a_record_that_changed_is_read_again(make_run, tmp_path):
    root = tmp_path / "runs"
    make_run("aaa", metrics={"test/acc": 0.1})
    load_runs(root)
    folder = make_run("aaa", metrics={"test/acc": 0.7})
    assert load_runs(root)["test/acc"].to_list() == [0.7]
    path = folder.path / "result.json"
    path.write_text(path.read_text().replace("0.7", "0.8"))  # same size
    os.utime(path, ns=(1, 1))
    assert load_runs(root)["test/acc"].to_list() == [0.8]


@pytest.mark.parametrize(
    "garbage", ["nonsense\n", '{"run_id": 3}\n', "[1]\n", '{"run_id": "aaa"', "\0\n", '{"run_id": []}\n']
)
def test_garbage_in_the_index_is_cleared(make_run, tmp_path, garbage):
    root = tmp_path / "runs"
    make_run("aaa")
    with (root / "index.jsonl").open("a") as file:
        file.write(garbage)
    make_run("bbb")
    for _ in range(2):
        assert load_runs(root)["run_id"].to_list() == ["aaa", "bbb"]
    entries, worn = index.read_index(root)
    assert {"aaa", "bbb"} <= entries.keys()
    assert not worn


def line_about(folder: Path, **change) -> str:
    """A line of the right time and size, as a program of somebody's writes it."""
    return json.dumps(index.read_entry(folder) | change)


def sealed(folder: Path, old: str, new: str) -> str:
    """A line of ours, changed afterwards."""
    line = index._format_line(index.read_entry(folder))
    assert old in line
    return line.replace(old, new).rstrip("\n")


ROW = {"run_id": "aaa", "status": "finished", "seed": 0, "axes": {}, "metrics": {"test/acc": 1.0}}
LIES = {
    "another accuracy": lambda f: line_about(f, row=ROW),
    "the first version": lambda f: line_about(f, row=ROW, version=1),
    "a row of text": lambda f: line_about(f, row="x"),
    "settings of text": lambda f: line_about(f, settings="x"),
    "a made-up seal": lambda f: '{"seal": "' + "0" * 32 + '", ' + line_about(f, row=ROW)[1:],
    "our seal, another accuracy": lambda f: sealed(f, '"test/acc": 0.94', '"test/acc": 1.00'),
    "our seal, another status": lambda f: sealed(f, '"finished"', '"diverged"'),
    "our seal, other settings": lambda f: sealed(
        f, '"settings": "{', '"settings": "{\\"optimizer.lr\\": 9, '
    ),
    "our seal, another's name": lambda f: sealed(f, '"by": "', '"by": "x'),
    "deep": lambda f: '{"seal": "' + "[" * 100_000,
    "a name that is none": lambda f: line_about(f, run_id=["aaa"]),
    "long": lambda f: '{"seal": "' + "x" * 2**21,
}


@pytest.mark.parametrize("lie", LIES)
def test_no_line_of_the_index_tells_another_outcome(make_run, tmp_path, lie):
    folder = make_run("aaa", metrics={"test/acc": 0.94}).path
    (tmp_path / "runs" / "index.jsonl").write_text(LIES[lie](folder) + "\n")
    for _ in range(2):
        runs = load_runs(tmp_path / "runs", settings=True)
        assert runs.select("run_id", "status", "test/acc").rows() == [("aaa", "finished", 0.94)]
        assert run_statuses(tmp_path / "runs", ["aaa"]) == {"aaa": "finished"}


def test_two_users_of_a_folder_keep_their_own_lines(make_run, tmp_path, monkeypatch):
    root = tmp_path / "runs"
    for name in ("aaa", "bbb"):
        make_run(name)
    with monkeypatch.context() as patch:
        patch.setattr(seal, "_signing_key", lambda: b"another")
        assert index.read_index(root) == ({}, False), "the first one's lines are no garbage, and not believed"
        assert load_runs(root).height == 2 and index.read_index(root)[0].keys() == {"aaa", "bbb"}
        index.rewrite_index(root, [])
    entries, worn = index.read_index(root)
    assert entries.keys() == {"aaa", "bbb"} and not worn


def test_an_index_that_is_a_link_is_neither_read_nor_written_through(make_run, tmp_path):
    root = tmp_path / "runs"
    make_run("aaa")
    (root / "index.jsonl").unlink()
    (tmp_path / "victim.txt").write_text("mine")
    (root / "index.jsonl").symlink_to(tmp_path / "victim.txt")
    make_run("bbb")  # finishing appends
    assert load_runs(root)["run_id"].to_list() == ["aaa", "bbb"]
    assert (tmp_path / "victim.txt").read_text() == "mine"
    assert not (root / "index.jsonl").is_symlink() and len(index_lines(root)) == 2


ODD_FILES = {
    "a pipe": lambda path: os.mkfifo(path),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a link that leads nowhere": lambda path: path.symlink_to("/nonexistent"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a gigabyte": lambda path: path.touch() or os.truncate(path, 2**30),
    "brackets": lambda path: path.write_text("[" * 100_000),
    "aliases": lambda path: path.write_text(BOMB),
    "bytes": lambda path: path.write_bytes(bytes(range(256))),
    "digits": lambda path: path.write_text('{"run_id": ' + "1" * 5000 + "}"),
    "nothing": lambda path: path.touch(),
}
FILES = ("config.yaml", "result.json", "index.jsonl", "metrics.jsonl", "metrics.parquet")
BOMB = 'x0: &a ["x","x","x","x","x","x","x","x","x"]\n' + "".join(
    f"x{i}: &{'abcdefghij'[i]} [{','.join(['*' + 'abcdefghij'[i - 1]] * 9)}]\n" for i in range(1, 10)
)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", ODD_FILES)
@pytest.mark.parametrize(
    "name", ["config.yaml", "result.json", "index.jsonl", "metrics.jsonl", "metrics.parquet"]
)
def test_no_file_hangs_or_stops_the_table(make_run, tmp_path, name, what, call_command):
    root = tmp_path / "runs"
    make_run("good")
    folder = make_run("odd").path
    path = root / name if name == "index.jsonl" else folder / name
    path.unlink(missing_ok=True)
    if name != "index.jsonl":
        (root / "index.jsonl").unlink(missing_ok=True)
    ODD_FILES[what](path)
    assert "good" in load_runs(root, settings=True)["run_id"].to_list()
    for command in (["runs", "list"], ["compare"], ["explain", "odd"]):
        code, _, line = call_command(*command, "--runs", str(root))
        assert code in (0, 1, 2) and line.count("\n") <= 2, line
    read_runs(root)


def test_a_line_of_an_older_version_is_read_again(make_run, tmp_path, monkeypatch):
    make_run("aaa")
    monkeypatch.setattr(index, "VERSION", index.VERSION + 1)
    assert load_runs(tmp_path / "runs").height == 1
    assert json.loads(index_lines(tmp_path / "runs")[-1])["version"] == index.VERSION


def test_an_index_of_stale_lines_is_written_again(make_run, tmp_path):
    root = tmp_path / "runs"
    make_run("aaa")
    make_run("gone")
    shutil.rmtree(root / "gone")
    lines = (root / "index.jsonl").read_text()
    (root / "index.jsonl").write_text(lines * 200)
    assert load_runs(root)["run_id"].to_list() == ["aaa"]
    assert len(index_lines(root)) == 1


def test_broken_and_foreign_folders_are_named_and_skipped(make_run, tmp_path, caplog):
    root = tmp_path / "runs"
    make_run("good")
    (make_run("cut").path / "result.json").write_text('{"schema": 1, "run_')
    shutil.copytree(root / "good", root / "copied")
    (root / "photos").mkdir()
    (root / "photos" / "cat.jpg").write_text("")
    (root / ".cache").mkdir()
    (root / "notes.txt").write_text("")
    (root / "unset").mkdir()
    (root / "unset" / "config.yaml").write_text("[broken")
    (root / "odd").mkdir()
    (root / "odd" / "config.yaml").write_text("trainer: 3")
    add_to_group(root, "sweep", ["good"])
    runs = read_runs(root)
    assert runs.frame["run_id"].to_list() == ["good"]
    reasons = {broken.path.name: broken.reason for broken in runs.broken}
    assert reasons.keys() == {"cut", "copied", "photos", "unset", "odd"}
    assert "belongs to run 'good'" in reasons["copied"]
    assert "not a run" in reasons["photos"]
    assert load_runs(root).height == 1
    assert str(root / "cut") in caplog.text


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
inside = st.dictionaries(st.sampled_from(["seed", "status", "test/acc", "activation", "odd/axis"]), anything)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_no_record_whatever_it_holds_stops_the_table(make_run, tmp_path, data):
    root = tmp_path / "runs"
    make_run("good")
    path = make_run("odd").path / "result.json"
    record = json.loads(path.read_text())
    name = data.draw(st.sampled_from(sorted(record)))
    path.write_text(json_nonfinite.dumps(record | {name: data.draw(anything | inside)}))
    (path.parent / "config.yaml").write_text(yaml.safe_dump(data.draw(anything | inside)))
    for _ in range(2):  # from the record, then from the index
        runs = read_runs(root, settings=True)
        assert {"good", "odd"} == {*runs.frame["run_id"], *(broken.path.name for broken in runs.broken)}
        compare(runs.frame)
    path.unlink()
    read_runs(root, settings=True)


def test_numbers_beyond_64_bits_are_null(make_run, tmp_path):
    make_run("aaa", seed=2**70, parameters=2**65, metrics={"test/acc": 10**400}, axes={"depth": 2**70})
    for _ in range(2):
        row = load_runs(tmp_path / "runs").select("seed", "parameters", "test/acc", "depth").row(0)
        assert row[:3] == (None, None, None)


def test_unfinished_runs_are_rows_with_their_settings(make_run, settings_of, tmp_path):
    folder = make_run("aaa", settings_of(seed=7, group="night"))
    (folder.path / "result.json").unlink()
    runs = load_runs(tmp_path / "runs")
    assert runs.select("status", "seed", "group", "activation").row(0) == (
        "interrupted",
        7,
        "night",
        "leaky_relu",
    )
    with folder.lock():
        assert load_runs(tmp_path / "runs")["status"].to_list() == ["running"]
    starting = RunFolder(tmp_path / "runs" / "bbb")
    with starting.lock():
        assert load_runs(tmp_path / "runs", "bbb")["status"].to_list() == ["running"]


def test_a_record_without_settings_is_still_a_row(make_run, tmp_path):
    (make_run("aaa").path / "config.yaml").unlink()
    (tmp_path / "runs" / "index.jsonl").unlink()
    runs = read_runs(tmp_path / "runs", settings=True)
    assert runs.frame["run_id"].to_list() == ["aaa"]
    assert not runs.broken


def test_a_run_removed_while_the_table_is_read_is_left_out(make_run, tmp_path, monkeypatch):
    root = tmp_path / "runs"
    make_run("aaa")
    make_run("bbb")
    (root / "index.jsonl").unlink()
    reading = index.read_result

    def remove_first(folder):
        shutil.rmtree(root / "bbb", ignore_errors=True)
        return reading(folder)

    monkeypatch.setattr(index, "read_result", remove_first)
    assert load_runs(root)["run_id"].to_list() == ["aaa"]


def test_statuses_are_what_a_sweep_goes_by(make_run, tmp_path):
    root = tmp_path / "runs"
    for name in ("finished", "diverged", "failed", "pruned"):
        make_run(name, status=name)
    (make_run("lost").path / "result.json").unlink()
    (make_run("cut").path / "result.json").write_text("{")
    names = ["finished", "diverged", "failed", "pruned", "lost", "cut", "none"]
    assert run_statuses(root, names) == {
        "finished": "finished",
        "diverged": "diverged",
        "failed": "failed",
        "pruned": "pruned",
        "lost": "interrupted",
        "cut": "interrupted",
        "none": "absent",
    }
    assert run_statuses(tmp_path / "never made", ["a"]) == {"a": "absent"}
    for name in names:
        assert RunFolder(root / name).status() == run_statuses(root, [name])[name]
        assert RunFolder(root / name).status() == RunStatuses().get(root / name)


def test_the_index_answers_for_statuses_and_no_record_is_read(make_run, tmp_path, monkeypatch):
    root = tmp_path / "runs"
    for name in ("one", "two"):
        make_run(name, status="diverged")
    monkeypatch.setattr("trainlab.runs.run_folder.read_result", lambda *_: pytest.fail("a record was read"))
    statuses = RunStatuses()
    assert {statuses.get(root / name) for name in ("one", "two")} == {"diverged"}


@pytest.mark.parametrize("line", ["stale", "changed", "another's"])
def test_a_line_that_cannot_be_believed_is_no_status(make_run, tmp_path, monkeypatch, line):
    root = tmp_path / "runs"
    folder, path = make_run("one", status="failed"), root / "index.jsonl"
    if line == "stale":
        (folder.path / "result.json").unlink()
    elif line == "changed":
        path.write_text(path.read_text().replace('"status": "failed"', '"status": "finished"'))
    else:
        entry = index.read_index(root)[0]["one"]
        entry["row"]["status"] = "finished"
        with monkeypatch.context() as another:
            another.setattr(index, "_signing_key", lambda: b"another's")
            index.append_entries(root, [entry])
    assert RunStatuses().get(root / "one") == ("interrupted" if line == "stale" else "failed")


def test_no_runs_is_an_empty_table_and_no_folder_a_request_error(tmp_path):
    with pytest.raises(RequestError, match=r"no runs in .*missing"):
        load_runs(tmp_path / "missing")
    (tmp_path / "runs").mkdir()
    runs = load_runs(tmp_path / "runs", settings=True)
    assert runs.height == 0
    assert runs.schema["seed"] == pl.Int64 and "status" in runs.columns


def test_a_read_only_folder_is_read_without_an_index(make_run, tmp_path, monkeypatch):
    make_run("aaa")
    (tmp_path / "runs" / "index.jsonl").unlink()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(index, "append_atomically", refuse)
    monkeypatch.setattr(index, "write_atomically", refuse)
    assert load_runs(tmp_path / "runs")["run_id"].to_list() == ["aaa"]


def _append_many(root: Path, worker: int) -> None:
    for number in range(100):
        index.append_entries(
            root, [{"version": index.VERSION, "run_id": f"{worker}-{number}", "row": {"note": "x" * 3000}}]
        )


def test_processes_that_append_at_once_do_not_mix_their_lines(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(tmp_path, worker)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    entries, worn = index.read_index(tmp_path)
    assert len(entries) == 400 and not worn


def many_runs(make_run, root: Path, count: int) -> None:
    """`count` run folders made from one, written without the fsyncs that make a real one slow."""
    one = make_run("template").path
    record, settings = (one / "result.json").read_text(), (one / "config.yaml").read_text()
    shutil.rmtree(one)
    for number in range(count):
        folder = root / f"{number:012x}"
        folder.mkdir()
        (folder / "config.yaml").write_text(settings.replace("lr: 0.001", f"lr: {number + 1}.5"))
        (folder / "result.json").write_text(record.replace("template", folder.name))


@pytest.mark.parametrize(
    ("count", "limit_seconds"), [(1_000, 0.3), pytest.param(10_000, 1.0, marks=pytest.mark.slow)]
)
def test_ten_thousand_runs_load_in_a_second(make_run, tmp_path, count, limit_seconds):
    root = tmp_path / "runs"
    many_runs(make_run, root, count)
    names = [f"{number:012x}" for number in range(count)]
    assert load_runs(root).height == count  # builds the index

    def seconds(work) -> float:
        start = time.perf_counter()
        assert len(work()) == count
        return time.perf_counter() - start

    for work in (
        lambda: load_runs(root),
        lambda: load_runs(root, settings=True),
        lambda: run_statuses(root, names),
        lambda: load_runs(root, names),
    ):
        assert min(seconds(work) for _ in range(3)) <= limit_seconds


@pytest.mark.parametrize(
    ("line", "absent"),
    [
        (
            "from trainlab.runs import load_runs, RunFolder; import trainlab.analysis.tables",
            ["torch", "lightning"],
        ),
        ("from trainlab.runs import run_id", ["torch", "polars"]),
    ],
)
def test_what_does_not_need_torch_does_not_import_it(line, absent):
    check = f"import sys; {line}; sys.exit(' '.join(set({absent}) & sys.modules.keys()) or 0)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_a_run_that_starts_from_another_is_no_further_seed_of_it(make_run, settings_of, tmp_path):
    """The same axes, seed and budget: what tells them apart is where they start."""
    whole = settings_of()
    started = {**whole, "resume": "0123456789ab"}
    own = {**whole, "run_id": "own", "resume": "own"}
    make_run("a", settings=whole)
    make_run("b", settings={**started, "run_id": "b"})
    make_run("own", settings=own, status="failed")
    table = load_runs(tmp_path / "runs", settings=True).sort("run_id")
    assert table["resume"].to_list() == [None, "0123456789ab", None]
    folded = compare(table.filter(pl.col("status") == "finished"))
    assert folded.by == ("resume",) and folded.table["n"].to_list() == [1, 1]
    assert [row.decides for row in diff_settings(whole, started)] == [True]
