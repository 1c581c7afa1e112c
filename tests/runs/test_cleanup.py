import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest

from trainlab.cli.runs import runs_list, runs_sweeps
from trainlab.errors import RequestError
from trainlab.runs import RunFolder, RunLockedError, index, load_runs
from trainlab.runs.cleanup import disk_usage, remove_runs, select_runs
from trainlab.runs.groups import add_to_group, group_file, groups, read_group, read_groups
from trainlab.runs.resolve_runs import resolve_runs


@pytest.fixture
def root(make_run, tmp_path) -> Path:
    for name in ("abc111", "abc222", "def333"):
        make_run(name)
    make_run("f00444", status="failed")
    add_to_group(tmp_path / "runs", "night", ["def333", "f00444", "not_made"])
    return tmp_path / "runs"


def names(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders]


@pytest.mark.parametrize(
    ("text", "found"),
    [("abc111", ["abc111"]), ("abc1", ["abc111"]), ("d", ["def333"]), ("night", ["def333", "f00444"])],
)
def test_runs_are_named_by_id_beginning_or_sweep(root, text, found):
    assert names(resolve_runs(root, text)) == found


def test_runs_are_named_by_folder(root, tmp_path, monkeypatch):
    assert resolve_runs("elsewhere", str(root / "abc111")) == [root / "abc111"]
    assert names(resolve_runs("elsewhere", str(root))) == ["abc111", "abc222", "def333", "f00444"]
    monkeypatch.chdir(tmp_path)
    assert resolve_runs(root, "runs/def333/") == [root / "def333"]
    assert load_runs("elsewhere", "runs/def333")["run_id"].to_list() == ["def333"]


@pytest.mark.parametrize("text", ["", "/", "~", "*", "-x", "a\0b", "a" * 5000, "abc111/checkpoints"])
def test_a_name_that_is_none_is_one_line(root, text):
    with pytest.raises(RequestError) as refused:
        resolve_runs(root, text)
    assert "\n" not in str(refused.value)


def test_an_exact_id_goes_before_a_sweep_and_a_beginning(root, make_run):
    make_run("abc")
    add_to_group(root, "abc222", ["def333"])
    assert names(resolve_runs(root, "abc")) == ["abc"]
    assert names(resolve_runs(root, "abc222")) == ["abc222"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("abc", r"'abc' is ambiguous, 2 runs begin so: abc111, abc222"),
        ("nigth", r"did you mean 'night'\? .*holds 4 runs, sweeps: night"),
        ("abd111", r"did you mean 'abc111'"),
        ("", "no run, sweep or folder ''"),
        ("../nowhere", "no run, sweep or folder"),
    ],
)
def test_a_name_that_fits_nothing_or_too_much_is_told_in_one_line(root, text, says):
    with pytest.raises(RequestError, match=says) as problem:
        resolve_runs(root, text)
    assert "\n" not in str(problem.value)


