"""Overrides become plain, checked settings; what is wrong is said in one line."""

import pytest

from trainlab.config import AXIS_DESCRIPTIONS, catalogue, compose, identify
from trainlab.errors import RequestError
from trainlab.settings import Settings, settings_from_json

PLAIN_VALUES = {
    "seed=7": ("seed", 7),
    "width=24": ("width", 24),
    "depth=6": ("depth", 6),
    "group=mine": ("group", "mine"),
    "checkpoint=both": ("checkpoint", "both"),
    "signals=off": ("signals", False),
    "signals=12": ("signals", 12),
    "resume=false": ("resume", False),
    "early_stop=3": ("early_stop", 3),
    "optimizer.lr=0.3": ("optimizer.lr", 0.3),
    "optimizer.lr=1": ("optimizer.lr", 1),
    "optimizer.weight_decay=1e-4": ("optimizer.weight_decay", 1e-4),
    "data.batch_size=64": ("data.batch_size", 64),
    "data.train_size=500": ("data.train_size", 500),
    "data.val_size=50": ("data.val_size", 50),
    "data.image_size=20": ("data.image_size", 20),
    "data.num_classes=5": ("data.num_classes", 5),
    "trainer.max_epochs=3": ("trainer.max_epochs", 3),
    "trainer.max_steps=30": ("trainer.max_steps", 30),
    "trainer.devices=2": ("trainer.devices", 2),
    "trainer.threads=1": ("trainer.threads", 1),
    "trainer.precision=bf16": ("trainer.precision", "bf16-mixed"),
    "trainer.precision=64": ("trainer.precision", "64-true"),
    "trainer.gradient_clip=0.5": ("trainer.gradient_clip", 0.5),
    "init.gain=1.5": ("init.gain", 1.5),
}


def at(settings: Settings, path: str):
    plain = settings.to_plain()
    for key in path.split("."):
        plain = plain[key]
    return plain


@pytest.mark.parametrize("override", PLAIN_VALUES)
def test_plain_values_arrive(override):
    path, value = PLAIN_VALUES[override]
    assert at(compose([override]), path) == value


@pytest.mark.parametrize(
    "axis,name",
    [(a, n) for a in AXIS_DESCRIPTIONS if a not in ("experiment", "hydra/launcher") for n in catalogue(a)],
)
def test_every_option_composes_to_plain_settings(axis, name):
    settings = compose([f"{axis}={name}"])
    if axis in settings.axes:
        assert settings.axes[axis] == (catalogue(axis)[name].alias_of or name)

    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(k, str) and plain(v) for k, v in value.items())
        if isinstance(value, list):
            return all(map(plain, value))
        return value is None or type(value) in (bool, int, float, str)

    assert plain(settings.to_plain())


@pytest.mark.parametrize("axis", AXIS_DESCRIPTIONS)
def test_every_option_says_what_it_is_in_one_line(axis):
    for option in catalogue(axis).values():
        assert option.line, f"{option.path} has no first comment line"


WRONG = {
    "activation=rleu": ["rleu", "did you mean 'relu'", "sigmoid"],
    "actvation=relu": ["actvation", "did you mean 'activation'"],
    "optimzer.lr=1": ["optimzer.lr", "did you mean 'optimizer.lr'"],
    "init.gian=2": ["init.gian", "did you mean 'init.gain'"],
    "optimizer.lr=-1": ["optimizer.lr=-1", "greater than 0"],
    "optimizer.lr=inf": ["optimizer.lr=inf", "finite"],
    "optimizer.lr=fast": ["optimizer.lr=fast", "number"],
    "optimizer.momentum=0.9": ["optimizer.momentum"],  # adam has none
    "seed=-1": ["seed=-1", "greater than or equal to 0"],
    "seed=1.5": ["seed=1.5", "integer"],
    "seed=true": ["seed=True", "integer"],
    "depth=-1": ["depth=-1", "greater than or equal to 0"],
    "checkpoint=first": ["checkpoint=first", "last", "best"],
    "trainer.precision=8": ["precision=8", "bf16"],
    "data.batch_size=0": ["data.batch_size=0"],
    "trainer.gradient_clip=0": ["trainer.gradient_clip=0"],
    "foo": ["foo"],
    "seed=[1,2": ["[1,2"],
    "+new.thing=1": ["new"],
    "activation=3": ["unknown activation '3'", "relu"],
    "activation=relu,tanh": ["activation=relu,tanh", "add -m"],
}


