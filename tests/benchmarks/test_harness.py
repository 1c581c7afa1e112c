"""The harness runs at its smallest size and writes what the README is made of."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=REPOSITORY, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_quick_benchmark_writes_its_figures_and_skips_what_it_has_no_data_for(tmp_path):
    out = tmp_path / "figures.json"
    done = bench("front_door", "start", "memory", "--quick", "--out", str(out), TRAINLAB_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    assert told["quick"] is True and told["machine"]["cores"] >= 1 and "torch" in told["versions"]
    measures = {measure["name"]: measure for measure in told["measures"]}
    help_measure = measures["trainlab --help"]
    assert help_measure["value"] == help_measure["medians"]["trainlab --help"] > 0
    assert help_measure["at_most"] == 0.7 and help_measure["reached"] is (help_measure["value"] <= 0.7)
    assert measures["torch imported by --help"]["value"] == 0
    assert measures["start in a warm slot, logger=none"]["value"] > 0
    assert len(measures["start in a warm slot, logger=wandb"]["rounds"]["wandb"]) == 2
    assert measures["memory"]["value"] is None and "cifar10" in measures["memory"]["skipped"]
    assert "skipped" in done.stdout and "trainlab --help" in done.stdout


def test_an_unknown_measure_is_refused():
    done = bench("througput")
    assert done.returncode == 2 and "throughput" in done.stderr
