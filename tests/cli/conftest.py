"""Runs on record that nobody has trained: what the commands over many runs read."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from trainlab.runs import Result, RunFolder, Verdict, run_id
from trainlab.runs.groups import add_to_group

FROZEN = json.loads((Path(__file__).parents[1] / "runs" / "frozen_example.json").read_text())["settings"]


@pytest.fixture
def recorded(tmp_path):
    """Writes a run below tmp_path/runs: its axes and plain settings, and its outcome; returns its folder."""

    def record(
        minute: int = 0, group: str | None = None, lr: float = 0.001, seed: int = 0, axes=None, **outcome
    ) -> RunFolder:
        settings = copy.deepcopy(FROZEN)
        settings["axes"] |= axes or {}
        for axis, name in (axes or {}).items():
            if isinstance(settings.get(axis), dict):
                settings[axis]["_target_"] = f"torch.nn.{name}"
        settings["optimizer"]["lr"] = lr
        settings |= {"seed": seed, "group": group}
        folder = RunFolder(tmp_path / "runs" / run_id(settings, "f" * 16))
        known: dict[str, Any] = {
            "status": "finished",
            "verdict": Verdict(learned=outcome.pop("learned", True)),
            "metrics": {"test/acc": outcome.pop("accuracy", 0.9)},
        }
        with folder.lock():
            folder.begin()
            folder.write_settings(settings)
            with folder.metrics_log() as log:
                log.append([(step, 0, "train/loss", 2.3 * 0.98**step) for step in range(1, 101)])
                log.append([(50 * e, e - 1, "val/acc", 0.4 * e) for e in (1, 2)])
            folder.finish(
                Result(
                    run_id=folder.run_id, axes=settings["axes"], seed=seed, group=group,
                    started=f"2026-03-01T10:{minute:02d}:00+00:00", **known | outcome,
                )
            )  # fmt: skip
        if group:
            add_to_group(folder.path.parent, group, [folder.run_id])
        return folder

    return record
