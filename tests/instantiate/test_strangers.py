"""What somebody else has written is data: no door builds what it names, whatever that is called.

Every payload only makes the file PWNED.
"""

import copy
import io
import itertools
import json
import os
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from trainlab.build.data import build_augmentation, load_data
from trainlab.build.networks import build_model
from trainlab.build.optimizer import optimizer_factory
from trainlab.claims.shift_evaluation import evaluate_shifts
from trainlab.errors import RequestError
from trainlab.instantiate import (
    allowing,
    allowlist,
    check_node,
    instantiate,
    resolve_paths,
)
from trainlab.instantiate.parts import (
    ACTIVATION,
    AUGMENT,
    INIT,
    LOGGER,
    MODEL,
    NORM_LAYER,
    NORMALIZATION,
    OPTIMIZER,
    POOL,
    SCHEDULER,
    SOURCE,
)
from trainlab.instantiate.trust import restore_trust, trusted_digests, worker_environment
from trainlab.runs import RunFolder
from trainlab.runs.frozen_settings import settings_yaml
from trainlab.section import Component
from trainlab.serving.saved_model import load_model
from trainlab.settings import RunSettings

INSIDE_THE_OLD_PATTERN = (
    "trainlab.nn.layers.torch.hub.load",
    "trainlab.nn.layers.torch.load",
    "trainlab.models.vgg.torch.load",
    "trainlab.models.plain_cnn.nn.Module",
    "trainlab.nn.layers.nn.Module.load_state_dict",
    "trainlab.nn.layers.nn.modules.module.torch.hub.load",
    "trainlab.nn.norm_layers.Callable",
    "trainlab.nn.layers.weight_layers.__globals__",
    "trainlab.nn.layers.weight_layers.__call__",
    "trainlab.nn.layers.__builtins__.exec",
    "trainlab.nn.layers.__loader__.load_module",
    "trainlab.nn.lsuv.contextmanager",
    "trainlab.nn.lsuv.dataclass",
    "trainlab.models.anatomy.TorchFunctionMode",
    "trainlab.nn.initializers.torch.hub.load",
    "trainlab.nn.normalization.torch.jit.load",
    "torch.nn.Module",
    "torch.nn.Parallel",
    "torch.nn.DataParallel",
    "torch.nn.Parameter",
    "torch.nn.Buffer",
)
OUTSIDE = (
    "torch.hub.load",
    "torch.load",
    "torch.jit.load",
    "torch.compile",
    "torch.package.PackageImporter",
    "torch.utils.cpp_extension.load_inline",
    "torch.nn.functional.torch.hub.load",
    "torch.nn.modules.module.torch.load",
    "torch.nn.modules.activation.Tensor.__reduce__",
    "torch.nn.Embedding.from_pretrained",
    "torch.nn.ReLU.__init__",
    "torch.nn.ReLU.__init__.__globals__",
    "torch.nn.modules.module.register_module_forward_hook",
    "torch.nn.utils.parametrize.register_parametrization",
    "torch.optim.Optimizer.add_param_group",
    "torch.optim.lr_scheduler.LambdaLR",
    "torch.serialization.load",
    "os.system",
    "subprocess.run",
    "subprocess.Popen",
    "builtins.eval",
    "builtins.exec",
    "builtins.open",
    "builtins.__import__",
    "pathlib.Path",
    "pathlib.Path.touch",
    "pickle.loads",
    "numpy.load",
    "shutil.rmtree",
    "importlib.import_module",
    "runpy.run_path",
    "functools.partial",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "omegaconf.OmegaConf.load",
    "trainlab.cli.main",
    "trainlab.runs.cleanup.remove_runs",
    "trainlab.instantiate.nodes._instantiate_with_hydra",
    "trainlab.instantiate.instantiate",
    "trainlab.build.networks.instantiate",
    "trainlab.sweeps.process_main.call_in_process",
    "trainlab.data.torchvision_datasets.TorchvisionDataset",
    "trainlab.data.torchvision_datasets.shutil.rmtree",
    "trainlab.nn.schedules.LRScheduler",
    "trainlab.training.wandb_tracking.ManagedWandbLogger",
    "pwned_module.Net",
    "pwned_module.function",
    "pwned_package.inner.Net",
    "pwned_module",
    "",
    ".",
    "..",
    "torch",
    "torch.nn",
    "torch.nn.",
    ".torch.nn.ReLU",
    "torch..nn.ReLU",
    " torch.nn.ReLU",
    "torch.nn.ReLU ",
    "torch.nn.ReLU\n",
    "TORCH.NN.RELU",
    "torch.nn.ReLU\0",
    "../../torch.nn.ReLU",
    "torch/nn/ReLU",
    "torch.nn:ReLU",
    "${oc.env:HOME}",
    "torch.nn.\u202eULeR",
    "x" * 10_000,
)
TARGETS = (*INSIDE_THE_OLD_PATTERN, *OUTSIDE)
PARTS = {
    "activation": ACTIVATION,
    "init": INIT,
    "normalization": NORMALIZATION,
    "norm_layer.layer": NORM_LAYER,
    "pool": POOL,
    "model": MODEL,
    "data.source": SOURCE,
    "augment": AUGMENT,
    "optimizer": OPTIMIZER,
    "scheduler": SCHEDULER,
    "logger": LOGGER,
}


