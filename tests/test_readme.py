"""The README keeps its word: its commands run, its tables are what was recorded, its picture is there."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainlab import cli
from trainlab.runs.groups import add_to_group

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("TRAINLAB_DATA", ROOT.parent / "shared" / "data")).absolute()
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [
    line.split("  #")[0].strip() for block in blocks("bash") for line in block.splitlines() if line.strip()
]
TRAIN = [c for c in COMMANDS if c.startswith("python train.py")]
OTHER = [c for c in COMMANDS if c.startswith("trainlab")]
# Small enough for a test: what the README's command asks for, done in a few steps
SMALL = (
    "trainer.max_steps=2",
    "trainer.max_epochs=1",
    "data.val_size=64",
    "data.test_size=100",
    "logger=none",
)


pytestmark = pytest.mark.usefixtures("one_warm_server")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


def call(command: str, folder: Path) -> Answer:
    """The command as typed in `folder`, in this process: torch is imported once for all of them."""
    words = shlex.split(command)
    arguments = {"python": ["train", *words[2:]], "trainlab": words[1:]}[words[0]]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(arguments)
        except SystemExit as end:
            return Answer(int(end.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("a command ends with its exit code")


@pytest.fixture(scope="module")
def place(tmp_path_factory, one_warm_server):
    """A folder with runs in it, as after the README's first commands, and an image to predict."""
    folder = tmp_path_factory.mktemp("readme")
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 12:16] = 255  # a one: a page without a stroke has no digit, and predict says so
    Image.fromarray(digit).save(folder / "digit.png")
    for claim in (ROOT / "experiments").glob("*/claim.yaml"):  # their pages are written into a copy
        shutil.copytree(claim.parent, folder / "experiments" / claim.parent.name)
    result = call("python train.py " + " ".join(SMALL), folder)
    assert result.code == 0, result.err
    return folder


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TRAINLAB_DATA", str(DATA))
    monkeypatch.delenv("TRAINLAB_RUNS", raising=False)


def needs_data(command: str) -> None:
    wanted = any(word in command for word in ("cifar10", "mnist", "rescue"))
    if wanted and not (DATA / "MNIST").is_dir():
        pytest.skip(f"no data sets in {DATA} (TRAINLAB_DATA)")


def test_every_command_is_of_a_kind_that_is_tested_here():
    assert all(c.startswith(("python train.py", "trainlab", "make ")) for c in COMMANDS)
    assert len(TRAIN) >= 6 and len(OTHER) >= 8


@pytest.mark.parametrize("command", TRAIN)
def test_a_training_command_runs(command, place):
    needs_data(command)
    small = [s for s in SMALL if "trainer.max_epochs" not in s or "max_epochs" not in command]
    result = call(f"{command} {' '.join(small)}", place)
    assert result.code == 0, result.err


def is_relu(axes) -> bool:
    return axes["activation"] == "relu"


def has_batchnorm(axes) -> bool:
    return axes["norm_layer"] == "batchnorm"


# Of each training command that fits two cores, which of its runs learn at full length. A run that did not may
# have too few steps, or an unknown cause: the labels of digits are right, and nothing here shows otherwise.
LEARNS = {
    "python train.py": is_relu,
    "python train.py -m activation=sigmoid,relu init=glorot,kaiming": is_relu,
    "python train.py -m activation=tanh,relu depth=2,8 seed='range(3)'": lambda axes: True,
    "python train.py model=mlp activation=sigmoid norm_layer=batchnorm trainer.max_epochs=3 seed=7": (
        lambda axes: True
    ),
    "python train.py -m activation=sigmoid,relu depth=2,12 sweep.prune=preflight sweep.audit=0.1": is_relu,
    "python train.py experiment=lenet5_mnist": lambda axes: True,
    "python train.py experiment=batchnorm_rescue": lambda axes: is_relu(axes) or has_batchnorm(axes),
}
TOO_LONG = ("data=cifar10",)  # ResNet-20 on CIFAR-10 takes hours
SAYS_NOTHING = (None, "too_few_steps")


