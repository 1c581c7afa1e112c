"""W&B mirrors the record: read back from the offline files, as W&B itself would."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import polars as pl
import pytest
import wandb

from trainlab import runs
from trainlab.training import tracking, wandb_connection, wandb_tracking
from trainlab.training.classifier import Classifier
from trainlab.training.wandb_tracking import (
    ANSWER_SECONDS,
    UNREACHABLE_SECONDS,
    _choose_mode,
    next_wandb_id,
    wandb_logger,
)
from trainlab.training.worker import run_config_file


def wandb_file(folder: Path) -> Path:
    files = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 1
    return files[0]


def inspect(folder: Path) -> dict:
    """State, exit code, config and metrics of an offline run, by W&B's own reader."""
    command = [
        sys.executable,
        "-m",
        "wandb",
        "leet",
        "inspect",
        "--summary",
        "--json",
        str(wandb_file(folder)),
    ]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_each_run_is_its_own_with_group_tags_config_metrics_and_summary(run):
    """Two runs in one process: neither leaks into the other."""
    first, first_folder = run("logger=wandb", "group=pair", "activation=tanh")
    second, second_folder = run("logger=wandb", "group=pair", "activation=relu", "seed=3")
    for result, folder, activation in ((first, first_folder, "tanh"), (second, second_folder, "relu")):
        told = json.dumps(inspect(folder.path))
        record = read(folder.path)
        assert record["run"]["run_id"] == result.run_id
        assert record["run"]["run_group"] == "pair"
        assert f"activation={activation}" in record["run"]["tags"]
        assert record["config"]["seed"] == result.seed
        assert record["config"]["activation"]["_target_"].startswith("torch.nn.")
        assert "paths" not in record["config"]
        assert record["summary"]["test/acc"] == pytest.approx(result.metrics["test/acc"])
        assert record["summary"]["val/loss"] == pytest.approx(result.metrics["val/loss"])
        epochs = [row["val/acc"] for row in record["history"] if "val/acc" in row]
        assert len(epochs) == 2 and epochs[-1] == pytest.approx(result.metrics["val/acc"])
        assert record["exit_code"] == 0
        assert result.run_id in told


def test_a_failed_run_is_shown_as_failed(settings, monkeypatch):
    def broken(self, batch, batch_idx):
        raise ValueError("planted")

    monkeypatch.setattr("trainlab.training.classifier.Classifier.training_step", broken)
    frozen = settings("logger=wandb")
    folder = Path(frozen.paths.runs) / frozen.run_id
    from trainlab.runs import RunFolder

    RunFolder(folder).write_settings(frozen)
    assert run_config_file(folder / "config.yaml") == 1
    assert read(folder)["exit_code"] == 1