@pytest.fixture
def pwned(tmp_path, monkeypatch):
    """The file that a payload makes; modules on the path that make it as they are imported."""
    mark = tmp_path / "PWNED"
    modules = tmp_path / "modules"
    (modules / "pwned_package").mkdir(parents=True)
    source = f"open({str(mark)!r}, 'w')\nclass Net: pass\ndef function(*a, **k): pass\n"
    for name in ("pwned_module", "pwned_package/__init__", "pwned_package/inner"):
        (modules / f"{name}.py").write_text(source)
    (tmp_path / "hubconf.py").write_text(f"open({str(mark)!r}, 'w')\ndef x(*a, **k): pass\n")
    monkeypatch.syspath_prepend(modules)
    monkeypatch.delenv(allowlist.ALLOW_VARIABLE, raising=False)
    return mark


def hostile(target: object, folder: Path) -> dict:
    """A node whose keys fit torch.hub.load, which runs `folder`/hubconf.py."""
    keys = {"repo_or_dir": str(folder), "model": "x", "source": "local", "trust_repo": True}
    return {"_target_": target, **keys}


def shapes(target: object, folder: Path) -> list[dict]:
    """The node in the places where a node may stand."""
    node, harmless = hostile(target, folder), {"_target_": "torch.nn.ReLU"}
    return [
        node,
        node | {"_partial_": True},
        node | {"_recursive_": False},
        node | {"_convert_": "all"},
        {"_target_": target, "_args_": [f"touch {folder / 'PWNED'}"]},
        harmless | {"inplace": node},
        harmless | {"_args_": [node]},
        harmless | {"x": [{"y": [node]}]},
        harmless | {"_recursive_": False, "x": node},
        harmless | {"_partial_": True, "x": {"y": node}},
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_no_part_of_a_strangers_settings_builds_it(target, pwned, tmp_path):
    before = set(sys.modules)
    for part in PARTS.values():
        if target in _OF_THIS_PART.get(part.name, ()):
            continue
        for node in shapes(target, tmp_path):
            with pytest.raises(RequestError) as refused:
                instantiate(node, part)
            said = str(refused.value)
            assert "\n" not in said and said.isprintable() and len(said) < 700
    assert not pwned.exists()
    assert not {name for name in set(sys.modules) - before if name.startswith("pwned")}


_OF_THIS_PART = {
    "activation": ("torch.nn.Module",),
    "norm_layer": ("torch.nn.Module",),
    "pool": ("torch.nn.Module",),
}
"""A module without a forward is no danger."""


@pytest.mark.parametrize("value", [7, ["torch.nn.ReLU"], {"a": 1}, True, b"x", 1.5, object()])
def test_a_target_that_is_no_text_is_refused(value):
    for part in PARTS.values():
        with pytest.raises(RequestError):
            instantiate({"_target_": value}, part)


@pytest.mark.parametrize(
    "node",
    [
        {"inplace": "${oc.env:HOME}"},
        {"inplace": ["${x}"]},
        {"inplace": {"a": "x${oc.env:HOME}"}},
        {"_partial_": "yes"},
        {"_recursive_": 1},
        {"_args_": "abc"},
        {"_args_": {"a": 1}},
        {1: 2},
        {"inplace": torch.zeros(1)},
        {"inplace": {1, 2}},
        {"inplace": print},
    ],
)
def test_what_is_not_plain_is_refused(node):
    with pytest.raises(RequestError):
        instantiate({"_target_": "torch.nn.ReLU", **node}, ACTIVATION)


def test_settings_without_end_are_refused():
    deep: dict = {"_target_": "torch.nn.ReLU"}
    for _ in range(5000):
        deep = {"_target_": "torch.nn.ReLU", "x": deep}
    around: dict = {"_target_": "torch.nn.ReLU"}
    around["x"] = around
    shared: object = [0]
    for _ in range(60):
        shared = [shared, shared]
    for node in (deep, around, {"_target_": "torch.nn.ReLU", "x": shared}):
        with pytest.raises(RequestError, match="levels"):
            instantiate(node, ACTIVATION)


def test_what_the_options_name_is_built_for_a_stranger_too(settings):
    """Every option of ours, as a run on record holds it."""
    from trainlab.config import catalogue

    for axis, option in (("activation", "torch.nn.Mish"), ("pool", "torch.nn.LPPool2d")):
        assert check_node({"_target_": option}, PARTS[axis]).target.__name__ == option.rpartition(".")[2]
    for axis in ("activation", "init", "normalization", "pool", "augment", "optimizer", "scheduler", "data"):
        for name, found in catalogue(axis).items():
            node = yaml.safe_load(found.path.read_text())
            node = node.get("source") if axis == "data" else node
            if isinstance(node, dict) and "_target_" in node:
                node = {key: value for key, value in node.items() if "${" not in str(value)}
                check_node(node, PARTS["data.source" if axis == "data" else axis]), name


def test_allowing_an_exact_name_allows_it_alone(pwned, monkeypatch):
    monkeypatch.setenv(allowlist.ALLOW_VARIABLE, "other.Thing, pwned_module.Net")
    assert type(instantiate({"_target_": "pwned_module.Net"}, MODEL)).__name__ == "Net"
    for target in (
        "pwned_module.function",
        "pwned_module.Net2",
        "pwned_package.inner.Net",
        "xpwned_module.Net",
    ):
        with pytest.raises(RequestError, match="TRAINLAB_ALLOW"):
            instantiate({"_target_": target}, MODEL)
    with allowing(["pwned_module.function"]):
        instantiate({"_target_": "pwned_module.function"}, MODEL)


@pytest.mark.parametrize(
    "target",
    [
        "mine.os.system",
        "mine.subprocess.run",
        "mine.Wave.__init__.__globals__",
        "mine.Wave.__subclasses__",
        "mine.nn.Module",
        "mine.instance",
        "mine.torch.hub.load",
        "mine.run",
        "mine.partial",
        "mine.nothing",
        "mine",
        "mine.",
        "minenot.Wave",
        "mine.Wave.mro",
    ],
)
def test_a_package_that_is_allowed_does_not_allow_what_it_imports(target, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "import os, subprocess, torch\nfrom functools import partial\nfrom subprocess import run\n"
        "from torch import nn\nclass Wave(nn.Module):\n    class Inner: pass\ninstance = partial(os.system)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(allowlist.ALLOW_VARIABLE, "mine.,")
    sys.modules.pop("mine", None)
    for name in ("mine.Wave", "mine.Wave.Inner"):
        instantiate({"_target_": name}, ACTIVATION)
    with pytest.raises(RequestError):
        instantiate({"_target_": target, "_args_": [f"touch {tmp_path / 'PWNED'}"]}, ACTIVATION)
    assert not (tmp_path / "PWNED").exists()


def is_source_trusted(settings: RunSettings) -> bool:
    assert isinstance(settings.data.source, Component)
    return settings.data.source.is_trusted


# The doors


def put(settings: RunSettings, part: str, node: object) -> RunSettings:
    """Settings as they come from a file, with a node in their part."""
    changed = copy.deepcopy(settings.to_plain())
    *path, last = part.split(".")
    at = changed
    for key in path:
        at = at[key]
    at[last] = node
    return RunSettings.from_record(changed)


def run_folder(settings: RunSettings, tmp_path: Path) -> Path:
    folder = RunFolder(tmp_path / "strangers" / settings.run_id)
    folder.write_settings(settings)
    return folder.path


def checkpoint(settings: RunSettings, tmp_path: Path) -> Path:
    path = run_folder(settings, tmp_path) / "checkpoints" / "last.ckpt"
    path.parent.mkdir(exist_ok=True)
    said: dict[str, Any] = {"schema": 1, "run_id": settings.run_id, "settings": settings.to_plain()}
    said["in_shape_CHW"] = [1, 16, 16]
    torch.save({"trainlab": said | {"classes": list("0123456789")}, "state_dict": {}}, path)
    return path


def by_claims_worker(settings: RunSettings, tmp_path: Path) -> None:
    checkpoint(settings, tmp_path)
    evaluate_shifts([tmp_path / "strangers" / settings.run_id], [{"noise": 0.1}])


def by_claims_tables(settings: RunSettings, tmp_path: Path) -> None:
    from trainlab.claims import network_facts

    network_facts.network_facts(settings.to_json())
    network_facts.theory_layers(settings.to_json())


def by_sweeps(settings: RunSettings, tmp_path: Path) -> None:
    from trainlab.sweeps.network_checks import inspect_networks

    if fault := inspect_networks([settings], [], []).faults[0]:
        raise RequestError(fault)


def by_worker(settings: RunSettings, tmp_path: Path) -> None:
    from trainlab.training.worker import run_config_file

    code = run_config_file(run_folder(settings, tmp_path) / "config.yaml")
    assert code in (1, 2)
    raise RequestError("exit code 2")


def by_forecaster(settings: RunSettings, tmp_path: Path) -> None:
    from trainlab.forecast.forecast_server import serve

    answers = io.StringIO()
    serve(io.StringIO(json.dumps([settings.to_json(), []]) + "\n"), answers)
    raise RequestError(json.loads(answers.getvalue())["error"])


def by_explain_prove(settings: RunSettings, tmp_path: Path) -> None:
    from trainlab.cli.verify_remedy import comparison_settings

    prepared = comparison_settings(RunFolder(run_folder(settings, tmp_path)).settings(), [], 10)
    by_worker(prepared, tmp_path)


def by_app(settings: RunSettings, tmp_path: Path) -> None:
    from trainlab.app import model_service

    model_service.layer_table(settings, (1, 16, 16))
    model_service.predict_theory(settings)
    model_service.test_images(settings)


DOORS = {
    "checkpoint": lambda s, t: load_model(checkpoint(s, t)),
    "claims run, shifts": by_claims_worker,
    "claims run, tables": by_claims_tables,
    "plan of a sweep": by_sweeps,
    "worker": by_worker,
    "explain --prove": by_explain_prove,
    "forecast": by_forecaster,
    "app": by_app,
    "images": lambda s, t: load_data(s),
    "optimizer": lambda s, t: optimizer_factory(s),
    "augmentation": lambda s, t: build_augmentation(s),
}
THROUGH = {
    "checkpoint": ("activation", "normalization", "norm_layer.layer", "pool", "model"),
    "claims run, shifts": ("activation", "model"),
    "claims run, tables": ("activation", "model", "pool"),
    "plan of a sweep": ("activation", "init", "optimizer", "scheduler", "model"),
    "worker": ("activation", "data.source"),
    "explain --prove": ("data.source", "init"),
    "forecast": ("activation", "data.source", "optimizer"),
    "app": ("init", "activation", "data.source"),
    "images": ("data.source",),
    "optimizer": ("optimizer",),
    "augmentation": ("augment",),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_refuses_every_target(door, settings, pwned, tmp_path, monkeypatch):
    if door == "app":
        pytest.importorskip("streamlit")
    monkeypatch.setattr("trainlab.training.worker.configure_process", lambda: None)
    own_settings = settings("paths.data=/nonexistent")
    torch_module = "torch.nn.Module"  # of no use as anything, but no danger
    parts = itertools.cycle(THROUGH[door])
    for target in TARGETS:
        if target != torch_module and len(target) < 1000:
            with pytest.raises(RequestError):
                DOORS[door](put(own_settings, next(parts), hostile(target, tmp_path)), tmp_path)
    assert not pwned.exists()


@pytest.mark.parametrize(
    "line",
    [
        "paths.cache=/x",
        "paths.data=/x",
        "+paths.x=1",
        "hydra.run.dir=/x",
        "hydra/launcher=ray",
        "++hydra.job.chdir=true",
        "sweep.rerun=true",
        "logger.entity=me",
        "logger.project=x",
        "group=${oc.env:HOME}",
        "seed=${oc.decode:1}",
        "~paths",
    ],
)
def test_a_claim_does_not_say_where_this_machine_writes(line):
    from pydantic import TypeAdapter, ValidationError

    from trainlab.claims.expectations import Overrides

    assert TypeAdapter(Overrides).validate_python(["depth=3", "logger=csv", "init.gain=2"])
    with pytest.raises(ValidationError):
        TypeAdapter(Overrides).validate_python([line])


# Whose settings


SECTIONS = ("activation", "data", "paths", "optimizer")


def test_composed_settings_are_the_users_and_what_is_read_is_not(settings, tmp_path):
    frozen = settings()
    assert set(SECTIONS) < set(frozen.trusted_sections) and frozen.norm_layer.is_trusted
    text = settings_yaml(frozen)
    assert yaml.safe_load(text) == frozen.to_plain() and "!!" not in text
    read = RunFolder(run_folder(frozen, tmp_path)).settings()
    assert read.trusted_sections == () and not is_source_trusted(read) and not read.is_trusted
    again = pickle.loads(pickle.dumps(frozen))
    assert again.activation.is_trusted and is_source_trusted(again), "to a process of our own"


def test_nothing_that_a_file_says_makes_it_the_users(settings, tmp_path):
    """Trust is no value of the settings: no key of a node, of a section or of the whole is it."""
    claimed = {"is_trusted": True, "_is_trusted": True, "trusted": True, "_trusted_": True,
               "__pydantic_private__": {"_is_trusted": True}, "model_config": {}, "__class__": 1}  # fmt: skip
    plain = settings().to_plain()
    for part in ("activation", "optimizer", "data"):
        plain[part] |= claimed
    plain["data"]["source"] |= claimed
    for read in (
        RunSettings.from_record(plain | claimed),
        RunSettings.from_json(RunSettings.from_record(plain | claimed).to_json()),
    ):
        assert read.trusted_sections == () and not is_source_trusted(read) and not read.is_trusted
        assert read.activation.model_extra is not None
        assert read.activation.model_extra.keys() >= claimed.keys(), "they are arguments like all others"


def test_what_is_put_beside_the_users_own_does_not_change_whose_it_is(settings):
    frozen = settings()
    changed = frozen.replace(seed=3, trainer=frozen.trainer.replace(threads=2))
    assert changed.trusted_sections == frozen.trusted_sections
    stranger = RunSettings.from_record(frozen.to_plain())
    assert stranger.replace(seed=3).trusted_sections == ()
    mixed = frozen.replace(activation=stranger.activation)
    assert not mixed.activation.is_trusted and mixed.init.is_trusted
    assert frozen.untrusted().trusted_sections == () and frozen.activation.is_trusted, "a copy"


def test_a_worker_knows_what_the_user_named_and_nothing_else(settings):
    frozen = settings()
    told = trusted_digests(frozen)
    back = restore_trust(RunSettings.from_record(yaml.safe_load(settings_yaml(frozen))), told)
    assert set(SECTIONS) < set(back.trusted_sections) and is_source_trusted(back)
    changed = frozen.to_plain()
    changed["activation"]["_target_"] = "os.system"
    changed["init"], changed["pool"] = changed["pool"], changed["init"]
    back = restore_trust(RunSettings.from_record(changed), told)
    assert not {"activation", "init", "pool"} & set(back.trusted_sections)
    assert back.optimizer.is_trusted
    stranger = frozen.untrusted()
    assert trusted_digests(stranger) == frozenset() and worker_environment(stranger) == {}
    assert stranger.with_trusted(["data"]).data == frozen.data


def test_the_users_own_class_is_built_by_a_worker_only_as_the_user_named_it(settings, tmp_path, monkeypatch):
    from trainlab.training.worker import run_config_file

    (tmp_path / "my_waves.py").write_text("import torch\nclass Wave(torch.nn.Tanh): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    frozen = settings("activation._target_=my_waves.Wave", "trainer.max_steps=1", "trainer.max_epochs=null")
    config = run_folder(frozen, tmp_path) / "config.yaml"
    assert run_config_file(config) == 2, "a file in a runs folder is nobody's own"
    assert run_config_file(config, own=trusted_digests(frozen)) == 0
    monkeypatch.setenv("TRAINLAB_OWN", worker_environment(frozen)["TRAINLAB_OWN"])
    shutil.rmtree(config.parent)
    assert run_config_file(run_folder(frozen, tmp_path) / "config.yaml") == 0


def test_a_strangers_paths_decide_nothing(settings, tmp_path, monkeypatch):
    theirs = put(
        settings(), "paths", {name: str(tmp_path / "theirs" / name) for name in ("data", "cache", "runs")}
    )
    here = resolve_paths(theirs)
    assert here.cache == os.environ["TRAINLAB_CACHE"] and "theirs" not in str(here)
    monkeypatch.setenv("TRAINLAB_CACHE", str(tmp_path / "mine"))
    assert len(load_data(theirs).test) == 100
    assert (tmp_path / "mine").is_dir() and not (tmp_path / "theirs").exists()


def test_nothing_is_downloaded_into_a_strangers_folder(settings, tmp_path, monkeypatch):
    from trainlab.data.torchvision_datasets import TorchvisionDataset

    (tmp_path / "theirs").mkdir()
    theirs = put(settings(), "paths", {name: str(tmp_path / "theirs") for name in ("data", "cache", "runs")})
    mnist = {"_target_": "trainlab.data.torchvision_datasets.mnist"}
    theirs = theirs.replace(data=theirs.data.replace(source=mnist))
    monkeypatch.setenv("TRAINLAB_DATA", str(tmp_path / "mine"))

    def download(self, root):
        assert root == tmp_path / "mine"
        raise RequestError("looked in mine")

    monkeypatch.setattr(TorchvisionDataset, "_download", download)
    with pytest.raises(RequestError, match="looked in mine"):
        load_data(theirs)
    assert not list((tmp_path / "theirs").iterdir())


# Damaged checkpoints


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A small checkpoint that loads."""
    from trainlab.config import compose
    from trainlab.data import load_images

    folder = tmp_path_factory.mktemp("sound")
    frozen = compose(["model=mlp", "depth=1", "width=3", "data.image_size=8", f"paths.cache={folder}"])
    assert load_images
    model = build_model(frozen, (1, 8, 8), 10, (0.5,), (0.5,))
    frozen = RunSettings.identified(frozen, "abc", "0", "embedded", {})
    said = {"schema": 1, "run_id": "abc", "settings": frozen.to_plain(), "in_shape_CHW": [1, 8, 8],
            "classes": list("0123456789")}  # fmt: skip
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    return {"trainlab": said, "state_dict": weights, "epoch": 1, "global_step": 10}


def _set(path: str, value: object):
    def damage(content: dict) -> None:
        *keys, last = path.split("/")
        at = content
        for key in keys:
            at = at[key]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return damage


def _first_weight(make):
    def damage(content: dict) -> None:
        name = next(key for key in content["state_dict"] if key.endswith("weight"))
        content["state_dict"][name] = make(content["state_dict"][name])

    return damage


def _view_of_any_size(weight):
    return torch.zeros(1).expand(10**5, 10**5)


DAMAGES = {
    "no classes": _set("trainlab/classes", None),
    "classes text": _set("trainlab/classes", "abc"),
    "no class": _set("trainlab/classes", []),
    "classes of lists": _set("trainlab/classes", [[1]] * 10),
    "no settings": _set("trainlab/settings", None),
    "settings text": _set("trainlab/settings", "x"),
    "settings empty": _set("trainlab/settings", {}),
    "no model": _set("trainlab/settings/model", None),
    "no axes": _set("trainlab/settings/axes", None),
    "model of text": _set("trainlab/settings/model", "x"),
    "nothing to build": _set("trainlab/settings/model/_target_", None),
    "no position": _set("trainlab/settings/norm_layer/position", None),
    "shape text": _set("trainlab/in_shape_CHW", "1,8,8"),
    "no shape": _set("trainlab/in_shape_CHW", None),
    "shape negative": _set("trainlab/in_shape_CHW", [1, -8, 8]),
    "shape huge": _set("trainlab/in_shape_CHW", [1, 10**9, 8]),
    "two sides": _set("trainlab/in_shape_CHW", [8, 8]),
    "no state_dict": _set("state_dict", None),
    "state_dict a list": _set("state_dict", [1]),
    "weights of text": _first_weight(lambda w: "x"),
    "wide": _set("trainlab/settings/model/width", 10**7),
    "wider": _set("trainlab/settings/model/width", 10**400),
    "deep": _set("trainlab/settings/model/depth", 10**9),
    "depth text": _set("trainlab/settings/model/depth", "x"),
    "negative": _set("trainlab/settings/model/width", -1),
    "unknown key": _set("trainlab/settings/model/nope", 1),
    "other shapes": _first_weight(lambda w: w[:1]),
    "a view of any size": _first_weight(_view_of_any_size),
    "sparse": _first_weight(lambda w: w.to_sparse()),
    "no run_id": _set("trainlab/run_id", None),
    "schema text": _set("trainlab/schema", "1"),
    "trainlab text": _set("trainlab", "x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_one_line(sound, damage, tmp_path):
    torch.save(sound, tmp_path / "sound.ckpt")
    load_model(tmp_path / "sound.ckpt")
    content = copy.deepcopy(sound)
    DAMAGES[damage](content)
    torch.save(content, tmp_path / "damaged.ckpt")
    with pytest.raises(RequestError, match=r"damaged\.ckpt") as refused:
        load_model(tmp_path / "damaged.ckpt")
    assert "\n" not in str(refused.value)


def test_what_says_that_it_is_huge_is_not_unpacked(sound, tmp_path):
    import zipfile

    torch.save(sound, tmp_path / "sound.ckpt")
    for name in ("archive/data.pkl", "archive/data/99"):
        packed = tmp_path / "packed.ckpt"
        with (
            zipfile.ZipFile(tmp_path / "sound.ckpt") as old,
            zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for item in old.namelist():
                new.writestr(item, old.read(item))
            new.writestr(name, bytes(40 * 2**20))
        with pytest.raises(RequestError, match="bytes"):
            load_model(packed)


@pytest.mark.parametrize("key", ["epoch", "global_step"])
def test_a_checkpoint_without_its_step_is_one_line(sound, key, tmp_path):
    from trainlab.training.checkpoint import read_progress

    torch.save({k: v for k, v in sound.items() if k != key}, tmp_path / "x.ckpt")
    with pytest.raises(RequestError, match=key):
        read_progress(tmp_path / "x.ckpt")
