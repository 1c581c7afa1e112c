"""`trainlab.Doctor` in Lightning's own loop: the same to the bit, and the same findings."""

import lightning as L
import pytest
import torch
from loops import batches, cnn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

import trainlab
from trainlab.doctor.training_watch import TrainingWatch
from trainlab.errors import RequestError
from trainlab.runs import Result
from trainlab.runs.result import read_result


class Module(L.LightningModule):
    """As users write it: the network is a part, the loss another."""

    def __init__(self, network=None, fault=None):
        super().__init__()
        self.network, self.criterion, self.fault = network or cnn(), torch.nn.CrossEntropyLoss(), fault

    def training_step(self, batch, _):
        x, y = batch
        if self.fault == "raises" and self.global_step == 3:
            raise ValueError("mine")
        if self.fault == "eval":
            self.eval()
        return self.criterion(self.network(x), y)

    def validation_step(self, batch, _):
        F.cross_entropy(self.network(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class Batches(Dataset):
    """Six batches for training, two for validation."""

    def __init__(self, count):
        self.batches = list(batches(count))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index]


def fit(module, callbacks, accumulate_grad_batches=1, gradient_clip_val=None, precision=None):
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=callbacks, max_epochs=2, precision=precision,
        accumulate_grad_batches=accumulate_grad_batches, gradient_clip_val=gradient_clip_val,
    )  # fmt: skip
    trainer.fit(module, DataLoader(Batches(6), batch_size=None), DataLoader(Batches(2), batch_size=None))


def watch_of(doctor: trainlab.Doctor) -> TrainingWatch:
    assert doctor.watch is not None
    return doctor.watch


def result_of(doctor: trainlab.Doctor) -> Result:
    folder = watch_of(doctor).folder
    assert folder is not None
    return read_result(folder)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 2, "gradient_clip_val": 0.5}, {"precision": "bf16-mixed"}]
)
def test_training_is_the_same_to_the_bit(options, tmp_path, capsys):
    weights = []
    for callbacks in ([], [doctor := trainlab.Doctor(runs=tmp_path, budget=100)]):
        torch.manual_seed(0)
        module = Module()
        fit(module, callbacks, **options)
        weights.append(module.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not doctor.explain(), doctor.explain()
    assert "trainlab:" not in capsys.readouterr().err
    steps = 6 if "accumulate_grad_batches" in options else 12
    assert watch_of(doctor).steps == steps and watch_of(doctor).measured_steps >= 5
    assert result_of(doctor).steps == steps
    assert "3 weight layers" in " ".join(doctor.explain().notes)


@pytest.mark.filterwarnings("ignore")
def test_faults_are_named(tmp_path):
    told = []
    doctor = trainlab.Doctor(runs=None, on_finding=lambda finding: told.append(finding.cause))
    fit(Module(fault="eval"), [doctor])
    assert "eval_mode_in_training" in doctor.explain().causes and "eval_mode_in_training" in told


@pytest.mark.filterwarnings("ignore")
def test_an_error_is_recorded(tmp_path):
    doctor = trainlab.Doctor(runs=tmp_path)
    with pytest.raises(ValueError, match="mine"):
        fit(Module(fault="raises"), [doctor])
    assert result_of(doctor).status == "failed"


def test_it_says_so_before_training():
    with pytest.raises(RequestError, match="no training has begun"):
        trainlab.Doctor().explain()
