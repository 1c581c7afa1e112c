"""`trainlab preflight`: a verdict before training, for one configuration or a grid."""

import json
from functools import partial

import pytest

from trainlab.diagnosis.known_causes import CAUSES
from trainlab.forecast.run_forecast import forecast_run

SMALL = (
    "data=digits",
    "data.image_size=16",
    "depth=2",
    "width=4",
    "trainer.threads=1",
    "trainer.max_steps=100",
)


@pytest.fixture
def preflight(call_command, shared_cache):
    """Calls the command in this process; returns (exit code, what it printed, its error line)."""
    return partial(call_command, "preflight", *SMALL, f"paths.cache={shared_cache}")


def test_one_configuration(preflight):
    code, out, _ = preflight("optimizer=sgd", "optimizer.lr=1e-9")
    assert code == 0 and "learning_rate_too_low" in out and "remedy: optimizer.lr=" in out
    assert "stages.1.conv1.conv" in out and "χ₁" in out


def test_a_grid_in_one_table(preflight):
    code, out, _ = preflight("-m", "activation=relu,sigmoid", "optimizer.lr=1e-3,1e-8", "--json")
    rows = json.loads(out)
    assert code == 0 and [row["configuration"] for row in rows] == [
        f"activation={a} optimizer.lr={lr}" for a in ("relu", "sigmoid") for lr in ("0.001", "1e-08")
    ]
    for row in rows:
        assert 0 <= row["learns"] <= 1 and (row["cause"] is None) == row["will_learn"]
        assert row["cause"] is None or row["cause"] in CAUSES
        assert len(row["layers"]) == 3 and len(row["theory"]["layers"]) == 3
    assert rows[0]["learns"] > rows[1]["learns"]
    code, out, _ = preflight("-m", "activation=relu,sigmoid")
    assert code == 0 and "activation=relu" in out and "%" in out


def test_theory_alone_makes_no_pass_forward(preflight, monkeypatch):
    from trainlab.forecast import run_forecast

    monkeypatch.setattr(run_forecast, "preflight", None)
    code, out, _ = preflight("--theory", "--json")
    theory = json.loads(out)["theory"]
    assert code == 0 and theory["depth"] == 2 and theory["chi1"] == pytest.approx(1, abs=0.2)
    code, out, _ = preflight("--theory", "-m", "depth=1,3")
    assert code == 0 and "reach" in out and "depth=3" in out
    code, out, _ = preflight("--theory", "model=resnet", "depth=3")
    assert code == 0 and "no chain" in out


def test_a_preset_brings_its_own_grid(preflight):
    preset = ("experiment=batchnorm_rescue", "data=digits", "data.train_size=null")
    code, out, _ = preflight("--theory", *preset, "--json")
    assert code == 0 and len(json.loads(out)) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("activation=rleu",), "relu"),
        (("-m", "activation=relu,rleu"), "relu"),
        (("model=vgg", "depth=12"), "depth=12"),
        (("activation=relu,tanh",), "-m"),
        (("--thoery",), "--thoery"),
        (("data=mnist", "paths.data=/nowhere"), "nowhere"),
    ],
    ids=["option", "grid", "depth", "no -m", "flag", "data"],
)
def test_wrong_requests_are_one_line(preflight, arguments, says):
    code, out, err = preflight(*arguments)
    assert code == 2 and says in err and err.count("\n") == 1 and not out


def test_a_sweep_asks_the_same(settings, preflight):
    frozen = settings("optimizer=sgd", "optimizer.lr=1e-9", "signals=off")
    forecast = forecast_run(frozen)
    assert not forecast.will_learn and forecast.cause == "learning_rate_too_low"
    assert forecast.remedy is not None and float(forecast.remedy.partition("=")[2]) > 1e-8
    json.dumps(forecast.to_dict())


def test_at_the_border_the_steps_are_said(preflight, monkeypatch):
    """One answer beside the probability, and how many steps it takes."""
    for module in ("logistic_model", "preflight"):
        monkeypatch.setattr(f"trainlab.forecast.{module}.no_answer_interval", lambda: (1e-6, 1 - 1e-6))
    code, out, _ = preflight("optimizer=sgd", "optimizer.lr=1e-3")
    assert code == 0 and "cannot tell" in out and "steps: " in out and "% in 100 steps, " in out
    code, out, _ = preflight("-m", "optimizer=sgd", "optimizer.lr=1e-3,1e-2")
    assert code == 0 and "answer" in out and out.count("cannot tell") == 2


def test_no_probability_is_rounded_to_a_certainty(preflight):
    code, out, _ = preflight("optimizer=sgd", "optimizer.lr=1e-9")
    assert code == 0 and "learns: under 1%, will not learn" in out and " 0%" not in out


def test_columns_have_names_of_their_own_and_reach_is_said_in_words(preflight):
    code, out, _ = preflight("--theory", "activation=relu", "init=kaiming")
    header = next(line for line in out.splitlines() if "z, theory" in line)
    for name in ("z, theory", "same, theory", "gradient, theory"):
        assert header.count(name) == 1
    assert code == 0 and "inf" not in out and "any number of layers" in out
