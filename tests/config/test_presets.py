"""Presets: each opens with its question, command, expectation and time, and composes."""

import re
from pathlib import Path

import pytest
import yaml

from trainlab.config import catalogue, compose

PRESETS = sorted(catalogue("experiment"))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_opens_with_its_question(name):
    text = catalogue("experiment")[name].path.read_text()
    assert "?" in text.split("# Command:")[0] or ":" in text.split("# Command:")[0]
    for part in ("# Command: ", "# Expected: ", "# Time on 2 cores: "):
        assert part in text


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_time_is_at_most_ten_minutes(name):
    text = catalogue("experiment")[name].path.read_text()
    minutes = re.search(r"# Time on 2 cores: (\d+) minutes?", text)
    assert minutes and int(minutes[1]) <= 10


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_composes_in_each_of_its_arms(name):
    content = yaml.safe_load(Path(catalogue("experiment")[name].path).read_text())
    params = content.get("hydra", {}).get("sweeper", {}).get("params", {})
    arms = [[]]
    for key, values in params.items():
        arms = [[*arm, f"{key}={value}"] for arm in arms for value in str(values).split(",")]
    for arm in arms:
        compose([f"experiment={name}", *arm])
