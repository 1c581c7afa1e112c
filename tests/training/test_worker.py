"""One run in a process: what it says, and with which exit code, whatever it ends of."""

import errno
from pathlib import Path

import pytest

from trainlab.instantiate.trust import trusted_digests
from trainlab.runs import frozen_settings, run_table
from trainlab.runs.run_folder import RunFolder
from trainlab.training import worker


@pytest.fixture
def ends_with(settings, tmp_path, monkeypatch, capsys):
    """Does a run that raises; returns its exit code and what it said."""
    frozen = settings()
    RunFolder(tmp_path / "runs" / frozen.run_id).write_settings(frozen)
    config = tmp_path / "runs" / frozen.run_id / "config.yaml"

    def call(train) -> tuple[int, str]:
        monkeypatch.setattr(worker, "train", train)
        code = worker.run_config_file(config)
        return code, capsys.readouterr().err

    return call


def disk(number: int) -> OSError:
    return OSError(number, "No space left on device")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_line(ends_with, tmp_path, number):
    def train(*_, **__):
        raise disk(number)

    assert ends_with(train) == (1, f"trainlab: No space left on device ({tmp_path / 'runs'})\n")


def test_a_full_disk_behind_another_error_is_one_line(ends_with):
    def train(*_, **__):
        try:
            raise disk(errno.ENOSPC)
        except OSError:
            raise RuntimeError("the record cannot be written")  # noqa: B904 - raised while handling

    code, said = ends_with(train)
    assert code == 1 and said.count("\n") == 1 and "No space" in said


def test_any_other_error_shows_where_it_came_from(ends_with):
    def train(*_, **__):
        raise ValueError("as it was told")

    code, said = ends_with(train)
    assert code == 1 and "Traceback" in said and "as it was told" in said


def test_a_worker_reads_its_settings_from_yaml_once(settings, monkeypatch):
    frozen = settings("trainer.max_steps=1", "trainer.max_epochs=null")
    folder = RunFolder(Path(frozen.paths.runs) / frozen.run_id)
    folder.write_settings(frozen)
    parse, parsed = frozen_settings.parse_bounded_yaml, []
    monkeypatch.setattr(
        frozen_settings, "parse_bounded_yaml", lambda content: parsed.append(1) or parse(content)
    )
    assert worker.run_config_file(folder.path / "config.yaml", own=trusted_digests(frozen)) == 0
    assert len(parsed) == 1
    read = [run_table.load_runs(frozen.paths.runs, settings=True).rows()]
    (folder.path.parent / "index.jsonl").unlink()
    assert read == [run_table.load_runs(frozen.paths.runs, settings=True).rows()]  # the same line