def test_the_tracker_never_decides_whether_a_run_succeeds(run, monkeypatch):
    """An online server that cannot be reached: the run is kept offline and finishes."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr("trainlab.training.wandb_tracking.INIT_TIMEOUT_SECONDS", 2)
    result, folder = run("logger=wandb")
    assert result.status == "finished"
    assert wandb_file(folder.path)


@pytest.mark.parametrize("logger,file", [("csv", "csv/metrics.csv"), ("tensorboard", "tensorboard/events*")])
def test_other_trackers_write_into_the_runs_folder(run, logger, file):
    _, folder = run(f"logger={logger}")
    assert list(folder.path.glob(file))


def test_a_run_outlives_the_service_of_its_tracker(run, monkeypatch):
    """`wandb-core` is killed in the middle of it."""
    step, killed = Classifier.training_step, []

    def killing(self, batch, batch_idx):
        if self.global_step == 3:
            killed.extend(_service_pids())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Classifier, "training_step", killing)
    result, folder = run("logger=wandb", "signals=off")
    assert killed and result.status == "finished" and len(result.metrics) == 6
    [warning] = folder.result().warnings
    assert warning.startswith("Wandb failed") and "the record has all" in warning
    monkeypatch.undo()
    again, folder = run("logger=wandb", "seed=1", "signals=off")
    assert again.status == "finished" and not folder.result().warnings, "the next one in this process has W&B"
    assert read(folder.path)["exit_code"] == 0


def _service_pids() -> list[int]:
    """The W&B services that this process has started."""
    of_ours = f"--pid\0{os.getpid()}\0"
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if "wandb-core" in words and of_ours in words + "\0":
            found.append(int(line.parent.name))
    return found


@pytest.mark.parametrize("mode", ["off", "none", "disabled", "DISABLED"])
def test_wandb_mode_as_people_switch_it_off(run, monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    result, folder = run("logger=wandb", "trainer.max_steps=2", "signals=off")
    assert result.status == "finished" and not folder.result().warnings
    assert not (folder.path / "wandb").exists()


def test_a_wandb_mode_that_there_is_not_is_a_warning(run, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    result, folder = run("logger=wandb", "trainer.max_steps=2", "signals=off")
    [warning] = folder.result().warnings
    assert result.status == "finished" and "WANDB_MODE=sometimes" in warning
    assert wandb_file(folder.path)


@pytest.mark.parametrize("error", [PermissionError("home"), ValueError("netrc"), KeyError("host")])
def test_an_account_that_cannot_be_read_is_a_warning(told, monkeypatch, error):
    def unreadable():
        raise error

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb_connection, "_has_credentials", unreadable)
    assert _choose_mode(told()) == "offline"
    assert len(told.warnings) == 1 and "cannot be read" in told.warnings[0]


def test_a_server_that_is_away_is_asked_once_for_many_runs_and_said_in_each(told, monkeypatch):
    asked = []
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb_connection, "has_api_key", lambda warn: True)
    monkeypatch.setattr(
        wandb_connection, "unreachable_reason", lambda seconds: asked.append(seconds) or "away"
    )
    assert [_choose_mode(told(name)) for name in "abc"] == ["offline"] * 3
    assert asked == [ANSWER_SECONDS] and len(told.warnings) == 3
    assert all("away" in line and "trainlab sync" in line for line in told.warnings)
    later = time.time() + 2 * UNREACHABLE_SECONDS
    monkeypatch.setattr(wandb_tracking.time, "time", lambda: later)
    monkeypatch.setattr(wandb_connection, "unreachable_reason", lambda seconds: None)
    assert _choose_mode(told("d")) == "online"


def test_a_server_whose_address_is_searched_for_ever_takes_no_longer_than_it_may(monkeypatch):
    monkeypatch.setattr(wandb_connection, "server_url", lambda: "http://nowhere.invalid")
    monkeypatch.setattr(wandb_connection, "_probe", lambda *_: time.sleep(1))
    since = time.monotonic()
    assert "no answer in 0.05 s" in (wandb_connection.unreachable_reason(0.05) or "")
    assert time.monotonic() - since < 0.9


def test_each_attempt_has_curves_of_its_own_and_a_resumed_run_goes_on_with_its_last(told):
    def ran(wandb_id: str, when: str, kind: str = "offline-run"):
        folder = told.root / "a" / "wandb" / f"{kind}-{when}-{wandb_id}"
        folder.mkdir(parents=True)
        (folder / f"run-{wandb_id}.wandb").write_text("")

    assert next_wandb_id(told()) == next_wandb_id(told(resumes=True)) == "a"
    ran("a", "20260101_000000")
    assert next_wandb_id(told()) == "a-2" and next_wandb_id(told(resumes=True)) == "a"
    ran("a-2", "20260102_000000", "run")
    assert next_wandb_id(told()) == "a-3" and next_wandb_id(told(resumes=True)) == "a-2"


def test_a_run_that_failed_and_is_tried_again_leaves_the_failed_curves_alone(run, settings, monkeypatch):
    def broken(self, batch, batch_idx):
        raise ValueError("planted")

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", broken)
        with pytest.raises(ValueError, match="planted"):
            run("logger=wandb", "signals=off")
    result, folder = run("logger=wandb", "signals=off")
    ids = sorted(path.stem for path in folder.path.glob("wandb/offline-run-*/run-*.wandb"))
    assert ids == [f"run-{result.run_id}", f"run-{result.run_id}-2"]


def test_the_loss_of_a_step_means_one_thing(run, monkeypatch):
    """In the record a step's own; trackers get the mean since the last reading, under a name of its own."""
    sent: dict[str, float] = {}
    log_metrics = tracking.CSVLogger.log_metrics

    def kept(self, metrics, step=None):
        sent.update(metrics)
        log_metrics(self, metrics, step)

    monkeypatch.setattr(tracking.CSVLogger, "log_metrics", kept)
    _, folder = run("logger=csv", "signals=off")
    losses = runs.read_metrics(folder.path).filter(pl.col("name") == "train/loss_step")["value"]
    assert "train/loss_step" not in sent
    assert sent["train/loss_lately"] == pytest.approx(losses[8:].mean())


