"""A checkpoint predicts with no config beside it, executes nothing, and builds only what is allowed."""

import pickle
import shutil
import sys

import pytest
import torch

from trainlab.build.data import load_data
from trainlab.errors import RequestError
from trainlab.instantiate import allowing
from trainlab.serving import evaluate
from trainlab.serving.saved_model import check_model_allowed, load_model, load_run_model


@pytest.fixture
def trained(run):
    return run("activation=prelu", "norm_layer=batchnorm", "normalization=standardize")


def test_it_predicts_from_its_file_alone(trained, tmp_path, settings):
    result, folder = trained
    alone = tmp_path / "elsewhere.ckpt"
    shutil.move(folder.checkpoints / "last.ckpt", alone)
    shutil.rmtree(folder.path)
    model, description = load_model(alone)
    assert description["run_id"] == result.run_id and len(description["classes"]) == 10
    metrics = evaluate.evaluate(model, description["settings"])
    assert metrics["test/acc"] == pytest.approx(result.metrics["test/acc"], abs=1e-6)
    assert metrics["test/loss"] == pytest.approx(result.metrics["test/loss"], rel=1e-4)
    assert metrics["val/loss"] == pytest.approx(result.metrics["val/loss"], rel=1e-4)


def test_it_carries_its_normalization(trained):
    _, folder = trained
    model, _ = load_run_model(folder.path)

    images = load_data(folder.settings())
    assert model.get_buffer("normalization.mean_C").flatten().tolist() == pytest.approx(images.mean_C)
    assert model.get_buffer("normalization.std_C").flatten().tolist() == pytest.approx(images.std_C)


def test_pixels_may_be_uint8_or_float(trained):
    model, _ = load_run_model(trained[1].path)
    x_NCHW = torch.randint(0, 256, (3, 1, 16, 16), dtype=torch.uint8)
    assert torch.allclose(model(x_NCHW), model(x_NCHW.float()), atol=1e-5)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_it_is_executed(tmp_path, capsys):
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps({"trainlab": Evil()}))
    torch.save({"trainlab": Evil()}, tmp_path / "evil2.ckpt")
    for name in ("evil.ckpt", "evil2.ckpt"):
        with pytest.raises(RequestError, match=r"not a readable checkpoint"):
            load_model(tmp_path / name)
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 torn"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "broken.ckpt"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"broken\.ckpt") as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_somebody_elses_checkpoint_and_another_version_are_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "theirs.ckpt")
    with pytest.raises(RequestError, match="not a checkpoint of trainlab"):
        load_model(tmp_path / "theirs.ckpt")
    torch.save({"trainlab": {"schema": 99}}, tmp_path / "newer.ckpt")
    with pytest.raises(RequestError, match="schema 99"):
        load_model(tmp_path / "newer.ckpt")


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "torch.load",
        "torch.nn.utils.parametrize.remove_parametrizations",
        "trainlab.cli.main",
    ],
)
def test_classes_off_the_list_are_refused_at_any_depth(settings, target, monkeypatch):
    deep = settings().replace(activation={"_target_": "torch.nn.ReLU", "deep": [{"_target_": target}]})
    with pytest.raises(RequestError, match=r"allow-list.*TRAINLAB_ALLOW"):
        check_model_allowed(deep)
    shallow = settings().replace(activation={"_target_": target})
    with allowing([target]):
        check_model_allowed(shallow)
    monkeypatch.setenv("TRAINLAB_ALLOW", f"other.,{target}")
    check_model_allowed(shallow)


def test_weights_that_do_not_fit_are_refused(trained, tmp_path):
    _, folder = trained
    path = folder.checkpoints / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["trainlab"]["settings"]["model"]["width"] = 8
    torch.save(checkpoint, tmp_path / "other.ckpt")
    with pytest.raises(RequestError, match="do not fit"):
        load_model(tmp_path / "other.ckpt")


def test_a_users_own_classes_work_through_target(run, tmp_path, monkeypatch):
    """Model, activation, norm layer, initializer and optimizer of one's own, with no edit to the package."""
    (tmp_path / "mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "class Wave(nn.Module):\n    def forward(self, x): return torch.sin(x)\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, in_shape_CHW, num_classes, *, activation, norm_layer, pool, hidden):\n"
        "        super().__init__()\n"
        "        c, h, w = in_shape_CHW\n"
        "        self.net = nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, hidden), activation(),"
        " nn.Linear(hidden, num_classes))\n"
        "    def forward(self, x_NCHW): return self.net(x_NCHW)\n"
        "def half(layer, negative_slope=0.0):\n    nn.init.constant_(layer.weight, 0.5)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)  # another test has one of this name
    conf = tmp_path / "conf"
    for axis, text in {
        "model": "# @package _global_\n# mine\nmodel: {_target_: mine.Net, _partial_: true, hidden: 7}\n",
        "activation": "# mine\n_target_: mine.Wave\n_partial_: true\n",
        "init": "# mine\n_target_: mine.half\n_partial_: true\n",
    }.items():
        (conf / axis).mkdir(parents=True)
        (conf / axis / "mine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    own = (
        "model=mine",
        "activation=mine",
        "init=mine",
        "width=null",
        "depth=null",
        "optimizer=sgd",
        "optimizer.lr=1e-9",
    )
    result, folder = run(*own)
    assert result.axes["model"] == "mine" and result.parameters == 256 * 7 + 7 + 70 + 10
    with pytest.raises(RequestError, match=r"mine\.Wave|mine\.Net"):
        load_run_model(folder.path)
    model, _ = load_model(folder.checkpoints / "last.ckpt", allow=["mine."])
    assert torch.allclose(model.get_parameter("network.net.1.weight"), torch.full((7, 256), 0.5), atol=1e-4)
