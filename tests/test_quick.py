"""`make quick`: which test files it chooses, and that it ends in time."""

import subprocess
import sys

import quick


def test_tests_of_what_changed_come_first(monkeypatch):
    monkeypatch.setattr(quick, "_changed", lambda: ["src/trainlab/nn/initializers.py", "README.md"])
    chosen = quick.main()
    assert "tests/nn/test_initializers.py" in chosen[: -len(quick.CORE)]
    assert chosen[-len(quick.CORE) :] == list(quick.CORE)


def test_a_changed_test_is_run_and_a_deleted_one_is_not(monkeypatch):
    changed = ["tests/theory/test_quadrature.py", "tests/theory/test_gone.py"]
    monkeypatch.setattr(quick, "_changed", lambda: changed)
    assert quick.main()[0] == changed[0] and changed[1] not in quick.main()


def test_the_core_exists():
    assert all((quick.ROOT / name).is_file() for name in quick.CORE)


def test_beyond_its_time_the_rest_is_skipped_and_said():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "--time-budget",
        "0",
        "-rs",
        "tests/theory/test_quadrature.py",
    ]
    done = subprocess.run(command, cwd=quick.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "passed" not in done.stdout and "later than --time-budget=0: `make test` runs it" in done.stdout
