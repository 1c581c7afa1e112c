"""`trainlab sync`: W&B's own `wandb sync` against a server of ours, and against none."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainlab.runs import RunFolder, read_metrics
from trainlab.runs.resolve_runs import run_folder_names
from trainlab.wandb_sync.offline_runs import find_offline_runs, upload


@pytest.fixture
def inside(environment, call_command):
    """A command in this process, with no key; (exit code, what it printed, its error line)."""
    return call_command


def markers(runs: Path) -> set[str]:
    """The ids of the runs that are marked as uploaded."""
    return {path.parents[2].name for path in runs.glob("*/wandb/offline-run-*/*.wandb.synced")}


def line_of(run_id: str, printed: str) -> str:
    (line,) = [line for line in printed.splitlines() if line.startswith(run_id)]
    return line


def test_every_offline_run_is_uploaded_once_with_what_it_logged(trainlab, server, runs):
    ids = set(run_folder_names(runs))
    code, out, err = trainlab(server.url, "sync", "--runs", str(runs))
    assert code == 0 and err == ""
    assert all(line_of(run_id, out).endswith("  synced") for run_id in ids)
    assert out.splitlines()[-1] == "3 synced"
    assert markers(runs) == ids
    for run_id in ids:
        said, record = server.runs[run_id], RunFolder(runs / run_id)
        assert said["displayName"] in line_of(run_id, out)
        assert said["groupName"] == record.settings().group
        losses = [row["val/loss"] for row in server.streams[run_id] if "val/loss" in row]
        recorded = read_metrics(record.path).filter(name="val/loss")["value"].to_list()
        assert losses == pytest.approx(recorded)
    sent = len(server.streams[run_id])
    code, out, _ = trainlab(server.url, "sync", "--runs", str(runs))
    assert code == 0 and out.splitlines()[-1] == "3 already" and len(server.streams[run_id]) == sent


def test_a_run_whose_data_is_refused_has_failed_whatever_wandb_marks_and_the_next_time_takes_it_up(
    trainlab, server, runs
):
    first, second, third = run_folder_names(runs)
    server.refused = {second}
    code, out, _ = trainlab(server.url, "sync", "--runs", str(runs))
    assert code == 1 and out.splitlines()[-1] in ("2 synced, 1 failed", "1 failed, 2 synced")
    assert "failed: Fatal error while uploading data" in line_of(second, out)
    assert markers(runs) == {first, third}
    server.refused = set()
    code, out, _ = trainlab(server.url, "sync", second[:8], "--runs", str(runs))
    assert code == 0 and out.splitlines()[-1] == "1 synced" and len(out.splitlines()) == 2
    assert server.streams[second] and markers(runs) == {first, second, third}


def test_a_key_that_the_server_does_not_know(trainlab, server, runs):
    server.unauthorized = True
    code, out, _ = trainlab(server.url, "sync", "pair", "--runs", str(runs))
    assert code == 1 and out.splitlines()[-1] == "3 failed" and not markers(runs)
    assert all("user is not logged in" in line_of(run_id, out) for run_id in run_folder_names(runs))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for another process")
def test_ctrl_c_loses_nothing_and_the_same_command_goes_on(start, trainlab, server, runs):
    first, second, third = run_folder_names(runs)
    server.held = {second, third}
    process = start(server.url, "sync", "--runs", str(runs))
    assert process.stdout.readline().startswith(first)  # the others wait for their answers now
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err == ""
    assert out.strip() == "interrupted: 1 synced, 2 left; the same command goes on"
    assert markers(runs) == {first}
    server.held = set()
    server.released.set()
    time.sleep(0.5)  # what was held arrives now, and is of the past
    code, out, _ = trainlab(server.url, "sync", "--runs", str(runs))
    assert code == 0 and out.splitlines()[-1] == "1 already, 2 synced"


def test_an_unreachable_server_is_one_line_and_leaves_all_as_it_is(trainlab, runs):
    before = set(runs.rglob("*"))
    code, out, err = trainlab("http://127.0.0.1:9", "sync", "--runs", str(runs))
    assert code == 1 and err == ""
    assert out.startswith("W&B cannot be reached at http://127.0.0.1:9: ")
    assert out.endswith("3 runs kept as before\n") and out.count("\n") == 1
    assert set(runs.rglob("*")) == before


def test_a_server_that_goes_away_meanwhile(runs, environment, monkeypatch):
    """The real `wandb sync` ends with 0; each run is told as failed, with its reason."""
    for name in ("GRAPHQL", "FILE_STREAM", "FILE_TRANSFER"):
        monkeypatch.setenv(f"WANDB__{name}_RETRY_MAX", "1")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    outcomes = dict(upload(find_offline_runs(runs / name for name in run_folder_names(runs))))
    assert len(outcomes) == 3 and not markers(runs)
    for reason in outcomes.values():
        assert "connection refused" in reason


def test_without_a_key_it_says_how_to_log_in(inside, runs):
    code, out, err = inside("sync", "--runs", str(runs))
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "wandb login" in err and "WANDB_API_KEY" in err


def test_a_dry_run_needs_neither_key_nor_server(inside, runs):
    first, second, third = run_folder_names(runs)
    file = next((runs / first).glob("wandb/offline-run-*/*.wandb"))
    file.with_suffix(".wandb.synced").touch()
    with RunFolder(runs / second).lock():
        code, out, _ = inside("sync", "--runs", str(runs), "--dry-run")
    assert code == 0 and markers(runs) == {first}
    assert line_of(first, out).endswith("  already")
    assert line_of(second, out).endswith("  left: it is being trained")
    assert line_of(third, out).endswith("  would sync")
    assert out.splitlines()[-1] == "1 already, 1 left, 1 would sync"


def test_what_was_started_twice_is_one_run_with_two_files(runs):
    folder = runs / run_folder_names(runs)[0]
    (earlier,) = folder.glob("wandb/offline-run-*")
    later = earlier.with_name(f"offline-run-29991231_235959-{folder.name}")
    later.mkdir()
    (file,) = earlier.glob("*.wandb")
    (later / file.name).write_bytes(file.read_bytes())
    (run,) = find_offline_runs([folder])
    assert [path.parent for path in run.files] == [earlier, later] and run.wandb_ids == (folder.name,)
    file.with_suffix(".wandb.synced").touch()
    assert run.waiting == (later / file.name,)


def test_runs_without_offline_files_and_names_that_do_not_exist(inside, runs):
    first = run_folder_names(runs)[0]
    for file in (runs / first).glob("wandb/offline-run-*/*.wandb"):
        file.unlink()
    code, out, _ = inside("sync", "pair", "--runs", str(runs), "--dry-run")
    assert code == 0 and first not in out and out.splitlines()[-1] == "2 would sync"
    code, out, _ = inside("sync", first, "--runs", str(runs))
    assert code == 0 and "nothing to upload" in out
    code, _, err = inside("sync", "pairs", "--runs", str(runs))
    assert code == 2 and "did you mean 'pair'" in err and err.count("\n") == 1


def test_neither_command_imports_torch(runs, environment):
    code = (
        "import sys\n"
        "from trainlab.cli import main\n"
        f"for words in (['sync', '--dry-run', '--runs', {str(runs)!r}],\n"
        f"              ['workspace', 'pair', '--report', '--runs', {str(runs)!r}, '--out', 'view.json']):\n"
        "    try: main(words)\n"
        "    except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'lightning'} & set(sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert Path("view.json").is_file() and Path("view.report.md").is_file()
