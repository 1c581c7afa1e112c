"""Version, help, and commands to paste; missing files and runs are reported before torch is imported."""

import shlex
import subprocess
import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from trainlab import __version__
from trainlab.config import AXIS_DESCRIPTIONS
from trainlab.config import command_line as commands


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--version"]])
def test_the_version_is_ours(call_command, arguments):
    code, out, _ = call_command(*arguments)
    assert code == 0 and out.strip() == f"trainlab {__version__}"


def test_help_is_a_command_too(call_command):
    assert "Image files" in call_command("help", "predict")[1]
    assert "--install-completion" in call_command("help")[1]


@pytest.mark.parametrize("command", ["train", "preflight", "anatomy", "lr-range"])
def test_the_help_of_what_takes_settings_lists_them(call_command, command):
    code, out, _ = call_command(command, "--help")
    assert code == 0 and all(f"{axis}=" in out for axis in AXIS_DESCRIPTIONS) and "optimizer.lr" in out
    assert (".audit" in out and ".prune" in out) is (command in ("train", "preflight"))


def test_no_line_of_the_commands_is_cut(call_command):
    for group in ([], ["runs"], ["plot"], ["claims"]):
        assert "..." not in call_command(*group, "--help")[1].partition("Commands:")[2]


@pytest.mark.parametrize("command", ["anatomy", "preflight", "lr-range"])
def test_the_error_for_a_flag_says_how_the_setting_is_written(call_command, command):
    code, _, err = call_command(command, "--lr", "0.1")
    assert code == 2 and "optimizer.lr=" in err and err.count("\n") == 1


MISSING = {
    "predict RUN nosuch.png": "nosuch.png: no such file",
    "predict RUN .": "not a file",
    "predict nosuch x.png": "nosuch",
    "evaluate nosuch": "nosuch",
    "evaluate RUN": "no checkpoint 'last'",
    "evaluate RUN --checkpoint best": "no checkpoint 'best'",
    "export nosuch": "nosuch",
    "export RUN": "no checkpoint",
}


def test_missing_runs_and_files_are_reported_without_torch(recorded, tmp_path):
    """All of them in one process, which would show torch at its end."""
    run = recorded()
    bare = recorded(lr=0.5)
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    code = (
        "import sys, json\nfrom trainlab import cli\n"
        "for words in json.loads(sys.argv[1]):\n"
        "    try: cli.main(words)\n"
        "    except SystemExit as end: print(end.code, file=sys.stderr)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    import json

    requests = []
    for words in MISSING:
        has_weights = words.startswith("predict")
        name = (run if has_weights else bare).run_id
        requests.append([*words.replace("RUN", name).split(), "--runs", str(tmp_path / "runs")])
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(requests)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines[1::2] == ["2"] * len(MISSING)
    for line, expected in zip(lines[::2], MISSING.values(), strict=True):
        assert expected in line


def test_an_export_that_cannot_be_written_is_one_line(recorded, call_command, tmp_path):
    run = recorded()
    (run.path / "checkpoints").mkdir()
    (run.path / "checkpoints" / "last.ckpt").write_bytes(b"weights")
    (run.path / "export").write_text("a file where the folder would be")
    code, _, err = call_command("export", run.run_id, "--runs", str(tmp_path / "runs"))
    assert code == 2 and "cannot write" in err and "--to" in err and err.count("\n") == 1
    (tmp_path / "taken").write_text("")
    code, _, err = call_command(
        "export", run.run_id, "--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "taken" / "x")
    )
    assert code == 2 and "cannot write" in err


FOLDERS = ["elsewhere", "with blanks", "o'neil", "a,b", "2026", "x=y", "größe", "back\\", "null", "[a]"]


@pytest.mark.parametrize("name", FOLDERS)
def test_a_hint_names_the_folder_and_can_be_pasted(tmp_path, monkeypatch, name):
    """Through the shell's quotes, and for training through Hydra's too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAINLAB_RUNS", raising=False)
    words = shlex.split(commands.trainlab_command_line("explain", "4f2a", runs=name))
    assert words == ["trainlab", "explain", "4f2a", "--runs", name]
    *_, last = shlex.split(commands.train_command_line(["-m", "seed=range(3)"], name))
    assert OverridesParser.create().parse_override(last).value() == name


def test_a_hint_is_quoted_once():
    assert commands.train_command_line(["seed=1"], "with blanks").endswith(
        "seed=1 \"paths.runs='with blanks'\""
    )


@pytest.mark.parametrize("folder", [None, "runs", "./runs"])
def test_the_usual_folder_is_not_named(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TRAINLAB_RUNS", raising=False)
    assert commands.trainlab_command_line("compare", runs=folder) == "trainlab compare"
    assert commands.train_command_line(["seed=1"], folder) == "trainlab train seed=1", "no train.py here"
    monkeypatch.setenv("TRAINLAB_RUNS", str(tmp_path / "other"))
    assert commands.trainlab_command_line("compare", runs=tmp_path / "other") == "trainlab compare"


def test_quotes_that_a_value_does_not_need_go():
    assert commands.strip_needless_quotes("'/a/b'") == "/a/b"
    for kept in ("'a b'", "'2026'", "range(3)", "''", "'it\\'s'"):
        assert commands.strip_needless_quotes(kept) == kept
