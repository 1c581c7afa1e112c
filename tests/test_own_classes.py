"""One's own classes: the recipes of the docstrings run in an empty folder; what does not fit is told why."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from zipfile import ZipFile

import pytest

from trainlab import cli, project
from trainlab.runs import RunFolder
from trainlab.runs.run_folder import run_status

ROOT = Path(__file__).parents[1]
QUICK = (
    "data.train_size=200", "data.val_size=64", "data.test_size=64", "trainer.max_steps=3", "trainer=cpu",
    "trainer.threads=1", "logger=none",
)  # fmt: skip
DOCUMENTED = ("trainlab.nn", "trainlab.models", "trainlab.data.dataset_sources")


def files_of(docstring: str) -> dict[str, str]:
    """The files that a docstring shows: indented blocks, each after a line `# path`."""
    found: dict[str, list[str]] = {}
    name = None
    for line in docstring.splitlines():
        if marked := re.fullmatch(r"    # ([\w/]+\.(?:py|yaml))", line):
            name = marked[1]
            found.setdefault(name, [])
        elif name and (line.startswith("    ") or not line.strip()):
            found[name].append(line)
        else:
            name = None
    return {path: textwrap.dedent("\n".join(lines)).strip() + "\n" for path, lines in found.items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty project, from which commands are given in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.delenv(project.PROJECT_VARIABLE, raising=False)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]
    os.environ.pop(project.PROJECT_VARIABLE, None)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def documented() -> dict[str, str]:
    return {
        k: v for name in DOCUMENTED for k, v in files_of(importlib.import_module(name).__doc__ or "").items()
    }


def test_the_docstrings_show_one_of_each_kind():
    shown = {Path(name).parent.name for name in documented() if name.endswith(".yaml")}
    assert shown == {
        "activation", "pool", "norm_layer", "init", "normalization", "optimizer", "scheduler", "augment",
        "model", "data",
    }  # fmt: skip


def test_what_the_docstrings_show_trains(folder, call_command, shared_cache):
    files = documented()
    write(folder, files)
    mine = [f"{Path(f).parent.name}={Path(f).stem}" for f in files if f.endswith(".yaml")]
    code, _, err = call_command("train", *mine, *QUICK, f"paths.cache={shared_cache}")
    assert code == 0, err
    (run,) = [path.parent for path in folder.glob("runs/*/result.json")]
    assert run_status(run) == "finished"
    axes = RunFolder(run).settings().axes
    assert axes["model"] == "two_layers" and axes["activation"] == "sine" and axes["data"] == "noise"
    others = [word for word in mine if not word.startswith(("model=", "data="))]
    code, _, err = call_command("anatomy", "model=plain_cnn", "data.image_size=16", *others)
    assert code == 0, err


MODULE = """
from torch import nn

class Fixed(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()

class Sloped(nn.Module):
    def __init__(self, slope):
        super().__init__()

class Plain(nn.Module):
    def forward(self, x):
        return x

class NoRoot:
    def find(self):
        return None

def fill(layer):
    pass

def schedule(optimizer):
    return None

def optimizer():
    return None

def augment(x_NCHW):
    return x_NCHW
"""
CALLS = {
    ("model", "Fixed", True): "(in_shape_CHW, num_classes, activation, norm_layer, pool)",
    ("model", "Sloped", False): "_partial_: true",
    ("activation", "Sloped", True): "activation is called with ()",
    ("activation", "Plain", False): "_partial_: true",
    ("pool", "Sloped", True): "pool is called with ()",
    ("norm_layer", "Plain", True): "norm_layer is called with (num_features)",
    ("normalization", "Plain", True): "normalization is called with (mean_C, std_C)",
    ("init", "fill", True): "init is called with (layer, negative_slope=0.0)",
    ("scheduler", "schedule", True): "scheduler is called with (optimizer, total_steps)",
    ("optimizer", "optimizer", True): "optimizer is called with (parameters)",
    ("augment", "augment", True): "augment is called with (x_NCHW, generator)",
    ("data", "NoRoot", False): "expected find(root)",
    ("activation", "Missing", True): "Missing",
}


@pytest.mark.parametrize("axis,name,is_partial", CALLS)
def test_what_cannot_be_called_so_is_told_how_it_is_called(folder, call_command, axis, name, is_partial):
    node = f"_target_: my_calls.{name}\n" + "_partial_: true\n" * is_partial
    if axis == "norm_layer":
        node = "position: before_activation\nlayer:\n" + textwrap.indent(node, "  ")
    if axis == "optimizer":
        node += "lr: 0.1\n"
    if axis == "data":
        node = documented()["conf/data/noise.yaml"].replace(
            "{_target_: my_images.Noise, classes: 2}", f"\n  {node}"
        )
    write(folder, {"my_calls.py": MODULE, f"conf/{axis}/mine.yaml": node})
    code, _, err = call_command("train", f"{axis}=mine", *QUICK)
    assert code == 2 and CALLS[axis, name, is_partial] in err and err.count("\n") == 1
    assert not list(folder.glob("runs/*")), "nothing was begun"


def test_a_project_hides_no_package_and_only_a_folder_with_conf_is_one(folder, monkeypatch):
    (folder / "yaml.py").write_text("raise RuntimeError('a file of the project')")
    project.add_to_path()
    assert str(folder) not in sys.path, "no conf/, no project"
    (folder / "conf").mkdir()
    project.add_to_path()
    assert sys.path[-1] == str(folder)
    importlib.reload(importlib.import_module("yaml"))


@pytest.mark.slow
def test_the_recipe_works_from_an_installed_wheel_in_an_empty_folder(tmp_path):
    """As a reader of the README has it: a wheel, its console script, an empty folder, no checkout."""
    pytest.importorskip("hatchling", reason="what builds the wheel; pip install hatchling")
    source, dist, site, here = (tmp_path / name for name in ("source", "dist", "site", "here"))
    source.mkdir()
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    assert "trainlab/py.typed" in ZipFile(wheel).namelist()
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    here.mkdir()
    write(here, documented())
    environment = {
        k: v for k, v in os.environ.items() if k not in (project.PROJECT_VARIABLE, "TRAINLAB_RUNS")
    }
    environment |= {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"}  # no current folder on the path by itself

    def trainlab(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(site / "bin" / "trainlab"), *arguments]
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True)

    where = trainlab("--version")
    assert where.returncode == 0 and cli.__version__ in where.stdout, where.stderr
    done = trainlab("train", "activation=sine", "data=noise", *QUICK)
    assert done.returncode == 0, done.stderr
    sweep = trainlab("train", "-m", "activation=sine,relu", "model=two_layers", "pool=max,smallest", *QUICK)
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    (run,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("run ")]
    refused = trainlab("evaluate", run)
    assert refused.returncode == 2 and "TRAINLAB_ALLOW=" in refused.stderr
    environment["TRAINLAB_ALLOW"] = "my_pieces.,my_images."
    assert trainlab("evaluate", run).returncode == 0
