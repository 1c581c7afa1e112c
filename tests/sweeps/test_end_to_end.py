"""The command that people type, with real runs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainlab.errors import RequestError
from trainlab.runs import load_runs
from trainlab.runs.groups import groups, read_group
from trainlab.sweeps.engine import require_package

ROOT = Path(__file__).parents[2]
QUICK = (
    "data=digits", "data.image_size=16", "data.train_size=256", "data.val_size=64", "data.test_size=100",
    "data.batch_size=32", "model=plain_cnn", "depth=2", "width=4", "trainer.max_epochs=2", "logger=none",
)  # fmt: skip
GRID = ("activation=sigmoid,relu", "init=glorot,kaiming")


@pytest.fixture
def train(tmp_path, shared_cache):
    """Runs train.py in an empty folder; returns the finished process."""

    def run(*arguments: str, start=subprocess.run, **options):
        # Hydra wants its flags before or after all overrides
        flags = [a for a in arguments if a.startswith("-")]
        overrides = [*QUICK, f"paths.cache={shared_cache}", *(a for a in arguments if a not in flags)]
        command = [sys.executable, str(ROOT / "train.py"), *flags, *overrides]
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return start(command, cwd=tmp_path, **output, **options)

    return run


@pytest.fixture
def again(typed, shared_cache):
    """The same in this process, where nothing is to be learned from another."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return typed(*QUICK, f"paths.cache={shared_cache}", *arguments)

    return run


def metrics(runs: Path) -> dict[str, dict[str, float]]:
    return {p.parent.name: json.loads(p.read_text())["metrics"] for p in sorted(runs.glob("*/result.json"))}


def test_a_sweep_ends_with_the_answer_and_is_not_run_twice(train, again, tmp_path):
    first = train("-m", *GRID)
    assert first.returncode == 0, first.stdout
    for part in (
        "4 to do",
        "4 finished",
        "test/acc",
        "one seed each: no intervals",
        "seed=range(3)",
        "trainlab compare activation-init-",
    ):
        assert part in first.stdout
    runs = tmp_path / "runs"
    (group,) = groups(runs)
    table = load_runs(runs, group)
    assert set(table["status"]) == {"finished"} and table.height == 4
    assert set(table["group"]) == {group}
    assert table["threads"].to_list() == [1] * 4
    second = again("-m", *GRID)
    assert second.returncode == 0 and "4 finished, 0 to do" in second.stdout
    # one of them alone: it is done already; elsewhere: the same bits
    assert "done already" in again("activation=relu", "init=glorot").stdout
    alone = again("activation=relu", "init=glorot", "paths.runs=alone")
    assert alone.returncode == 0, alone.stdout
    ((run_id, values),) = metrics(tmp_path / "alone").items()
    assert values == metrics(runs)[run_id]


def test_what_fails_while_running_is_named_and_the_rest_goes_on(again, tmp_path):
    done = again("-m", "data.train_size=128,999999")
    assert done.returncode == 1
    assert "1 finished, 1 failed" in done.stdout
    assert "sweep.retry_failed=true" in done.stdout
    failed = load_runs(tmp_path / "runs").filter(status="failed")
    assert "999,999" in failed["error"].item()
    second = again("-m", "data.train_size=128,999999")
    assert second.returncode == 1 and "2 runs: 1 failed, 1 finished, 0 to do" in second.stdout


@pytest.mark.slow
def test_a_data_folder_that_disappears_fails_the_runs_that_still_need_it(train, tmp_path):
    pixels = np.random.default_rng(0)
    for split, count in (("train", 48), ("test", 8)):
        for name in ("a", "b"):
            folder = tmp_path / "data" / "mine" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(pixels.integers(0, 256, (16, 16), dtype=np.uint8)).save(folder / f"{i}.png")
    sizes = ("data.train_size=null", "data.test_size=null", "data.val_size=8")
    places = ("paths.data=data", "paths.cache=decoded")
    mine = ("data=image_folder", "data.folder=mine", "data.num_classes=2", "data.channels=1", *sizes, *places)
    sweep = ("-m", "seed=1,2", *mine, "trainer.max_epochs=60", "hydra.launcher.slots=1")
    going = train(*sweep, start=subprocess.Popen)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("runs/*/checkpoints/last.ckpt")) and time.monotonic() < until:
        time.sleep(0.05)
    (tmp_path / "data").rename(tmp_path / "gone")
    output, _ = going.communicate(timeout=120)
    assert going.returncode == 1 and "1 finished, 1 failed" in output, output
    assert "mine" in load_runs(tmp_path / "runs").filter(status="failed")["error"].item()
    # and it comes back
    (tmp_path / "gone").rename(tmp_path / "data")
    again = train(*sweep, "sweep.retry_failed=true")
    assert again.returncode == 0 and "2 finished" in again.stdout, again.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["activation=relu,rleu"], "did you mean 'relu'"),
        (
            ["seed=1,2", "hydra.launcher.slots=0"],
            "hydra.launcher.slots=0: expected greater than or equal to 1",
        ),
        (["seed=1,2", "hydra/launcher=locl"], "did you mean 'local'"),
        (["seed=1,2", "sweep.run_timeout=-1"], "sweep.run_timeout=-1"),
        *(
            (["seed=1,2", f"sweep.stack={value}"], f"sweep.stack={value}: expected auto, off, or the largest")
            for value in ("0", "-1", "1.5", "on", "many")
        ),
        (["seed=1,2", "sweep.stack=2,4"], "it cannot be swept"),
    ],
)
def test_a_wrong_request_is_one_line_and_starts_nothing(again, tmp_path, arguments, said):
    done = again("-m", *arguments)
    assert done.returncode == 2, done.stdout
    assert said in done.stderr
    assert (done.stdout + done.stderr).strip().count("\n") == 0
    assert not list(tmp_path.glob("runs/*/config.yaml"))


