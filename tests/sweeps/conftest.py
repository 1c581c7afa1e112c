"""The fork server of these tests imports the fakes: it is one for the whole process."""

import contextlib
import io
import os
import subprocess
from pathlib import Path

import pytest

# before Python 3.12 a forkserver does not take over sys.path
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])


@pytest.fixture
def settings_of_a_run(settings):
    """The fixture `settings`, where a test file has a function of that name."""
    return settings


@pytest.fixture
def typed(tmp_path, one_warm_server):
    """`python train.py …` as typed in an empty folder, in this process, on the file's fork server."""
    from trainlab import cli

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                cli.main(["train", *arguments])
            except SystemExit as end:
                return subprocess.CompletedProcess(
                    arguments, int(end.code or 0), out.getvalue(), err.getvalue()
                )
        raise AssertionError("a command ends with its exit code")

    return call
