"""Composed in bulk or by Hydra alone: the same settings, the same refusals."""

import os
import textwrap

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainlab.config import Composer, catalogue
from trainlab.errors import RequestError

# each costs Hydra a fifth of a second: `make test-all` searches further
MORE = 1 if os.environ.get("HYPOTHESIS_PROFILE", "fixed") == "fixed" else 4
SWEPT = ("activation", "init", "normalization", "norm_layer", "pool", "model", "data", "augment", "optimizer",
         "scheduler", "trainer", "logger", "debug")  # fmt: skip
CHOICES = st.fixed_dictionaries(
    {}, optional={axis: st.sampled_from(sorted(catalogue(axis))) for axis in SWEPT}
)
VALUES = st.lists(
    st.sampled_from([
        "seed=3", "depth=2", "depth=16", "depth=null", "width=7", "optimizer.lr=0.5", "optimizer.lr=1",
        "+optimizer.nesterov=true", "++optimizer.momentum=0.9", "optimizer.momentum=0.8",
        "data.batch_size=32",
        "trainer.max_epochs=3", "trainer.max_steps=5", "trainer.precision=bf16", "signals=on", "signals=10",
        "early_stop=2", "group=mine", "data.train_size=${data.batch_size}", "paths.runs=elsewhere",
        "'optimizer={lr: 0.25}'", "~scheduler._partial_", "+activation.inplace=true",
        "optimizer.betas=[0.5,0.9]",
        "paths.cache=${paths.runs}/c", "resume=false", "checkpoint=both", "width=${seed}",
        "trainer.gradient_clip=${optimizer.lr}",
    ]),
    max_size=4,
    unique_by=lambda line: line.strip("+~'").split("=")[0],
)  # fmt: skip
FAULTS = st.sampled_from(
    [
        "",
        "activation=rleu",
        "optimizer.lrr=1",
        "optimizer.lr=-1",
        "+seed=3",
        "seed=1.5",
        "nonsense=1",
        "data=3",
    ]
)


@pytest.fixture(scope="module")
def composer():
    return Composer()


def in_bulk(composer: Composer, lines: list[str]):
    return outcome(lambda: composer.job(composer.parse(lines)))


def by_hydra(composer: Composer, lines: list[str]):
    return outcome(lambda: composer._compose_with_hydra(composer.parse(lines)))


def outcome(compose_it):
    try:
        return compose_it()
    except RequestError as error:
        return f"refused: {error}"


@settings(max_examples=20 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHOICES, VALUES)
def test_in_bulk_as_by_hydra(composer, choices, values):
    lines = [*(f"{axis}={option}" for axis, option in choices.items()), *(v.strip("'") for v in values)]
    assert in_bulk(composer, lines) == by_hydra(composer, lines)


@settings(max_examples=15 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CHOICES, VALUES, FAULTS)
def test_what_hydra_refuses_is_refused(composer, choices, values, fault):
    lines = [*(f"{axis}={option}" for axis, option in choices.items()), *(v.strip("'") for v in values)]
    lines = [line for line in lines if line.split("=")[0] != fault.split("=")[0]] + ([fault] if fault else [])
    alone = by_hydra(composer, lines) if fault != "data=3" else "refused: by name"
    assert isinstance(in_bulk(composer, lines), str) == isinstance(alone, str)


def test_a_faulty_request_costs_little_however_many_jobs_have_it(composer, monkeypatch):
    calls = []
    in_full = Composer._compose_with_hydra
    monkeypatch.setattr(
        Composer, "_compose_with_hydra", lambda self, lines: calls.append(1) or in_full(self, lines)
    )
    for seed in range(30):
        assert "did you mean 'optimizer.lr'" in in_bulk(composer, ["optimizer.lrr=1", f"seed={seed}"])
        assert "did you mean 'relu'" in in_bulk(composer, ["activation=rleu", f"seed={seed}"])
    assert len(calls) <= 1


def test_most_jobs_never_go_through_hydra(composer, monkeypatch):
    monkeypatch.delattr(Composer, "_compose_with_hydra")
    for axis in SWEPT:
        for option in catalogue(axis):
            in_bulk(composer, [f"{axis}={option}", "optimizer.lr=0.1", "+activation.x=1", "paths.runs=r"])


@pytest.fixture
def users_conf(tmp_path, monkeypatch):
    """Options of the user's own, which refer to others in every way that Hydra allows."""
    files = {
        "experiment/deep.yaml": """
            # @package _global_
            defaults: [{override /model: mlp}, {override /activation: tanh}]
            seed: 7
            """,
        "experiment/wide.yaml": """
            # @package _global_
            width: 99
            model: {stages: null}
            """,
        "model/mine.yaml": "defaults: [plain_cnn, {/optimizer@extra: sgd}]\nnote: mine",
        "activation/twice.yaml": "defaults: [leaky_relu, _self_]\nnegative_slope: 0.3",
    }
    for name, text in files.items():
        path = tmp_path / "conf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("experiment", [[], ["experiment=deep"], ["experiment=wide"], ["+experiment=deep"]])
@pytest.mark.parametrize("model", [[], ["model=mlp"], ["model=mine"]])
def test_options_with_defaults_of_their_own(users_conf, experiment, model):
    fresh = Composer()
    for activation in ("relu", "twice", "leaky_relu"):
        for lines in ([*experiment, *model], [*experiment, *model, f"activation={activation}"]):
            assert in_bulk(fresh, lines) == by_hydra(fresh, lines)
