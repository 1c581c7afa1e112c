import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainlab.errors import RequestError
from trainlab.runs import (
    CorruptRunError,
    Result,
    RunFolder,
    RunLockedError,
    json_nonfinite,
    load_runs,
    provenance,
    read_confusion,
    read_metrics,
    read_signals,
    run_folder,
    safe_files,
    tables_on_disk,
)
from trainlab.runs.frozen_settings import read_settings
from trainlab.runs.provenance import code_state, describe_host, git_state, versions
from trainlab.runs.result import read_result
from trainlab.runs.run_folder import run_status

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text().filter(lambda text: text not in ("NaN", "Infinity", "-Infinity")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def same(first, second) -> bool:
    if isinstance(first, float) and math.isnan(first):
        return isinstance(second, float) and math.isnan(second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same, first, second))
    return type(first) is type(second) and first == second


@given(plain)
def test_every_plain_value_survives_strict_json(value):
    text = json_nonfinite.dumps(value)
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert same(json_nonfinite.loads(text), value)


def test_a_record_reads_back_as_it_was_written(make_run, result_of):
    folder = make_run(metrics={"test/loss": math.nan, "train/loss": math.inf}, seconds=1.5)
    result = folder.result()
    assert math.isnan(result.metrics["test/loss"])
    assert result.metrics["train/loss"] == math.inf
    assert result.verdict == result_of("x").verdict
    assert result.seconds == 1.5
    assert folder.status() == "finished"
    assert not list(folder.path.glob("*.tmp")) and not list(folder.path.glob("*.jsonl"))


def test_settings_read_back_as_they_were_written(make_run, settings_of):
    settings = settings_of(
        optimizer__lr=1e-5, trainer__max_steps=10**9, axes={"activation": "none", "data": "no"}
    )
    assert read_settings(make_run(settings=settings).path) == settings


def test_settings_that_are_not_plain_are_refused(tmp_path):
    with pytest.raises(RequestError, match="plain"):
        RunFolder(tmp_path / "runs" / "a").write_settings({"seed": object()})


def test_rows_can_be_read_while_the_run_goes_and_when_it_is_over(tmp_path, result_of):
    folder = RunFolder(tmp_path / "a").create()
    folder.begin()
    metric_rows = [(1, 0, "train/loss", 2.3), (2, 0, "train/loss", math.inf), (2, None, "val/acc", None)]
    signal_rows = [(1, "conv1", "gradient_norm", math.nan)]
    with folder.metrics_log() as log, folder.signals_log() as signal_log:
        log.append(metric_rows[:1])
        log.append(metric_rows[1:])
        signal_log.append(signal_rows)
        going = read_metrics(folder.path)
    assert going.rows() == metric_rows
    assert math.isnan(read_signals(folder.path)["value"][0])
    folder.write_confusion([[3, 1], [0, 4]])
    folder.finish(result_of("a"))
    assert read_metrics(folder.path).equals(going)
    assert math.isnan(read_signals(folder.path)["value"][0])
    assert read_confusion(folder.path).rows() == [(0, 0, 3), (0, 1, 1), (1, 0, 0), (1, 1, 4)]
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "confusion.parquet",
        "metrics.parquet",
        "result.json",
        "signals.parquet",
    ]


def test_a_row_of_the_wrong_width_is_an_error(tmp_path):
    with RunFolder(tmp_path / "a").create().metrics_log() as log, pytest.raises(ValueError, match="shorter"):
        log.append([(1, 0, "train/loss")])


