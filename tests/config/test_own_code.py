"""A class of the user's that was edited makes another run; ours and torch's leave ids as they are."""

import sys

import pytest

from trainlab.config import compose, identify
from trainlab.config.user_code import UserCodeDigests
from trainlab.runs.identity import run_id


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes files of a project in the current folder; returns the id of a run with an activation of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p not in ("", str(tmp_path))])
    option = tmp_path / "conf" / "activation" / "mine.yaml"
    option.parent.mkdir(parents=True)

    def identity(target: str, **files: str) -> str:
        for name, content in files.items():
            path = tmp_path / (name.replace("__in__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        option.write_text(f"_target_: {target}\n_partial_: true\n")
        return identify(compose(["activation=mine", "logger=none"])).run_id

    return identity


def test_an_edited_class_is_another_run(project):
    first = project("acts.Act", acts="class Act: pass\n")
    assert project("acts.Act", acts="class Act: pass\n") == first
    edited = project("acts.Act", acts="class Act: slope = 0.1\n")
    assert edited != first
    assert project("acts.Act", acts="class Act: pass\n") == first


@pytest.mark.parametrize(
    "line", ["import tools", "from tools import f", "import tools as t", "def g():\n    from tools import f"]
)
def test_what_it_imports_of_the_project_counts(project, line):
    acts = f"{line}\nclass Act: pass\n"
    assert project("acts.Act", acts=acts, tools="f = 1\n") != project("acts.Act", acts=acts, tools="f = 2\n")


@pytest.mark.parametrize("line", ["from .tools import f", "from . import tools", "from own.tools import f"])
def test_packages_count_with_what_they_import(project, line):
    parts = {"own__in____init__": "", "own__in__acts": f"{line}\nclass Act: pass\n"}
    target = "own.acts.Act"
    first = project(target, **parts, own__in__tools="f = 1\n")
    assert project(target, **parts, own__in__tools="f = 2\n") != first
    parts["own__in____init__"] = "x = 1\n"
    assert project(target, **parts, own__in__tools="f = 1\n") != first


def test_what_it_does_not_import_does_not(project):
    first = project("acts.Act", acts="class Act: pass\n", other="a = 1\n")
    assert project("acts.Act", acts="class Act: pass\n", other="a = 2\n") == first


def test_imports_in_a_circle_and_broken_files_are_looked_at_all_the_same(project):
    first = project("a.Act", a="import b\nclass Act: pass\n", b="import a\n")
    assert project("a.Act", a="import b\nclass Act: pass\n", b="import a  # edited\n") != first
    assert project("a.Act", a="class Act: pass\n", b="(\n") != first
    assert project("b.Act", b="(\n")


def test_nothing_of_it_is_imported(project):
    project("acts.Act", acts="raise SystemExit('executed')\n")
    assert "acts" not in sys.modules


@pytest.mark.parametrize(
    "target",
    ["torch.nn.ReLU", "trainlab.nn.layers.PReLU", "numpy.tanh", "collections.deque", "no.such"],
)
def test_installed_code_counts_by_its_name_alone(target):
    settings = {"activation": {"_target_": target}, "seed": 0}
    assert UserCodeDigests().digests(settings) == {}


def test_a_nested_class_and_a_looked_up_function_count(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.py").write_text("f = 1\n")
    nested = {"norm_layer": {"position": "x", "layer": {"_target_": "ours.F"}}}
    looked_up = {"augment": {"f": {"_target_": "hydra.utils.get_method", "path": "ours.f"}}}
    for settings in (nested, looked_up):
        assert set(UserCodeDigests().digests(settings)) == {"ours"}


def test_the_tracker_decides_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours.py").write_text("f = 1\n")
    settings = {"logger": {"_target_": "ours.F"}}
    assert UserCodeDigests().digests(settings) == {}


def test_ids_of_settings_without_own_code_are_what_they_were(settings):
    frozen = settings()
    assert frozen.user_code is None
    assert run_id({**frozen.to_plain(), "own_code": {}}, frozen.fingerprint) == frozen.run_id


def test_code_that_is_gone_is_forgotten_when_a_run_is_named_again(settings):
    before = settings()
    stale = before.replace(user_code={"gone": "1"})
    again = identify(stale)
    assert again.user_code is None and again.run_id == before.run_id
