"""What we lean on of Lightning's inside: a failure says what broke with its version, or became needless."""

import inspect
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.profilers import PassThroughProfiler
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.utils.data import DataLoader

from trainlab.training import lightning_internals
from trainlab.training.lightning_internals import (
    Checkpoint,
    FastModule,
    NullProfiler,
    gradient_scale,
    is_in_mid_epoch,
    is_rank_zero,
)

STEPS = 4


class Plain(L.LightningModule):
    """The same small network on Lightning's own class and on ours."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        self.sets: Counter[str] = Counter()

    def __setattr__(self, name, value):
        if (value is None or type(value) is str) and "sets" in self.__dict__:
            self.sets[name] += 1
        super().__setattr__(name, value)

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Fast(FastModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    training_step = Plain.training_step
    configure_optimizers = Plain.configure_optimizers


def fit(module: L.LightningModule, tmp_path, **options) -> L.Trainer:
    settings: dict[str, Any] = {"max_steps": STEPS, **options}
    trainer = L.Trainer(
        **settings, max_epochs=-1, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        default_root_dir=tmp_path,
    )  # fmt: skip
    data = torch.arange(16.0).reshape(8, 2)
    trainer.fit(module, DataLoader(list(data), batch_size=2))  # pyrefly: ignore[bad-argument-type]
    return trainer


def test_a_fast_module_trains_to_the_same_weights(tmp_path):
    torch.manual_seed(0)
    plain = Plain()
    fast = Fast()
    fast.load_state_dict(plain.state_dict())
    fit(plain, tmp_path)
    fit(fast, tmp_path, profiler=NullProfiler())
    assert all(map(torch.equal, plain.parameters(), fast.parameters()))


def test_lightning_still_sets_names_at_every_step(tmp_path):
    """Else FastModule.__setattr__ is needless."""
    module = Plain()
    fit(module, tmp_path)
    assert module.sets["_current_fx_name"] >= 20 * STEPS


def test_only_plain_attributes_skip_the_search_of_torch():
    module = Fast()
    module.layer.register_parameter("extra", nn.Parameter(torch.zeros(1)))
    module.register_parameter("weight", nn.Parameter(torch.zeros(1)))
    module.name = "a"
    module.name = None
    assert module.name is None
    module.weight = None
    assert module._parameters["weight"] is None and "weight" not in module.__dict__
    with pytest.raises(TypeError, match="cannot assign"):
        module.weight = "text"
    module.layer = None
    assert module._modules["layer"] is None and not list(module.parameters())


def test_lightning_still_asks_for_the_signature_at_every_step(tmp_path, monkeypatch):
    """Else FastModule.__init_subclass__ is needless."""
    asked = []
    real = inspect.getfullargspec
    monkeypatch.setattr(inspect, "getfullargspec", lambda of: asked.append(of.__name__) or real(of))
    fit(Fast(), tmp_path)
    assert asked.count("training_step") >= STEPS


def test_the_kept_signature_is_the_real_one():
    def training_step(self, batch, batch_idx): ...

    kept = inspect.signature(training_step)
    assert Fast.training_step.__signature__ == kept  # pyrefly: ignore[missing-attribute]
    assert inspect.getfullargspec(Fast().training_step).args == ["self", "batch", "batch_idx"]


def test_lightning_still_opens_a_context_for_every_action(tmp_path):
    """Else NullProfiler is needless."""

    class Counting(NullProfiler):
        actions = 0

        def profile(self, action_name):
            type(self).actions += 1
            return super().profile(action_name)

    trainer = fit(Fast(), tmp_path, profiler=Counting())
    assert Counting.actions >= 20 * STEPS
    assert isinstance(trainer.profiler, Counting)  # pyrefly: ignore[missing-attribute]


def test_the_null_profiler_has_the_interface_of_lightnings_own():
    ours, theirs = (inspect.signature(cls.profile).parameters for cls in (NullProfiler, PassThroughProfiler))
    assert list(ours) == list(theirs)
    with NullProfiler().profile("one"), NullProfiler().profile("two"):
        pass
    public = {name for name in vars(NullProfiler) if not name.startswith("_")}
    assert public == {"profile"}


def test_a_checkpoint_callback_keeps_the_key_of_lightnings_own(tmp_path):
    options = {"dirpath": tmp_path, "monitor": "val/acc", "mode": "max"}
    theirs = ModelCheckpoint(**options).state_key
    ours = Checkpoint(**options)
    assert ours.state_key == theirs.replace("ModelCheckpoint", "Checkpoint", 1)
    assert ours.state_key is ours.state_key
    assert theirs is not ModelCheckpoint(**options).state_key


def test_the_keys_of_states_in_checkpoints_are_those_of_earlier_releases():
    """Renaming one of these classes loses its state when a run goes on from an older checkpoint."""
    from trainlab.training.timing import Elapsed, Throughput

    assert Elapsed().state_key == "Elapsed"
    assert Throughput(1).state_key == "Throughput"
    assert Checkpoint(filename="last").state_key.startswith("Checkpoint{'monitor': None")


def test_rank_zero_is_lightnings(monkeypatch):
    assert isinstance(getattr(rank_zero_only, "rank", None), int) and is_rank_zero()
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert not is_rank_zero()


@pytest.mark.parametrize(("steps", "is_between"), [(3, True), (4, False)])
def test_a_checkpoint_says_whether_it_is_between_two_batches(tmp_path, steps, is_between):
    trainer = fit(Fast(), tmp_path, limit_train_batches=4, max_steps=steps)
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    checkpoint = torch.load(tmp_path / "it.ckpt", weights_only=True)
    assert is_in_mid_epoch(checkpoint) is is_between


def test_the_loss_scale_is_that_of_the_precision_plugin(tmp_path):
    trainer = fit(Fast(), tmp_path)
    assert gradient_scale(trainer) == 1.0
    plugin = trainer.precision_plugin
    plugin.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)  # pyrefly: ignore[missing-attribute]
    plugin.scaler.scale(torch.zeros(1))  # pyrefly: ignore[missing-attribute]
    assert gradient_scale(trainer) == 8.0


def test_no_other_module_leans_on_the_inside():
    home = Path(lightning_internals.__file__)
    for path in home.parents[1].rglob("*.py"):
        text = path.read_text()
        for name in ("_current_fx", "epoch_loop", "precision_plugin", "PassThroughProfiler", "__signature__"):
            assert path == home or name not in text, f"{path}: {name}"
