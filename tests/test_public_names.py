"""What users call stands at the top of the package, and importing the package costs nothing."""

import ast
import subprocess
import sys
from importlib import import_module, resources
from pathlib import Path

import pytest

import trainlab
from trainlab.errors import RequestError

SOURCE = Path(trainlab.__file__).parent
LAZY = [path for path in SOURCE.rglob("__init__.py") if "lazy_attributes(" in path.read_text()]
HEAVY = ("torch", "lightning", "hydra", "omegaconf", "wandb", "polars", "numpy")


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_takes_no_time_and_brings_in_nothing_heavy():
    code = (
        "import sys, time; began = time.process_time(); import trainlab; "
        f"print(time.process_time() - began, *(name for name in {HEAVY} if name in sys.modules))"
    )
    runs = [fresh(code).split() for _ in range(3)]
    assert all(heavy == [] for _, *heavy in runs)
    assert min(float(seconds) for seconds, *_ in runs) <= 0.05


def test_public_names_are_there():
    from trainlab.diagnosis.run_diagnosis import explain
    from trainlab.doctor.data_check import check_data
    from trainlab.doctor.step_check import check
    from trainlab.forecast.preflight import preflight
    from trainlab.models import anatomy
    from trainlab.runs import load_runs
    from trainlab.theory import mean_field

    assert trainlab.check is check and trainlab.check_data is check_data
    assert trainlab.preflight is preflight
    assert trainlab.explain is explain
    assert trainlab.load_runs is load_runs
    assert trainlab.anatomy is anatomy
    assert trainlab.theory.mean_field is mean_field
    assert set(trainlab.__all__) <= set(dir(trainlab))


def test_public_names_work_from_the_top_in_a_fresh_process():
    code = "import trainlab; print(trainlab.theory.__name__, *(callable(getattr(trainlab, n)) for n in {}))"
    assert fresh(code.format(["check", "check_data", "preflight", "explain", "load_runs"])).split() == [
        "trainlab.theory", "True", "True", "True", "True", "True"
    ]  # fmt: skip


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'trainlab' has no attribute 'preflihgt'"):
        _ = trainlab.preflihgt  # pyrefly: ignore[missing-attribute]


@pytest.mark.parametrize("path", LAZY, ids=lambda path: path.parent.name)
def test_lazy_names_are_those_that_type_checkers_see(path):
    name = ".".join(path.relative_to(SOURCE.parent).parent.parts)
    package = import_module(name)
    blocks = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.If)]
    seen = {
        alias.name: statement.module
        for block in blocks
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen.keys() <= set(package.__all__)
    for public, module in seen.items():
        expected = getattr(import_module(str(module)), public)
        assert getattr(package, public) is expected
    for public in package.__all__:
        assert hasattr(package, public)
        assert public in seen or public in vars(package)


def test_the_package_says_that_it_is_typed():
    assert resources.files("trainlab").joinpath("py.typed").is_file()


def test_explain_takes_a_folder_or_an_id(run):
    _, folder = run("trainer.max_steps=2")
    by_folder = trainlab.explain(folder.path)
    assert by_folder.learned == folder.result().verdict.learned
    assert trainlab.explain(folder.run_id[:8], runs=folder.path.parent) == by_folder
    with pytest.raises(RequestError, match="no run, sweep or folder 'nothing'"):
        trainlab.explain("nothing", runs=folder.path.parent)