@pytest.mark.parametrize("override", WRONG)
def test_wrong_requests_are_one_line_with_what_was_got_and_expected(override):
    with pytest.raises(RequestError) as error:
        compose([override])
    message = str(error.value)
    assert "\n" not in message
    for part in WRONG[override]:
        assert part in message


def test_all_faults_are_told_at_once():
    with pytest.raises(RequestError) as error:
        compose(["seed=-1", "optimizer.lr=0"])
    assert "seed=-1" in str(error.value) and "optimizer.lr=0" in str(error.value)


@pytest.mark.parametrize("size", ["depth=4", "width=8"])
def test_lenet5_has_no_size_to_choose(size):
    with pytest.raises(RequestError, match="lenet5 has no"):
        compose(["model=lenet5", size])


def test_a_model_that_needs_a_depth_says_so():
    with pytest.raises(RequestError, match="needs a depth"):
        compose(["depth=null"])


def test_the_budget_is_the_data_sets_own_unless_given():
    assert compose(["data=mnist"]).trainer.max_epochs == 5
    given = compose(["data=mnist", "trainer.max_steps=10"]).trainer
    assert (given.max_epochs, given.max_steps) == (None, 10)


def test_aliases_are_the_same_run(settings):
    assert settings("init=kaiming").run_id == settings("init=kaiming_normal").run_id
    assert settings("init=glorot").run_id == settings("init=glorot_uniform").run_id


def test_identity_goes_by_what_decides_the_result(settings):
    base = settings().run_id
    for same in ("logger=csv", "group=x", "checkpoint=none", "trainer.threads=2", "signals=off"):
        assert settings(same).run_id == base, same
    for other in ("seed=1", "depth=3", "optimizer.lr=2e-3", "data.train_size=128", "trainer.precision=bf16"):
        assert settings(other).run_id != base, other


def test_data_that_are_missing_are_told_with_what_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", _no_network)
    frozen = compose(["data=cifar10", f"paths.data={tmp_path}", f"paths.cache={tmp_path / 'cache'}"])
    with pytest.raises(RequestError, match=r"cifar-10-batches-py.*digits"):
        identify(frozen)


def _no_network(*_, **__):
    raise OSError("no network")


def test_a_users_own_conf_goes_first(tmp_path, monkeypatch):
    mine = tmp_path / "conf" / "activation"
    mine.mkdir(parents=True)
    (mine / "mine.yaml").write_text("# my own\n_target_: torch.nn.Softsign\n_partial_: true\n")
    (mine / "relu.yaml").write_text("# not yours\n_target_: torch.nn.ReLU6\n_partial_: true\n")
    monkeypatch.chdir(tmp_path)
    assert compose(["activation=mine"]).activation.target == "torch.nn.Softsign"
    assert compose(["activation=relu"]).activation.target == "torch.nn.ReLU6"
    assert catalogue("activation")["mine"].line == "my own"


def test_settings_as_json_are_read_as_what_they_are(settings):
    """Also where a component has a key that a run has too, as loggers of other people's do."""
    alone = compose(["+logger.run_id=mine"])
    for given in (alone, settings()):
        assert settings_from_json(given.to_json()) == given.untrusted()
        assert type(settings_from_json(given.to_json())) is type(given)


@pytest.mark.parametrize("text", ["", "1", "[]", '{"run_id":', '{"run_id": "1"}'])
def test_what_is_no_settings_as_json_is_one_line(text):
    with pytest.raises(RequestError) as error:
        settings_from_json(text)
    assert "\n" not in str(error.value)
