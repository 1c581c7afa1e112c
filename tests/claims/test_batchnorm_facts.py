"""BatchNorm's arithmetic as a claim counts it, and its lag in runs."""

import numpy as np
import pytest
import torch
from torch import nn

from trainlab.claims.batchnorm_facts import batchnorm_facts, lag
from trainlab.claims.sources import BatchNormSource, needs_run, needs_weights
from trainlab.config.composer import Composer
from trainlab.data import Split
from trainlab.errors import RequestError


def frozen(*overrides):
    composer = Composer(trusted=("paths",))
    lines = ["data=digits", "model=plain_cnn", "depth=2", "width=4", "trainer=cpu", *overrides]
    return composer.job(next(composer.grid(lines, {}).jobs())).to_json()


def test_one_mean_a_plane_and_the_identity():
    facts = batchnorm_facts(frozen("norm_layer=batchnorm"))
    assert facts["means"] == 4
    assert facts["formula_error"] < 1e-12
    assert facts["identity_error"] < 1e-12
    assert facts["one_image_error"] > 0.1  # a mean for each image is another layer


def test_what_has_no_gamma_and_beta_or_no_batchnorm_is_refused():
    with pytest.raises(RequestError, match="no γ and β"):
        batchnorm_facts(frozen("norm_layer=batchnorm_no_affine"))
    with pytest.raises(RequestError, match="no BatchNorm"):
        batchnorm_facts(frozen())


def test_only_the_lag_needs_a_run():
    assert needs_run(BatchNormSource(batchnorm="lag"))
    assert needs_weights(BatchNormSource(batchnorm="lag"))
    assert not needs_run(BatchNormSource(batchnorm="identity_error"))


@pytest.fixture
def train():
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (64, 8, 8, 1), np.uint8), np.zeros(64, np.int64), np.arange(64))


@pytest.mark.parametrize("steps", [0, 1, 5, 22])
def test_the_same_batch_again_and_again_leaves_nine_tenths_of_the_way_each_time(train, steps):
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU()]
    model = nn.Sequential(ToFloat(), *first, nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
    x_NCHW = torch.from_numpy(train.x_NHWC).permute(0, 3, 1, 2)
    for _ in range(steps):
        model(x_NCHW)
    assert lag(model, train, 64) == pytest.approx(0.9**steps, rel=1e-4)


class ToFloat(nn.Module):
    def forward(self, x_NCHW):
        return x_NCHW.float() / 100