@pytest.mark.parametrize(
    "torn",
    [
        '{"step":9,"epo',
        "\0\0\0",
        '{"step":9}\n',
        "[1]\n",
        '{"step":"x","epoch":0,"name":"a","value":1}\n',
        "3",
    ],
)
def test_a_torn_line_costs_only_itself(tmp_path, torn):
    folder = RunFolder(tmp_path / "a").create()
    with folder.metrics_log() as log:
        log.append([(1, 0, "train/loss", 2.3)])
    with (folder.path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert read_metrics(folder.path).rows() == [(1, 0, "train/loss", 2.3)]
    folder.begin(resumed_step=5)
    with folder.metrics_log() as log:
        log.append([(6, 0, "train/loss", 2.0)])
    assert read_metrics(folder.path)["step"].to_list() == [1, 6]


@pytest.mark.parametrize("ended", [False, True])
def test_a_resumed_run_drops_the_rows_beyond_its_checkpoint(tmp_path, result_of, ended):
    folder = RunFolder(tmp_path / "a").create()
    folder.begin()
    with folder.metrics_log() as log, folder.signals_log() as signal_log:
        log.append([(step, 0, "train/loss", step / 10) for step in range(1, 8)])
        signal_log.append([(6, "conv1", "gradient_norm", 1.0)])
    if ended:
        folder.finish(result_of("a", status="failed"))
    folder.checkpoints.mkdir()
    folder.begin(resumed_step=5)
    assert folder.result() is None
    with folder.metrics_log() as log:
        log.append([(6, 1, "train/loss", 0.0)])
    assert read_metrics(folder.path)["step"].to_list() == [1, 2, 3, 4, 5, 6]
    assert read_signals(folder.path).is_empty()
    assert folder.checkpoints.exists()
    folder.finish(result_of("a"))
    assert read_metrics(folder.path)["step"].to_list() == [1, 2, 3, 4, 5, 6]


def test_a_run_that_starts_over_keeps_nothing(make_run):
    folder = make_run()
    folder.checkpoints.mkdir()
    folder.begin()
    assert folder.status() == "interrupted"
    assert read_metrics(folder.path).is_empty() and read_confusion(folder.path).is_empty()
    assert not folder.checkpoints.exists()


def test_lines_are_believed_before_a_parquet_left_beside_them(make_run):
    folder = make_run()
    with folder.metrics_log() as log:
        log.append([(3, 1, "train/loss", 1.0)])
    assert read_metrics(folder.path)["step"].to_list() == [3]


def test_a_result_is_written_only_into_its_own_folder(tmp_path, result_of):
    with pytest.raises(ValueError, match="in the folder of run b"):
        RunFolder(tmp_path / "b").create().finish(result_of("a"))
    with pytest.raises(ValueError, match="status"):
        result_of("a", status="running")


HOLD = """
import sys, time
from trainlab.runs import RunFolder
with RunFolder(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_lock_keeps_others_out_and_dies_with_its_process(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder.path], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert folder.status() == "running"
        with (
            pytest.raises(RunLockedError, match=r"run a is locked by process \d+ on "),
            folder.lock(0.05),
        ):
            pytest.fail("two processes hold one lock")
        holder.kill()
        holder.wait()
    assert folder.status() == "interrupted"
    with folder.lock():
        assert folder.is_locked()
    assert not folder.is_locked()


APPEND = """
import os, sys
from trainlab.runs import RunFolder
folder = RunFolder(sys.argv[1])
with folder.lock():
    folder.begin()
    with folder.metrics_log() as log:
        for step in range(10**9):
            log.append([(step, 0, "train/loss", 0.5)] * 3)
            if step == 100: print("going", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
def test_what_was_appended_survives_a_kill(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "a")
    with subprocess.Popen(
        [sys.executable, "-c", APPEND, folder.path], stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        run.stdout.readline()
        run.send_signal(signal.SIGKILL)
        run.wait()
    steps = read_metrics(folder.path)["step"]
    assert steps.len() >= 303
    assert steps.is_sorted()
    assert folder.status() == "interrupted"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cut short"),
        ('{"schema": 1, "run_id": "a", "sta', "cut short"),
        ("[" * 100_000, "cut short"),
        ("\udc80", "cut short"),
        ("[]", "expected an object"),
        ("{}", "schema is None"),
        ('{"schema": 2}', "newer trainlab"),
        ('{"schema": 1, "run_id": "b"}', "belongs to run 'b'"),
        ('{"schema": 1, "run_id": "a", "status": "great"}', "status is 'great'"),
        ('{"schema": 1, "run_id": "a", "status": "finished"}', "verdict is None"),
    ],
)
def test_a_broken_record_is_named_and_counts_as_unfinished(make_run, text, reason):
    folder = make_run("a")
    (folder.path / "result.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CorruptRunError, match=reason) as problem:
        folder.result()
    assert problem.value.path == folder.path
    assert "\n" not in str(problem.value)
    assert folder.status() == "interrupted"


@pytest.mark.parametrize("at", range(1, 12))
def test_a_record_cut_anywhere_is_never_believed(make_run, at):
    folder = make_run("a")
    whole = (folder.path / "result.json").read_bytes()
    (folder.path / "result.json").write_bytes(whole[: len(whole) * at // 12])
    with pytest.raises(CorruptRunError):
        read_result(folder.path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("metrics", {"test/acc": "high"}), ("axes", None), ("error", "boom"), ("seconds", "1"), ("group", 3)],
)
def test_a_field_of_the_wrong_type_is_named(make_run, name, value):
    folder = make_run("a")
    path = folder.path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(CorruptRunError, match=name.removesuffix("s")):
        folder.result()


def test_a_field_of_a_later_version_is_passed_over(make_run):
    folder = make_run("a")
    path = folder.path / "result.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"mood": "good", "verdict": record["verdict"] | {"sure": 1}}))
    assert folder.result().run_id == "a"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "no config.yaml"), ("a: [", "not YAML"), ("- 1", "expected a mapping"), ("\0", "not YAML")],
)
def test_broken_settings_are_named(make_run, text, reason):
    folder = make_run("a")
    path = folder.path / "config.yaml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    with pytest.raises(CorruptRunError, match=reason):
        folder.settings()


