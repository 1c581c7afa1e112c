"""Steps that are recorded once and replayed are the steps that would have been taken one by one, to the bit.

A recording of operations stands in for the CUDA graph (`recorded_work`): everything but the capture itself is
the code that runs on a GPU.
"""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from recorded_work import record
from torch import nn

from trainlab import runs
from trainlab.build.optimizer import optimizer_factory
from trainlab.errors import RequestError
from trainlab.training import classifier, cuda_graph, stretches
from trainlab.training.classifier import Classifier
from trainlab.training.cuda_graph import NotCapturable, check_cuda_graph, why_not_capturable
from trainlab.training.device_rates import DeviceRates
from trainlab.training.environment import use_tf32
from trainlab.training.interruption import Interrupted, Interruption
from trainlab.training.stretches import CapturedStep

WILD = ("activation=identity", "init=normal", "init.std=0.5", "normalization=raw")
LONG = ("data.train_size=512", "signals=3", "trainer.max_epochs=2")
SETTINGS = {
    "batchnorm, augmentation, schedule": ("norm_layer=batchnorm", "augment=flip_crop", "scheduler=cosine"),
    "clipped momentum": ("optimizer=sgd_momentum", "+optimizer.fused=true", "trainer.gradient_clip=0.1"),
    "one cycle, adamw": ("optimizer=adamw", "scheduler=onecycle", "init=orthogonal"),
    "steps": ("trainer.max_epochs=null", "trainer.max_steps=21", "activation=prelu"),
    "bfloat16, clipped": ("trainer.precision=bf16-mixed", "trainer.gradient_clip=1"),
    "float64": ("trainer.precision=64-true", "norm_layer=groupnorm"),
    "early stop": ("early_stop=1", "trainer.max_epochs=4", "optimizer.lr=0.03"),
}


@pytest.fixture
def recorded(monkeypatch):
    """This CPU can record steps."""
    monkeypatch.setitem(cuda_graph.CAPTURE, "cpu", record)


def history(folder) -> list[tuple]:
    return sorted(runs.read_metrics(folder.path).select("step", "epoch", "name", "value").iter_rows())


def signals(folder):
    return runs.read_signals(folder.path).sort("step", "layer", "quantity")


def weights(folder) -> dict:
    return torch.load(folder.checkpoints / "last.ckpt", weights_only=True)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_of_replays_is_the_run_of_single_steps(run, recorded, tmp_path, name):
    overrides = (*LONG, *SETTINGS[name])
    single, single_folder = run(*overrides, "trainer.cuda_graph=off")
    replayed, folder = run(*overrides, f"paths.runs={tmp_path / 'replayed'}")
    assert single.machine["cuda_graph"] == "not used: trainer.cuda_graph=off"
    assert str(replayed.machine["cuda_graph"]).startswith("used in ")
    steps = int(str(replayed.machine["cuda_graph"]).split()[2])
    assert steps > replayed.steps / 2, "most steps are replays"
    assert replayed.run_id == single.run_id and replayed.metrics == single.metrics
    assert history(folder) == history(single_folder)
    measured, alone = (
        runs.read_signals(f.path).sort("step", "layer", "quantity") for f in (folder, single_folder)
    )
    assert measured.equals(alone, null_equal=True)
    for part in ("loops", "lr_schedulers"):
        assert weights(folder)[part] == weights(single_folder)[part], part
    [of_replays], [of_steps] = (weights(f)["optimizer_states"] for f in (folder, single_folder))
    assert of_replays["param_groups"] == of_steps["param_groups"], "rates are plain numbers"


def test_dropout_draws_what_it_would_have_drawn(run, recorded, tmp_path):
    vgg = (
        "model=vgg", "depth=11", "width=2", "data.image_size=72", "data.train_size=256", "data.val_size=32",
        "data.test_size=32", "signals=off", "trainer.max_epochs=2",
    )  # fmt: skip
    _, single_folder = run(*vgg, "trainer.cuda_graph=off")
    replayed, folder = run(*vgg, f"paths.runs={tmp_path / 'replayed'}")
    assert "used in" in str(replayed.machine["cuda_graph"])
    assert history(folder) == history(single_folder)


@pytest.mark.parametrize("stop_after", [6, 16, 27])
def test_a_run_interrupted_within_a_stretch_goes_on_bit_for_bit(
    run, settings, recorded, monkeypatch, tmp_path, stop_after
):
    hard = (*LONG, *SETTINGS["batchnorm, augmentation, schedule"])
    whole, whole_folder = run(*hard, f"paths.runs={tmp_path / 'whole'}")
    augment_batch = Classifier.augment_batch

    def counting(self, x_NCHW):
        if self.global_step + 1 == stop_after:
            next(c for c in self.trainer.callbacks if isinstance(c, Interruption)).requested = True
        return augment_batch(self, x_NCHW)

    monkeypatch.setattr(Classifier, "augment_batch", counting)
    with pytest.raises(Interrupted):
        run(*hard)
    frozen = settings(*hard)
    folder = runs.RunFolder(Path(frozen.paths.runs) / frozen.run_id)
    assert weights(folder)["global_step"] <= stop_after + 1, "the stretch ended with the signal"
    monkeypatch.setattr(Classifier, "augment_batch", augment_batch)
    resumed, _ = run(*hard)
    assert resumed.steps == whole.steps and resumed.metrics == whole.metrics
    assert history(folder) == history(whole_folder)


