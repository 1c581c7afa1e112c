"""What the tests of many packages share: one quick run, whole, through the platform."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from jaxtyping import install_import_hook

# shapes in annotations are checked at every call (jaxtyping), before anything imports these packages
install_import_hook(("trainlab.nn", "trainlab.signals"), "shape_checker.check")

# the same examples in every run of the default tests; `make test-all` searches on
hypothesis_settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis_settings.register_profile("search", print_blob=True, deadline=None)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))

# as wide as a pipe, in pytest's parallel workers too, which are told a terminal's width
os.environ.pop("COLUMNS", None)
# one thread everywhere: the same bits, and no two tests in each other's way
os.environ.setdefault("OMP_NUM_THREADS", "1")
# tests never reach for a tracker's server, whatever the user has configured
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_BASE_URL"] = "http://127.0.0.1:9"  # a port where nobody listens
os.environ.pop("WANDB_API_KEY", None)

QUICK = (
    "data=digits", "data.image_size=16", "data.train_size=256", "data.val_size=64", "data.test_size=100",
    "data.batch_size=32", "model=plain_cnn", "depth=2", "width=4", "trainer=cpu", "trainer.threads=1",
    "trainer.max_epochs=2", "logger=none",
)  # fmt: skip


def pytest_addoption(parser):
    parser.addoption(
        "--time-budget", type=float, metavar="SECONDS", help="skip the tests that would begin after this time"
    )


def pytest_configure(config):
    config.began = time.monotonic()


def pytest_runtest_setup(item):
    budget = item.config.getoption("--time-budget")
    if budget is not None and time.monotonic() - item.config.began > budget:
        pytest.skip(f"later than --time-budget={budget:g}: `make test` runs it")


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory):
    """Decoded images, once for all tests: this machine's cache, also for settings that are a stranger's."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("TRAINLAB_CACHE", str(folder))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield folder


@pytest.fixture
def call_command(capsys):
    """Calls a command in this process; returns (exit code, what it printed, its error line)."""

    def call(*arguments: str) -> tuple[int, str, str]:
        from trainlab import cli

        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main(list(arguments))
        printed = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, printed.out, printed.err

    return call


@pytest.fixture
def settings(tmp_path, shared_cache):
    """Frozen, identified settings of a quick run, with overrides."""
    from trainlab.config import compose, identify
    from trainlab.settings import RunSettings

    def make(*overrides: str) -> RunSettings:
        paths = (f"paths.runs={tmp_path / 'runs'}", f"paths.cache={shared_cache}")
        return identify(compose([*QUICK, *paths, *overrides]))

    return make


@pytest.fixture
def run(settings):
    """Trains a quick run with overrides; returns (its result, its folder)."""
    from pathlib import Path

    from trainlab.runs import RunFolder
    from trainlab.training.environment import configure_process
    from trainlab.training.run import train

    configure_process()

    def go(*overrides: str):
        frozen = settings(*overrides)
        result = train(frozen)
        return result, RunFolder(Path(frozen.paths.runs) / frozen.run_id)

    return go


@pytest.fixture(scope="module")
def one_warm_server():
    """One fork server for all sweeps that a file starts in this process: torch is imported once for them all.

    What a sweep leaves behind when it ends is the business of the tests that start a process of its own.
    """
    from trainlab.sweeps.forkserver import ForkServer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkServer, "close", lambda self: None)
        yield
    ForkServer().close()


@pytest.fixture(scope="session")
def runs_of():
    """A table as `load_runs` gives it, from rows that say only what matters."""
    import polars as pl

    from trainlab.runs.run_table import IDENTITY_COLUMNS, OUTCOME_COLUMNS

    def make(rows: list[dict]) -> pl.DataFrame:
        fixed = IDENTITY_COLUMNS | OUTCOME_COLUMNS
        rows = [
            {"run_id": f"r{number}", "status": "finished", "seed": 0} | row for number, row in enumerate(rows)
        ]
        free = dict.fromkeys(name for row in rows for name in row if name not in fixed)
        columns = [
            pl.Series(name, [row.get(name) for row in rows], dtype=kind) for name, kind in fixed.items()
        ]
        return pl.DataFrame(
            columns + [pl.Series(name, [row.get(name) for row in rows], strict=False) for name in free]
        )

    return make


@pytest.fixture(scope="session")
def real_root():
    """MNIST and CIFAR-10 themselves, where they are."""
    beside = Path(__file__).parents[1].parent / "shared" / "data"
    folder = Path(os.environ.get("TRAINLAB_DATA", beside))
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip(f"no real data sets in {folder} (TRAINLAB_DATA)")
    return folder


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory):
    """Where they are decoded."""
    return tmp_path_factory.mktemp("real_cache")