def test_a_broken_parquet_is_named(make_run):
    folder = make_run("a")
    path = folder.path / "metrics.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(CorruptRunError, match=r"metrics\.parquet"):
        read_metrics(folder.path)
    pl.DataFrame({"other": [1]}).write_parquet(path)
    with pytest.raises(CorruptRunError, match=r"metrics\.parquet"):
        read_metrics(folder.path)
    path.unlink()
    assert read_metrics(folder.path).is_empty()


def test_a_full_disk_leaves_the_old_file_and_no_rubbish(make_run, result_of, monkeypatch):
    folder = make_run("a", status="interrupted")

    def full(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safe_files, "_fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.finish(result_of("a", status="failed"))
    assert folder.status() == "interrupted"
    assert not list(folder.path.glob(".*.tmp"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full is Linux's")
def test_a_full_disk_is_an_os_error_whatever_is_written(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "a").create()
    with folder.metrics_log() as log:
        log.append([(0, 0, "train/loss", 1.0)])

    @contextlib.contextmanager
    def onto_a_full_disk(path):
        yield Path("/dev/full")

    monkeypatch.setattr(tables_on_disk, "atomic_replacement", onto_a_full_disk)
    with pytest.raises(OSError, match="No space"):
        folder.write_confusion([[1]])
    with pytest.raises(OSError, match="No space"):
        folder.finish(Result(run_id="a", status="finished"))
    assert folder.result() is None and read_metrics(tmp_path / "a").height == 1


def test_where_nothing_can_be_written_one_line_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    folder = RunFolder(tmp_path / "file" / "runs" / "a")
    for attempt in (folder.create, folder.lock().__enter__, lambda: folder.write_settings({"seed": 0})):
        with pytest.raises(RequestError, match=r"cannot write the run .*paths\.runs=FOLDER") as problem:
            attempt()
        assert "\n" not in str(problem.value)
    assert folder.status() == "absent"


@pytest.mark.parametrize(
    "look", [run_status, lambda path: load_runs(path.parent)["status"][0]], ids=["one", "all"]
)
def test_a_run_that_ends_between_two_looks_is_not_interrupted(make_run, result_of, monkeypatch, look):
    run = make_run()
    (run.path / "result.json").unlink(missing_ok=True)

    def end_now(path):
        result_of(run.run_id).write(run.path)
        return False  # and its lock has gone with it

    monkeypatch.setattr(run_folder, "is_run_locked", end_now)
    assert look(run.path) == "finished"


def test_a_folder_that_is_no_run_is_absent(tmp_path):
    (tmp_path / "a" / "inside").mkdir(parents=True)
    assert run_status(tmp_path / "a") == "absent"
    assert run_status(tmp_path / "none") == "absent"


def test_a_row_costs_little(tmp_path):
    rows = [(step, 0, "train/loss", 0.5) for step in range(50)]
    with RunFolder(tmp_path / "a").create().metrics_log() as log:
        start = time.perf_counter()
        for _ in range(200):
            log.append(rows)
        per_row_seconds = (time.perf_counter() - start) / (200 * len(rows))
    assert per_row_seconds < 100e-6  # usually below 10


def test_versions_name_what_is_installed():
    found = versions()
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"] and found["trainlab"]


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def test_git_state_knows_commit_and_changes(tmp_path):
    nothing = {"commit": None, "dirty": None}
    assert git_state(tmp_path) == nothing
    git(tmp_path, "init")
    assert git_state(tmp_path) == nothing
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / "untracked").write_text("")
    commit = git(tmp_path, "rev-parse", "HEAD").strip()
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "code.py").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
    assert git_state(tmp_path, timeout_seconds=1e-9) == nothing
    assert git_state(tmp_path / "none") == nothing


def test_an_installed_package_is_no_part_of_the_project_around_it(tmp_path, monkeypatch):
    """`.venv/lib/…/trainlab` in somebody's repository: neither its commit nor its changes are ours."""
    git(tmp_path, "init")
    (tmp_path / "theirs.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "theirs")
    package = tmp_path / ".venv" / "trainlab"
    (package / "runs").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(provenance, "__file__", str(package / "runs" / "provenance.py"))
    monkeypatch.setattr(provenance, "_installed_commit", lambda: None)
    assert code_state() == {"commit": None, "dirty": None}
    monkeypatch.setattr(provenance, "_installed_commit", lambda: "of the installer")
    assert code_state() == {"commit": "of the installer", "dirty": None}
    git(tmp_path, "add", "-f", str(package))
    git(tmp_path, "commit", "-m", "now it is tracked")
    assert code_state() == {"commit": git(tmp_path, "rev-parse", "HEAD").strip(), "dirty": False}


def test_what_changes_elsewhere_in_the_tree_does_not_make_the_code_dirty(tmp_path):
    """`claims run` writes its pages, which git tracks, beside the code that it records."""
    code, page = tmp_path / "src" / "code.py", tmp_path / "experiments" / "page.md"
    for path in (code, page):
        path.parent.mkdir()
        path.write_text("1")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    page.write_text("2")
    assert git_state(code.parent)["dirty"] is False
    code.write_text("2")
    assert git_state(code.parent)["dirty"] is True


def test_the_machine_of_a_record_is_told_as_it_is_recorded():
    assert describe_host({"name": "x86_64", "processor": "A 1", "cores": 64}) == "A 1, 64 cores"
    assert "not recorded" in describe_host({"name": "x86_64", "device": "cpu"})


def test_git_state_without_git(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() == {"commit": None, "dirty": None}


def anew(folder: RunFolder, *rows) -> None:
    folder.begin()
    folder.checkpoints.mkdir()
    (folder.checkpoints / "last.ckpt").write_text("new")
    with folder.metrics_log() as log:
        log.append(rows)


@pytest.fixture
def done_run(tmp_path, result_of):
    folder = RunFolder(tmp_path / "a").create()
    folder.begin()
    folder.checkpoints.mkdir()
    (folder.checkpoints / "last.ckpt").write_text("old")
    with folder.metrics_log() as log:
        log.append([(1, 0, "train/loss", 2.3)])
    folder.write_confusion([[3, 1], [0, 4]])
    folder.finish(result_of("a"))
    return folder


@pytest.mark.parametrize("status", ["failed", "pruned"])
def test_a_done_run_that_is_done_anew_in_vain_keeps_its_record(done_run, result_of, status):
    before = {path: path.read_bytes() for path in done_run.path.rglob("*") if path.is_file()}
    anew(done_run, (1, 0, "train/loss", 9.0), (2, 0, "train/loss", 9.0))
    done_run.finish(result_of("a", status=status, metrics={}))
    assert {path: path.read_bytes() for path in done_run.path.rglob("*") if path.is_file()} == before


def test_a_done_run_that_is_killed_while_it_is_done_anew_has_its_record_beside(done_run, result_of):
    result = (done_run.path / "result.json").read_bytes()
    anew(done_run, (1, 0, "train/loss", 9.0))
    done_run.finish(result_of("a", status="interrupted", metrics={}))
    for resumed in (1, None):  # as often as it is started again
        done_run.begin(resumed_step=resumed)
        assert (done_run.path / "earlier" / "result.json").read_bytes() == result
        assert (done_run.path / "earlier" / "checkpoints" / "last.ckpt").read_text() == "old"
    done_run.finish(result_of("a", metrics={"test/acc": 0.5}))
    assert not (done_run.path / "earlier").exists() and done_run.result().metrics == {"test/acc": 0.5}


@pytest.fixture
def others(tmp_path):
    """A folder of somebody's, with the files of a run that is done."""
    folder = tmp_path / "others"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("result.json", "metrics.parquet", "checkpoints/last.ckpt"):
        (folder / name).write_text("precious")
    return folder


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["earlier", "checkpoints"])
@pytest.mark.parametrize("status", ["finished", "failed"])
@pytest.mark.parametrize("is_done", [True, False])
def test_a_link_in_a_run_leads_to_nothing_that_is_touched(done_run, others, result_of, name, status, is_done):
    before, path = files_of(others), done_run.path / name
    if not is_done:
        (done_run.path / "result.json").unlink()
    if name == "checkpoints":
        path.rename(done_run.path / "old")
    path.symlink_to(others)
    done_run.begin()
    if name == "earlier" and not path.is_symlink():
        shutil.rmtree(path)
    if name == "earlier" and not path.exists():
        path.symlink_to(others)  # while it runs
    done_run.finish(result_of("a", status=status))
    assert files_of(others) == before
    assert done_run.result() is None or done_run.result().run_id == "a"


@pytest.mark.parametrize("text", ["", "{}", "[" * 10_000, '{"schema": 1, "run_id": "b"}'])
def test_what_lies_aside_and_is_no_record_of_this_run_is_not_put_back(done_run, result_of, text):
    (done_run.path / "result.json").unlink()
    (done_run.path / "earlier").mkdir()
    (done_run.path / "earlier" / "result.json").write_text(text)
    done_run.begin()
    done_run.finish(result_of("a", status="failed"))
    assert done_run.status() == "failed"


def test_a_file_where_the_record_is_set_aside_is_no_obstacle(done_run):
    (done_run.path / "earlier").write_text("x")
    done_run.begin()
    assert (done_run.path / "earlier" / "result.json").is_file()
