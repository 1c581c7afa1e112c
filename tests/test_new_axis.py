"""An axis is one declaration, a folder of YAML and a class: everything else of the platform follows from it.

A copy of the project gets an axis, whose option is called with the finished network; nothing else of the copy
is changed, and each part of the platform is asked for it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from trainlab.config import compose, identify

ROOT = Path(__file__).parents[1]
DECLARATION = """    Axis(
        "temperature", "scale of the logits", wraps_network=True, in_checkpoint=True, control=6,
        remedies={"overfitting": "cool", "labels_unlearnable": "cool"},
        classes_in=("trainlab.nn.temperature",), base="torch.nn.Module",
    ),
"""
CLASS = '''"""Logits divided by a temperature."""

from torch import Tensor, nn


class Temperature(nn.Module):
    """A network whose logits are divided by `degree`."""

    def __init__(self, network: nn.Module, degree: float = 1.0):
        super().__init__()
        self.network, self.degree = network, degree

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits_NK."""
        return self.network(x_NCHW) / self.degree
'''
OPTIONS = {
    "none": "# the logits as they are\n_target_: null\n",
    "cool": "# logits of half the size\n# Paper: Hinton et al. 2015, arXiv:1503.02531\n"
    "_target_: trainlab.nn.temperature.Temperature\n_partial_: true\ndegree: 2.0\n",
}
SMALL = ("model=mlp", "depth=2", "width=8", "data.image_size=8", "logger=none", "trainer=cpu", "signals=off",
         "data.train_size=64", "data.val_size=32", "data.test_size=32", "trainer.max_steps=2")  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The copy, with its axis; gives what runs a command or a script in it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    axes = folder / "src" / "trainlab" / "axes.py"
    text = axes.read_text(encoding="utf-8")
    before = '    Axis("trainer", '
    assert text.count(before) == 1
    axes.write_text(text.replace(before, DECLARATION + before), encoding="utf-8")
    (folder / "src" / "trainlab" / "nn" / "temperature.py").write_text(CLASS, encoding="utf-8")
    (folder / "conf" / "temperature").mkdir()
    for name, content in OPTIONS.items():
        (folder / "conf" / "temperature" / f"{name}.yaml").write_text(content, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"}

    def call(*arguments: str) -> str:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def test_it_is_among_the_options_and_in_the_help(project):
    listed = project("-m", "trainlab", "options", "temperature")
    assert "scale of the logits" in listed and "logits of half the size" in listed and "1503.02531" in listed
    assert "temperature=" in project("-m", "trainlab", "train", "--help")
    wrong = "from trainlab.config import compose\ntry:\n    compose(['temperature=cold'])\n"
    wrong += "except Exception as error:\n    print(error)"
    assert "did you mean 'cool'" in project("-c", wrong)


def test_it_is_part_of_a_runs_identity_and_changes_no_other_run(project, settings):
    script = """
import json, sys
from trainlab.config import compose, identify
from trainlab.settings import RunSettings
plain = json.loads(sys.argv[1])
old = RunSettings.from_record(json.loads(sys.argv[2]))
ids = [identify(compose([*plain, *more])).run_id for more in ([], ["temperature=none"], ["temperature=cool"])]
cool = identify(compose([*plain, "temperature=cool", "temperature.degree=3.0"]))
answers = [cool.run_id, cool.axes["temperature"], old.temperature.target, cool.temperature.is_trusted]
print(json.dumps([*ids, *answers]))
"""
    here = settings(*SMALL)
    places = [f"paths.{name}={path}" for name, path in here.paths.to_plain().items()]
    plain = ["trainer.max_epochs=null", *SMALL, *places]
    expected = identify(compose(plain)).run_id
    told = project("-c", script, json.dumps(plain), json.dumps(here.to_plain()))
    default, none, cool, warmer, name, of_old_record, is_trusted = json.loads(told)
    assert default == none == expected, "runs from before keep their names"
    assert len({default, cool, warmer}) == 3 and name == "cool"
    assert of_old_record is None, "records from before the axis load"
    assert is_trusted


def test_it_is_trained_compared_and_rebuilt_from_a_checkpoint(project, tmp_path, shared_cache):
    runs = tmp_path / "runs"
    places = (f"paths.runs={runs}", f"paths.cache={shared_cache}")
    project("-m", "trainlab", "train", "-m", "temperature=none,cool", *SMALL, *places)
    compared = json.loads(project("-m", "trainlab", "compare", "--runs", str(runs), "--json"))
    assert {row["temperature"] for row in compared["rows"]} == {"none", "cool"}
    script = """
import json, sys
from pathlib import Path
from trainlab.serving.saved_model import load_run_model
models = [load_run_model(path.parent)[0] for path in Path(sys.argv[1]).glob("*/result.json")]
print(json.dumps(sorted(type(model.network).__name__ for model in models)))
"""
    assert json.loads(project("-c", script, str(runs))) == ["MLP", "Temperature"], "as a stranger's, too"


def test_it_is_forecast(project, shared_cache):
    paths = f"paths.cache={shared_cache}"
    answer = project("-m", "trainlab", "preflight", "-m", "temperature=none,cool", "--json", *SMALL, paths)
    assert [row["configuration"] for row in json.loads(answer)] == ["temperature=none", "temperature=cool"]


def test_explain_offers_it_and_the_app_has_a_control_for_it(project):
    script = """
from trainlab.config import compose
from trainlab.diagnosis.evidence import SettingsSummary
from trainlab.diagnosis.remedy import suggest_remedy
setup = SettingsSummary.from_settings(compose())
print(suggest_remedy("labels_unlearnable", setup), suggest_remedy("overfitting", setup))
"""
    assert project("-c", script).split() == ["temperature=cool", "augment=flip_crop"]
    pytest.importorskip("streamlit")
    script = """
from pathlib import Path
import trainlab.app.pages
from streamlit.testing.v1 import AppTest
path = Path(trainlab.app.__file__).parent / "pages" / "will_it_learn.py"
page = AppTest.from_file(str(path), default_timeout=240).run()
print(*[box.options for box in page.selectbox if box.label == "temperature"])
"""
    shown = project("-c", script)
    assert shown.strip() == "['cool', 'none']"