@pytest.mark.slow
def test_a_runs_folder_that_cannot_be_written_is_a_wrong_request(train):
    done = train("-m", "seed=1,2", "paths.runs=/proc/nowhere")
    assert done.returncode == 2 and "cannot write" in done.stdout


@pytest.mark.slow
def test_a_network_that_cannot_be_built_is_refused_before_anything_starts(train, tmp_path):
    done = train("-m", "model=vgg", "depth=11,12", "seed=1,2")
    assert done.returncode == 2, done.stdout
    assert "12" in done.stdout and not list(tmp_path.glob("runs/*/config.yaml"))


def test_a_single_run_is_no_stack(typed, tmp_path):
    done = typed("sweep.stack=4")
    assert done.returncode == 2 and done.stderr == (
        "trainlab: sweep.stack=4: for sweeps only; add -m, or leave it out\n"
    )


@pytest.mark.slow
def test_the_plan_shows_its_stacks(again, tmp_path):
    arguments = ("seed=0,1,2,3", "init=kaiming,glorot", "optimizer.lr=1e-3,1e-2", "trainer=cpu")
    done = again("-m", *arguments, "sweep.stack=4", "sweep.plan_only=true")
    assert done.returncode == 0, done.stderr
    line = "stack of 4 × 4: model=plain_cnn depth=2 activation=relu data=digits; differs in: seed, init, "
    assert f"{line}optimizer.lr" in done.stdout and "estimate" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_a_launcher_that_is_not_installed_says_what_to_install():
    with pytest.raises(
        RequestError, match=r"^hydra/launcher=x needs the package nope: pip install 'trainlab\[y\]'$"
    ):
        require_package("nope", "x", "y")


@pytest.mark.slow
def test_the_plan_alone_writes_nothing(train, tmp_path):
    done = train("-m", *GRID, "sweep.plan_only=true")
    assert done.returncode == 0, done.stdout
    assert "4 to do" in done.stdout and "estimate:" in done.stdout and "GiB" in done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_preset_brings_its_own_grid(train, tmp_path):
    preset = tmp_path / "conf" / "experiment" / "mine.yaml"
    preset.parent.mkdir(parents=True)
    preset.write_text(
        "# @package _global_\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {seed: 'range(3)', early_stop: '2,4'}}}\n"
    )
    done = train("experiment=mine", "seed=1,2")
    assert done.returncode == 0, done.stdout
    table = load_runs(tmp_path / "runs", settings=True)
    assert sorted(table.select("seed", "early_stop").rows()) == [(1, 2), (1, 4), (2, 2), (2, 4)]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["ray", "submitit_local", "basic"])
def test_the_same_sweep_gives_the_same_results_everywhere(train, tmp_path, launcher):
    if launcher == "ray":
        pytest.importorskip("ray")
    if launcher == "submitit_local":
        pytest.importorskip("submitit")
    here = train("-m", *GRID)
    there = train("-m", *GRID, f"hydra/launcher={launcher}", "paths.runs=there")
    assert here.returncode == there.returncode == 0, there.stdout
    assert len(metrics(tmp_path / "runs")) == 4
    assert metrics(tmp_path / "there") == metrics(tmp_path / "runs")
    assert read_group(tmp_path / "there", groups(tmp_path / "there")[0]) == read_group(
        tmp_path / "runs", groups(tmp_path / "runs")[0]
    )


@pytest.mark.slow
def test_ctrl_c_leaves_checkpoints_from_which_the_same_command_goes_on(train, tmp_path):
    long = ("-m", "seed=1,2,3", "trainer.max_epochs=150", "hydra.launcher.slots=2")
    sweep = train(*long, start=subprocess.Popen, start_new_session=True)
    runs = tmp_path / "runs"
    until = time.monotonic() + 60
    while len(list(runs.glob("*/checkpoints/last.ckpt"))) < 2 and time.monotonic() < until:
        time.sleep(0.2)
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does: to the whole group
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 1, output
    assert "2 interrupted" in output and "to continue: the same command" in output
    assert sorted(load_runs(runs)["status"]) == ["interrupted", "interrupted"]
    again = train(*long)
    assert again.returncode == 0, again.stdout
    straight = train(*long, "paths.runs=straight")
    assert straight.returncode == 0
    assert metrics(runs) == metrics(tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="two gloo processes are tested on Linux")
def test_runs_over_two_devices_inside_a_sweep(train, tmp_path):
    done = train("-m", "seed=1,2", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    assert done.returncode == 0, done.stdout
    table = load_runs(tmp_path / "runs")
    assert table["devices"].to_list() == [2, 2]
    assert set(table["status"]) == {"finished"}


@pytest.mark.slow
def test_a_long_folder_for_temporary_files_stops_no_sweep(train, tmp_path):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    done = train("-m", "seed=1,2", env=os.environ | {"TMPDIR": str(long)})
    assert done.returncode == 0, done.stdout
    assert "2 finished" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ulimit -v")
def test_too_little_memory_is_one_line(train):
    def limit() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (1200 * 2**20,) * 2)

    done = train("-m", "seed=1,2", preexec_fn=limit)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stdout
    said = done.stdout.splitlines()[-1]  # a library may have said something of its own before
    assert said.startswith("trainlab: ") and "memory is limited to 1.2 GiB" in said
