"""One run in a process: what it says, and with which exit code, whatever it ends of."""

import errno

import pytest
import yaml

from trainlab.training import worker


@pytest.fixture
def ends_with(settings, tmp_path, monkeypatch, capsys):
    """Does a run that raises; returns its exit code and what it said."""
    frozen = settings()
    config = tmp_path / "runs" / frozen.run_id / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(yaml.safe_dump(frozen.to_plain()))

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
