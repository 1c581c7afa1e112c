import copy
import json
from pathlib import Path
from typing import Any

import pytest

from trainlab.runs import Result, RunFolder, Verdict, run_id

FROZEN = json.loads((Path(__file__).parent / "frozen_example.json").read_text())


@pytest.fixture(scope="session")
def settings_of():
    """The frozen example's settings with changes given as dotted__names."""
    return _settings_of


@pytest.fixture(scope="session")
def result_of():
    """The result of a run that went well, with changes."""
    return _result_of


def _settings_of(**changes) -> dict:
    settings = copy.deepcopy(FROZEN["settings"])
    for name, value in changes.items():
        *path, last = name.split("__")
        node = settings
        for key in path:
            node = node[key]
        node[last] = value
    return settings


def _result_of(name: str, **changes) -> Result:
    values: dict[str, Any] = {
        "run_id": name,
        "status": "finished",
        "verdict": Verdict(learned=True),
        "metrics": {"test/acc": 0.9, "test/loss": 0.3},
        "axes": {"activation": "relu", "init": "kaiming", "depth": 4},
        "seed": 0,
        "data": {"name": "digits", "fingerprint": "f" * 16, "copy": "embedded"},
        "machine": {"device": "cpu", "threads": 1, "devices": 1},
    }
    return Result(**values | changes)


@pytest.fixture
def make_run(tmp_path):
    """Writes a whole run below tmp_path/runs and returns its folder."""

    def make(name: str | None = None, settings: dict | None = None, **result) -> RunFolder:
        settings = settings or _settings_of()
        folder = RunFolder(tmp_path / "runs" / (name or run_id(settings, "fingerprint")))
        with folder.lock():
            folder.begin()
            folder.write_settings(settings)
            with folder.metrics_log() as log:
                log.append([(1, 0, "train/loss", 2.3), (2, 0, "train/loss", 1.9)])
            folder.finish(_result_of(folder.run_id, **result))
        return folder

    return make