def test_every_training_command_of_the_readme_has_its_verdict():
    asked = [c for c in TRAIN if "plan_only" not in c and not any(word in c for word in TOO_LONG)]
    assert set(asked) == set(LEARNS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("command", LEARNS)
def test_a_training_command_comes_to_the_right_verdict(command, tmp_path):
    """At full length, as the reader runs it: not that it ends, but what it says."""
    needs_data(command)
    result = call(f"{command} logger=none", tmp_path)
    assert result.code == 0, result.err
    records = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("runs/*/result.json"))]
    assert records
    for record in records:
        axes, verdict = record["axes"], record["verdict"]
        if record["status"] == "pruned":
            assert not LEARNS[command](axes), f"{axes} learns, and was pruned"
            continue
        if LEARNS[command](axes):
            assert verdict["learned"], f"{axes}: {verdict}"
        assert verdict["cause"] != "labels_unlearnable", f"{axes}: {verdict}"
        if (axes["activation"], axes["init"], axes["depth"]) == (
            "sigmoid",
            "kaiming",
            4,
        ):  # it takes its time
            assert verdict["cause"] in SAYS_NOTHING, f"{axes}: {verdict}"


@pytest.mark.slow
def test_the_preflight_of_the_readme_comes_to_the_right_verdict(tmp_path):
    (command,) = [c for c in OTHER if c.startswith("trainlab preflight")]
    result = call(f"{command} --json", tmp_path)
    assert result.code == 0, result.err
    answer = json.loads(result.out)
    assert answer["will_learn"] is False and answer["learns"] < 0.5 and answer["cause"]


@pytest.mark.parametrize("command", OTHER)
def test_any_other_command_runs(command, place):
    runs = sorted(p.parent.name for p in (place / "runs").glob("*/checkpoints"))
    if command.startswith("trainlab runs rm"):
        assert call("python train.py seed=99 " + " ".join(SMALL), place).code == 0
        runs = [
            name
            for name in sorted(p.parent.name for p in (place / "runs").glob("*/checkpoints"))
            if name not in runs
        ]
    if "SWEEP" in command or "sweeps" in command:
        add_to_group(place / "runs", "SWEEP", runs)
    result = call(re.sub(r"\bRUN\b", runs[0], command), place)
    assert result.code == 0, result.err


def test_its_recipe_for_a_class_of_ones_own_works_as_written(tmp_path, monkeypatch):
    """In an empty folder; from an installed wheel: tests/test_own_classes.py."""
    (module,) = blocks("py")
    recipe = README[README.index("A class of your own") : README.index("## Will it learn")]
    (conf,) = re.findall(r"`(conf/\S+\.yaml)`", recipe)
    (target,) = re.findall(r"`(_target_: my_module\.\w+)`", recipe)
    assert "`_partial_: true`" in recipe
    (tmp_path / conf).parent.mkdir(parents=True)
    (tmp_path / conf).write_text(f"{target}\n_partial_: true\n")
    (tmp_path / "my_module.py").write_text(module)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    command = re.findall(r"`(trainlab train -m [^`]+)`", recipe)[0]
    result = call(f"{command} {' '.join(SMALL)}", tmp_path)
    assert result.code == 0, result.err
    assert "2 finished" in result.out and "mine" in result.out
    sys.modules.pop("my_module", None)


def test_the_python_of_the_readme_runs(place):
    for block in blocks("python"):
        with contextlib.chdir(place), contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})
        assert out.getvalue().strip()


@pytest.mark.parametrize("session", blocks("console"))
def test_what_the_readme_says_of_errors_is_what_is_said(session, place):
    lines = session.strip().splitlines()
    for asked, told in zip(lines[::2], lines[1::2], strict=True):
        result = call(asked.removeprefix("$ "), place)
        assert result.code == 2
        assert result.err.strip().startswith(told.split(", …")[0])


@pytest.mark.parametrize("target", sorted(set(re.findall(r"make ([a-z-]+)", README))))
def test_make_knows_every_target_that_the_readme_names(target):
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_its_tables_are_what_was_recorded():
    sys.path.insert(0, str(ROOT))
    from experiments.readme.write import render_readme

    assert render_readme(README) == README, "python -m experiments.readme writes them"


def test_its_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)h#][^)]*)\)", README):
        assert (ROOT / target).exists(), target


def test_it_lists_the_options_that_there_are():
    from trainlab.config import catalogue

    for axis in (
        "activation",
        "normalization",
        "norm_layer",
        "pool",
        "data",
        "optimizer",
        "scheduler",
        "model",
    ):
        for name in catalogue(axis):
            assert re.search(rf"\b{name}\b", README), f"{axis}={name} is not in the README"