@pytest.mark.parametrize(
    ("says", "ids", "modes", "warns"),
    [
        ("run a already exists", ["a", "a-"], ["online", "online"], False),
        ("timed out", ["a", None], ["online", "offline"], True),
    ],
)
def test_what_the_server_refuses_is_begun_otherwise(told, monkeypatch, says, ids, modes, warns):
    """Made on another machine: an id of its own. Too slow: offline."""
    begun: list[dict] = []

    def init(**given):
        begun.append(given)
        if len(begun) == 1:
            raise wandb.errors.CommError(says)
        return SimpleNamespace(config={}, step=0)

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb_tracking, "_choose_mode", lambda context: "online")
    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.setattr(wandb_tracking, "ManagedWandbLogger", lambda **given: given["experiment"])
    wandb_logger(told())
    assert [given["mode"] for given in begun] == modes
    assert begun[0]["id"] == ids[0] and begun[0]["resume"] == "never"
    second = begun[1]["id"]
    assert second is None if ids[1] is None else second.startswith(ids[1]) and len(second) > len(ids[1])
    assert bool(told.warnings) == warns


@pytest.fixture
def told(tmp_path):
    """Makes what a tracker is told of a run; keeps the warnings."""

    class Told:
        root = tmp_path
        warnings: ClassVar[list[str]] = []

        def __call__(self, name: str = "a", resumes: bool = False) -> tracking.RunContext:
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            return tracking.RunContext(folder, name, name, None, resumes=resumes, warn=self.warnings.append)

    made = Told()
    made.warnings.clear()
    return made


def read(folder: Path) -> dict:
    """The records of a .wandb file of a run that is over; W&B writes the last one a moment later."""
    until = time.monotonic() + 10
    while (found := read_now(folder))["exit_code"] is None and time.monotonic() < until:
        time.sleep(0.02)
    return found


def read_now(folder: Path) -> dict:
    """The records of a .wandb file: run, config, history rows, summary, exit code."""
    from wandb.proto import wandb_internal_pb2

    pb: Any = wandb_internal_pb2  # its classes are made at import
    found: dict = {"history": [], "summary": {}, "exit_code": None}
    for data in leveldb_records(wandb_file(folder).read_bytes()):
        record = pb.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found["run"] = {
                "run_id": record.run.run_id,
                "run_group": record.run.run_group,
                "tags": list(record.run.tags),
            }
            found["config"] = {u.key: json.loads(u.value_json) for u in record.run.config.update}
        elif kind == "history":
            row = {}
            for item in record.history.item:
                key = item.key or "/".join(item.nested_key)
                row[key] = json.loads(item.value_json)
            found["history"].append(row)
            found["summary"] |= row
        elif kind == "exit":
            found["exit_code"] = record.exit.exit_code
    return found


def leveldb_records(content: bytes):
    """The payloads of LevelDB-style log blocks of 32,768 bytes after W&B's 7-byte header."""
    block, position, parts = 32768, 7, []
    while position + 7 <= len(content):
        left = block - position % block
        if left < 7:
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]
        if kind == 0 and length == 0:
            position += left
            continue
        parts.append(content[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


class _WandbWithoutService(wandb_tracking.ManagedWandbLogger):
    def __init__(self) -> None:
        """No run of W&B."""

    def log_metrics(self, metrics, step=None) -> None:
        raise ConnectionError("the service is gone")


def test_wandb_is_torn_down_with_the_last_of_a_process_that_it_fails(monkeypatch):
    """A stack has a tracker for each run: what one of them meets must not end the others'."""
    torn_down = []
    monkeypatch.setattr(tracking, "_tear_down_wandb", lambda: torn_down.append(True))
    warnings: list[str] = []
    first, second = (tracking.FaultTolerantLogger(_WandbWithoutService(), warnings.append) for _ in range(2))
    first.log_metrics({"train/loss": 1.0}, step=0)
    assert not torn_down and len(warnings) == 1
    second.log_metrics({"train/loss": 1.0}, step=0)
    assert torn_down == [True] and len(warnings) == 2