@pytest.mark.parametrize("read_every", [5, 50])
def test_a_divergence_within_a_stretch_has_its_step(run, recorded, monkeypatch, tmp_path, read_every):
    for module in (classifier, stretches):
        monkeypatch.setattr(module, "READ_EVERY_STEPS", read_every)
    wild = (*LONG, "signals=off", "optimizer=sgd", "optimizer.lr=1.5", "+optimizer.fused=true", *WILD)
    single, single_folder = run(*wild, "trainer.cuda_graph=off")
    replayed, folder = run(*wild, f"paths.runs={tmp_path / 'replayed'}")
    assert (single.status, replayed.status) == ("diverged", "diverged")
    assert replayed.stopped == single.stopped and replayed.steps == single.steps
    assert replayed.stopped and replayed.stopped["step"] > 2
    assert repr(history(folder)) == repr(history(single_folder))


def test_signals_change_no_bit_of_a_run_of_replays(run, recorded, tmp_path):
    on, _ = run(*LONG)
    off, _ = run(*LONG, "signals=off", f"paths.runs={tmp_path / 'off'}")
    assert on.metrics == off.metrics


def test_a_step_that_waits_for_the_device_is_taken_one_by_one(run, recorded, monkeypatch):
    def reads_its_loss(self, x_NCHW, y_N):
        logits_NK = self.model(x_NCHW)
        loss = F.cross_entropy(logits_NK, y_N)
        return loss * (1 if loss.item() else 0), logits_NK

    monkeypatch.setattr(Classifier, "loss_and_logits", reads_its_loss)
    result, folder = run(*LONG)
    assert result.status == "finished" and result.steps == 32
    assert result.machine["cuda_graph"] == "not used: a number was read off a tensor"
    assert len(runs.read_metrics(folder.path).filter(name="train/loss_step")) == 32


def test_what_was_asked_for_and_cannot_be_is_an_error(run, recorded, monkeypatch):
    def unrecordable(work):
        raise NotCapturable("no")

    monkeypatch.setitem(cuda_graph.CAPTURE, "cpu", unrecordable)
    monkeypatch.setattr("trainlab.training.preconditions.check_cuda_graph", lambda *_, **__: None)
    with pytest.raises(RequestError, match=r"trainer.cuda_graph=on: no; expected auto .* or off"):
        run(*LONG, "trainer.cuda_graph=on")


def test_a_module_of_the_users_own_is_not_recorded_unasked():
    class Counting(nn.Module):
        def forward(self, x):
            return x

    assert why_not_capturable(nn.Sequential(nn.Linear(2, 2), nn.ReLU())) is None
    assert "Counting" in str(why_not_capturable(nn.Sequential(nn.Linear(2, 2), Counting())))


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ((), "it needs a CUDA device"),
        (("trainer.devices=2",), "2 devices share each batch"),
        (("trainer.precision=16-mixed",), "16-mixed"),
        (("trainer.profiler=simple",), "a profiler"),
    ],
)
def test_on_is_refused_where_it_cannot_be(settings, overrides, why):
    trainer = settings("trainer=gpu", "trainer.cuda_graph=on", *overrides).trainer
    with pytest.raises(RequestError, match=why):
        check_cuda_graph(trainer, has_cuda=bool(overrides))


def test_on_without_cuda_is_one_line(call_command, tmp_path):
    code, _, error = call_command(
        "train",
        "data=digits",
        "trainer=cpu",
        "logger=none",
        "trainer.cuda_graph=on",
        f"paths.runs={tmp_path}",
    )
    assert code == 2 and error.count("\n") == 1 and "trainer.cuda_graph=on: it needs a CUDA device" in error
    assert not list(tmp_path.iterdir())


# The parts


def small_step(optimizer_of, capture=record):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 3))
    optimizer = optimizer_of(model.parameters())
    rates = DeviceRates(optimizer)

    def loss_and_logits(x, y):
        logits = model(x)
        return F.cross_entropy(logits, y), logits

    step = CapturedStep(
        model,
        loss_and_logits,
        optimizer,
        rates,
        gradient_clip=0.5,
        precision=torch.enable_grad,
        capture=capture,
    )
    return model, optimizer, step