def test_a_folder_without_runs_is_refused(root, tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(RequestError, match="no runs in the folder"):
        resolve_runs(root, str(tmp_path / "photos"))
    with pytest.raises(RequestError, match="no run, sweep or folder 'a'"):
        resolve_runs(tmp_path / "missing", "a")


def test_runs_are_selected_by_name_and_status(root):
    (root / "photos").mkdir()
    assert names(select_runs(root)) == ["abc111", "abc222", "def333", "f00444"]
    assert names(select_runs(root, status=["failed"])) == ["f00444"]
    assert names(select_runs(root, ["night", "abc1"], ["finished"])) == ["def333", "abc111"]
    (root / "abc111" / "result.json").write_text("{")
    assert names(select_runs(root, status=["interrupted"])) == ["abc111"]
    with pytest.raises(RequestError, match="did you mean 'failed'"):
        select_runs(root, status=["faild"])


def test_disk_usage_counts_every_byte(root):
    (root / "abc222" / "checkpoints").mkdir()
    (root / "abc222" / "checkpoints" / "last.ckpt").write_bytes(b"x" * 100_000)
    (root / "abc222" / "wandb" / "deep").mkdir(parents=True)
    (root / "abc222" / "wandb" / "deep" / "log").write_bytes(b"x" * 500)
    usage = disk_usage(select_runs(root))
    assert usage["run_id"][0] == "abc222"
    assert usage.row(0)[2:] == (100_000, 500)
    everything = sum(path.stat().st_size for path in (root / "abc222").rglob("*") if path.is_file())
    assert usage["bytes"][0] == everything
    assert disk_usage([root / "gone"]).row(0) == ("gone", 0, 0, 0)


def test_removed_runs_are_gone_from_disk_table_and_index(root):
    assert remove_runs(root, resolve_runs(root, "night")) == ["def333", "f00444"]
    assert load_runs(root)["run_id"].to_list() == ["abc111", "abc222"]
    assert index.read_index(root)[0].keys() == {"abc111", "abc222"}
    assert not (root / "def333").exists()
    assert read_group(root, "night") == ["def333", "f00444", "not_made"]
    assert resolve_runs(root, "night") == []


def test_nothing_is_removed_while_one_of_them_is_being_worked_on(root):
    with RunFolder(root / "abc222").lock(), pytest.raises(RunLockedError, match="abc222"):
        remove_runs(root, [root / "abc111", root / "abc222"])
    assert load_runs(root).height == 4


def test_a_folder_that_is_no_run_is_never_removed(root):
    (root / "photos").mkdir()
    with pytest.raises(RequestError, match="holds no run"):
        remove_runs(root, [root / "abc111", root / "photos"])
    assert (root / "abc111").exists() and (root / "photos").exists()


def stranger(folder: Path, **files: str) -> Path:
    """A folder of somebody's, with files that are called as a run's are."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "main.py").write_text("x = 1\n")
    for name, text in files.items():
        (folder / f"{name}.{'json' if name == 'result' else 'yaml'}").write_text(text)
    return folder


@pytest.mark.parametrize("text", ["..", ".", "*", "", "abc", "home", "home/project", "{home}", "other-runs",
                                  "{runs}/..", "project", "link-in-home/../project"])  # fmt: skip
def test_only_runs_of_this_folder_are_removed(root, tmp_path, monkeypatch, call_command, text):
    """Twelve ways to say something else: one line, exit 2, and every file is still there."""
    home = tmp_path / "home"
    stranger(home / "project", config="{}")
    stranger(home / "other", result="{}")
    stranger(tmp_path / "project", config="run_id: somebody-elses\naxes: {}\n")
    shutil.copytree(root, tmp_path / "other-runs")
    (tmp_path / "link-in-home").symlink_to(home)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    named = text.format(home=home, runs=root)
    code, _, line = call_command("runs", "rm", named, "--runs", str(root), "--yes")
    assert code == 2 and line.count("\n") == 1, line
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_is_removed_and_what_it_leads_to_stays(root, tmp_path, call_command):
    kept = stranger(tmp_path / "kept", config="run_id: linked\naxes: {}\n")
    (root / "linked").symlink_to(kept)
    (root / "abc111" / "checkpoints").symlink_to(kept)
    assert call_command("runs", "rm", "linked", "abc111", "--runs", str(root), "--yes")[0] == 0
    assert not (root / "linked").is_symlink() and not (root / "abc111").exists()
    assert sorted(p.name for p in kept.rglob("*")) == ["config.yaml", "main.py", "src"]


@pytest.mark.parametrize("files", [{"config": "{}"}, {"result": "{}"}, {"config": "run_id: other\naxes: {}"},
                                   {"config": "run_id: pets"}, {"config": "*a"}, {}])  # fmt: skip
def test_a_folder_among_the_runs_that_does_not_prove_to_be_one_stays(root, call_command, files):
    stranger(root / "pets", **files)
    code, _, line = call_command("runs", "rm", "pets", "--runs", str(root), "--yes")
    assert (root / "pets" / "src" / "main.py").exists()
    assert code == 0 if not files else (code == 2 and "holds no run" in line)


def test_an_interrupted_run_and_one_with_broken_settings_are_removed(root, settings_of, call_command):
    settings = settings_of()
    folder = RunFolder(root / settings.setdefault("run_id", "abc999"))
    folder.write_settings(settings)
    (root / "abc222" / "config.yaml").write_text("{")
    assert call_command("runs", "rm", folder.run_id, "abc222", "--runs", str(root), "-y")[0] == 0
    assert not folder.path.exists() and not (root / "abc222").exists()


def test_a_group_is_a_list_of_ids_each_once_in_order(tmp_path):
    assert add_to_group(tmp_path, "activation, init (1)", ["b", "a", "b"]) == ["b", "a"]
    assert add_to_group(tmp_path, "activation, init (1)", ["a", "c"]) == ["b", "a", "c"]
    assert json.loads(group_file(tmp_path, "activation, init (1)").read_text()) == ["b", "a", "c"]
    assert groups(tmp_path) == ["activation, init (1)"]
    assert groups(tmp_path / "missing") == []


@pytest.mark.parametrize(
    "name", ["", "../up", "a/b", ".hidden", "a:b", "dot.", "a\nb", "x" * 300, "back\\slash"]
)
def test_a_group_name_that_cannot_be_a_file_is_refused(tmp_path, name):
    with pytest.raises(RequestError, match="group"):
        add_to_group(tmp_path, name, [])


def test_a_missing_or_broken_group_is_told(tmp_path):
    add_to_group(tmp_path, "night", ["a"])
    with pytest.raises(RequestError, match="did you mean 'night'"):
        read_group(tmp_path, "nigt")
    for text in ("[1", "{}", "[1]"):
        group_file(tmp_path, "night").write_text(text)
        with pytest.raises(RequestError, match=r"night\.json .*remove it"):
            read_group(tmp_path, "night")


def test_where_no_group_can_be_written_one_line_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"cannot write the sweep .*paths\.runs"):
        add_to_group(tmp_path / "file", "night", ["a"])


def _add(root: Path, worker: int) -> None:
    for number in range(20):
        add_to_group(root, "night", [f"{worker}-{number}"])


def test_two_sweeps_that_add_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_add, args=(tmp_path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_group(tmp_path, "night")) == 60


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name")
def test_what_is_no_list_of_a_sweep_is_no_sweep(root):
    os.mkfifo(root / "sweeps" / "pipe.json")
    (root / "sweeps" / "folder.json").mkdir()
    (root / "sweeps" / "lost.json").symlink_to(root / "nowhere")
    (root / "sweeps" / "circle.json").symlink_to("circle.json")
    assert groups(root) == ["night"]
    with pytest.raises(RequestError, match="no run, sweep or folder 'pipe'"):
        resolve_runs(root, "pipe")


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, ""])
def test_one_list_that_cannot_be_read_hides_nothing(root, text, caplog):
    (root / "sweeps" / "torn.json").write_text(text)
    assert list(read_groups(root)) == ["night"] and "torn.json" in caplog.text
    runs_list(folder=root)
    runs_sweeps(folder=root)
