"""A small sweep, tracked offline once for all tests here, and the command as a user starts it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from wandb_server import serving

SWEEP = "pair"
KEY = "0" * 40
SHARED = (
    "data=digits", "data.image_size=16", "data.train_size=128", "data.val_size=64", "data.test_size=100",
    "data.batch_size=32", "model=plain_cnn", "depth=2", "width=4", "trainer=cpu", "trainer.threads=1",
    "trainer.max_epochs=2", "logger=wandb",
)  # fmt: skip


@pytest.fixture(scope="session")
def tracked(tmp_path_factory):
    """The folder of three runs of the sweep; the last was run by another sweep first, and has BatchNorm."""
    from trainlab.config import compose, identify
    from trainlab.runs.groups import add_to_group
    from trainlab.training.environment import configure_process
    from trainlab.training.run import train

    configure_process()
    folder = tmp_path_factory.mktemp("mirror")
    shared = [*SHARED, f"paths.runs={folder / 'runs'}", f"paths.cache={folder / 'cache'}"]
    jobs = (
        ("activation=relu", f"group={SWEEP}"),
        ("activation=tanh", f"group={SWEEP}"),
        ("activation=relu", "norm_layer=batchnorm", "group=earlier"),
    )
    for job in jobs:
        result = train(identify(compose([*shared, *job])))
        add_to_group(folder / "runs", SWEEP, [result.run_id])
    return folder / "runs"


@pytest.fixture
def runs(tracked, tmp_path):
    """A copy of the runs, to be marked as uploaded."""
    return Path(shutil.copytree(tracked, tmp_path / "runs", symlinks=True))


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Nobody's home: no key is configured."""
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start(environment, tmp_path):
    """Starts `trainlab …` with a key for a server, as a process of its own that Ctrl-C reaches."""
    # where the tests were started in the background a child would inherit that it is ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def go(url: str, *arguments: str) -> subprocess.Popen:
        own = {**os.environ, "WANDB_BASE_URL": url, "WANDB_API_KEY": KEY, "PYTHONUNBUFFERED": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", "trainlab", *arguments],
            env=own, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    yield go
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def trainlab(start):
    """`trainlab …` with a key for a server; (exit code, what it printed, its error lines)."""

    def call(url: str, *arguments: str) -> tuple[int, str, str]:
        process = start(url, *arguments)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err

    return call
