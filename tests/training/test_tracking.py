"""W&B mirrors the record: read back from the offline files, as W&B itself would."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainlab.training.worker import work


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
    folder = Path(frozen["paths"]["runs"]) / frozen["run_id"]
    from trainlab.runs import RunFolder

    RunFolder(folder).write_settings(frozen)
    assert work(folder / "config.yaml") == 1
    assert read(folder)["exit_code"] == 1


def test_the_tracker_never_decides_whether_a_run_succeeds(run, monkeypatch):
    """An online server that cannot be reached: the run is kept offline and finishes."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr("trainlab.training.tracking.INIT_TIMEOUT_SECONDS", 2)
    result, folder = run("logger=wandb")
    assert result.status == "finished"
    assert wandb_file(folder.path)


@pytest.mark.parametrize("logger,file", [("csv", "csv/metrics.csv"), ("tensorboard", "tensorboard/events*")])
def test_other_trackers_write_into_the_runs_folder(run, logger, file):
    _, folder = run(f"logger={logger}")
    assert list(folder.path.glob(file))


def read(folder: Path) -> dict:
    """The records of a .wandb file of a run that is over; W&B writes the last one a moment later."""
    until = time.monotonic() + 10
    while (found := read_now(folder))["exit_code"] is None and time.monotonic() < until:
        time.sleep(0.02)
    return found


def read_now(folder: Path) -> dict:
    """The records of a .wandb file: run, config, history rows, summary, exit code."""
    from wandb.proto import wandb_internal_pb2 as pb

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
