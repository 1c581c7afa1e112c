"""Command lines become grids with Hydra's own parser."""

import pytest

from trainlab.config import Composer, catalogue
from trainlab.errors import RequestError


@pytest.fixture(scope="module")
def composer():
    return Composer()


def lines(grid) -> list[list[str]]:
    return [[o.input_line for o in job] for job in grid.jobs()]


def test_comma_lists_multiply_and_the_last_key_changes_fastest(composer):
    grid = composer.grid(["activation=relu,tanh", "width=8", "seed=1,2"], {})
    assert len(grid) == 4
    assert lines(grid)[:2] == [
        ["activation=relu", "width=8", "seed=1"],
        ["activation=relu", "width=8", "seed=2"],
    ]
    assert grid.swept == ("activation", "seed")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seed=range(3)", ["seed=0", "seed=1", "seed=2"]),
        ("depth=range(8,2,-3)", ["depth=8", "depth=5"]),
        ("optimizer.lr=choice(0.1,1e-3)", ["optimizer.lr=0.1", "optimizer.lr=0.001"]),
        ("optimizer.lr=range(0.25,0.8,0.25)", ["optimizer.lr=0.25", "optimizer.lr=0.5", "optimizer.lr=0.75"]),
        ("optimizer.lr=range(0.1,0.4,0.1)", ["optimizer.lr=0.1", "optimizer.lr=0.2", "optimizer.lr=0.3"]),
        ("optimizer.lr=range(0.4,0.1,-0.1)", ["optimizer.lr=0.4", "optimizer.lr=0.3", "optimizer.lr=0.2"]),
        ("optimizer.lr=range(1e-3,4e-3,1e-3)", [f"optimizer.lr=0.00{i}" for i in (1, 2, 3)]),
        ("optimizer.lr=sort(range(0.1,0.4,0.1),reverse=true)", [f"optimizer.lr=0.{i}" for i in (3, 2, 1)]),
        ("optimizer.lr=range(0,1,0.5)", ["optimizer.lr=0.0", "optimizer.lr=0.5"]),
        ("resume=123456789012,abc", ["resume='123456789012'", "resume='abc'"]),
        ("activation=glob([re*,ta*])", ["activation=relu", "activation=tanh"]),
        ("group='a,b'", ["group='a,b'"]),
        ("+x.y=[1,2],[3]", ["+x.y=[1,2]", "+x.y=[3]"]),
        ("early_stop=null,3", ["early_stop=null", "early_stop=3"]),
    ],
)
def test_values_of_a_key(composer, line, expected):
    assert [job[0] for job in lines(composer.grid([line], {}))] == expected


def test_glob_star_is_the_whole_axis(composer):
    assert len(composer.grid(["activation=glob(*)"], {})) == len(catalogue("activation"))


def test_the_command_line_goes_before_a_presets_params(composer):
    params = {"activation": "relu,tanh", "seed": "range(5)", "early_stop": None}
    grid = composer.grid(["seed=7"], params)
    assert lines(grid) == [[f"activation={a}", "seed=7", "early_stop=null"] for a in ("relu", "tanh")]
    assert grid.swept == ("activation",)


def test_a_sweeps_own_settings_are_taken_out(composer):
    assert lines(composer.grid(["sweep.rerun=true", "seed=1", "++sweep.audit=0.5"], {})) == [["seed=1"]]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sweep.rerun=true,false", "cannot be swept"),
        ("group=a,b", "cannot be swept"),
        ("paths.runs=a,b", "cannot be swept"),
        ("++group=choice(a,b)", "cannot be swept"),
        ("paths.cache=a,b", "cannot be swept"),
        ("hydra.launcher.slots=1,2", "cannot be swept"),
        ("hydra/launcher=local,ray", "cannot be swept"),
        ("++sweep.audit=0.1,0.5", "cannot be swept"),
        ("optimizer.lr=range(0.1,1,0)", "a step other than zero"),
        ("seed=range(1,3,0)", "a step other than zero"),
        ("optimizer.lr=range(0.1,inf,0.1)", "expected finite numbers"),
        ("seed=range(1000000000)", "expected at most 1,000,000"),
        ("seed=interval(0,1)", "expected values to list"),
        ("activation=glob(zzz*)", "nothing that this matches"),
        ("seed=range(3,1)", "nothing that this matches"),
        ("seed=[1", "brackets or quotes that are not closed"),
    ],
)
def test_what_is_refused(composer, line, said):
    with pytest.raises(RequestError, match=said):
        composer.grid([line], {})