@pytest.mark.parametrize("make", [
    lambda p: torch.optim.Adam(p, lr=0.1, fused=True),
    lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1, fused=True),
    lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, fused=True),
])  # fmt: skip
def test_a_replay_takes_new_batches_rates_and_random_numbers(make):
    batches = [(torch.randn(16, 5), torch.randint(0, 3, (16,))) for _ in range(9)]
    batches.insert(6, (torch.randn(7, 5), torch.randint(0, 3, (7,))))  # of another shape
    outcomes = []
    for replays in (False, True):
        model, optimizer, step = small_step(make)
        torch.manual_seed(1)
        rows = [step.compute(*batches[0])]
        for number, (x, y) in enumerate(batches[1:]):
            optimizer.param_groups[0]["lr"] = 0.1 / (number + 1)
            rows.append(step(x, y) if replays else step.compute(x, y))
        outcomes.append((torch.stack(rows), [t.clone() for t in model.state_dict().values()]))
    (plain, plain_state), (replayed, replayed_state) = outcomes
    assert torch.equal(plain, replayed) and len(set(plain[:, 0].tolist())) == len(batches)
    assert all(map(torch.equal, plain_state, replayed_state))


def test_what_cannot_be_recorded_has_changed_nothing():
    def failing(work):
        work()
        raise NotCapturable("so it is")

    model, optimizer, step = small_step(lambda p: torch.optim.Adam(p, lr=0.1, fused=True), failing)
    x, y = torch.randn(16, 5), torch.randint(0, 3, (16,))
    step.compute(x, y)
    before = [t.clone() for t in (*model.state_dict().values(), torch.get_rng_state())]
    counts = [state["step"].clone() for state in optimizer.state.values()]
    with pytest.raises(NotCapturable):
        step(x, y)
    assert all(map(torch.equal, before, (*model.state_dict().values(), torch.get_rng_state())))
    assert [state["step"] for state in optimizer.state.values()] == counts
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_rates_suit_optimizers_whose_kernels_read_them_on_the_device():
    parameters = [nn.Parameter(torch.zeros(2))]
    assert DeviceRates.suit(torch.optim.SGD(parameters, fused=True))
    assert DeviceRates.suit(torch.optim.RMSprop(parameters, capturable=True))
    assert not DeviceRates.suit(torch.optim.SGD(parameters))
    assert not DeviceRates.suit(torch.optim.Adagrad(parameters, fused=True))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd_momentum", "rmsprop"])
def test_a_checkpoint_of_another_device_is_computed_as_this_one_does_it(settings, optimizer):
    """A GPU's optimizer is fused and capturable: its state would be refused, or misplaced, on a CPU."""
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.ones(2)
    here = optimizer_factory(settings(f"optimizer={optimizer}"))([parameter])
    here.step()
    there = here.state_dict()
    there["param_groups"] = [
        {k: True if k in ("fused", "capturable") else v for k, v in group.items()} | {"lr": 0.25}
        for group in there["param_groups"]
    ]
    other = optimizer_factory(settings(f"optimizer={optimizer}"))([parameter])
    own = {k: other.param_groups[0].get(k) for k in ("fused", "capturable")}
    other.load_state_dict(there)
    assert {k: other.param_groups[0].get(k) for k in own} == own and other.param_groups[0]["lr"] == 0.25
    other.step()


def test_fused_optimizers_leave_clipping_and_loss_scales_to_lightning(run):
    result, _ = run("trainer.precision=bf16-mixed", "trainer.gradient_clip=1", "trainer.max_epochs=1")
    assert result.status == "finished"


def test_full_float32_is_a_choice_of_the_run_and_ends_with_it(settings):
    with use_tf32(settings("trainer.tf32=true").trainer):
        outside = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        assert outside == ("high", True)
        with use_tf32(settings("trainer.tf32=false").trainer):
            inside = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
            assert inside == ("highest", False)
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == outside


def test_tf32_is_another_run_and_a_graph_is_not(settings):
    plain = settings()
    assert settings("trainer.cuda_graph=off").run_id == plain.run_id
    assert settings("trainer.tf32=false").run_id != plain.run_id
    assert settings("trainer.tf32=true").run_id == plain.run_id


def test_the_record_says_how_numbers_were_computed(run):
    result, folder = run("trainer.max_epochs=1")
    machine = json.loads((folder.path / "result.json").read_text())["machine"]
    assert machine["precision"] == "32-true" and machine["float32_matmul"] == "high"
    assert machine["tf32"] is False and machine["images_on_device"] is False
    assert machine["cuda_graph"] == "not used: the run is on cpu"
    assert result.machine == machine


def test_a_stretch_ends_before_a_measured_step(settings, monkeypatch):
    made = stretches.Stretches(settings(), Interruption(None))
    made._step, made._measured = object(), [0, 1, 20]  # type: ignore[assignment]
    made._classifier = type("At", (), {"global_step": 5})()  # type: ignore[assignment]
    assert made.next_steps(100) == 15 and made.next_steps(9) == 9 and made.next_steps(3) == 0
