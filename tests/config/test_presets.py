"""Presets: each opens with its question, command, expectation and time, and composes."""

import re
from itertools import product
from pathlib import Path

import pytest
import yaml

from trainlab.config import catalogue, compose

PRESETS = sorted(catalogue("experiment"))
LONGER = {"grid": 40, "speedrun_cifar10": 60}
"""Minutes on two cores of the grid, and of what is made for a GPU and takes seconds there."""
MANY_ARMS = 32
"""Of a preset with more, each level is composed once, in the place of each combination."""


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_opens_with_its_question(name):
    text = catalogue("experiment")[name].path.read_text()
    assert "?" in text.split("# Command:")[0] or ":" in text.split("# Command:")[0]
    for part in ("# Command: ", "# Expected: ", "# Time on 2 cores: "):
        assert part in text


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_time_is_at_most_ten_minutes_but_of_two(name):
    text = catalogue("experiment")[name].path.read_text()
    minutes = re.search(r"# Time on 2 cores: (\d+) minutes?", text)
    assert minutes and int(minutes[1]) <= LONGER.get(name, 10)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_composes_in_each_of_its_arms(name):
    content = yaml.safe_load(Path(catalogue("experiment")[name].path).read_text())
    params = content.get("hydra", {}).get("sweeper", {}).get("params", {})
    levels = [[f"{key}={value}" for value in str(values).split(",")] for key, values in params.items()]
    arms = list(product(*levels))
    if len(arms) > MANY_ARMS:
        base = [of[0] for of in levels]
        arms = [(*base[:i], level, *base[i + 1 :]) for i, of in enumerate(levels) for level in of]
    for arm in arms:
        compose([f"experiment={name}", *arm])
