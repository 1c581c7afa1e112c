"""What the pages ask of torch: the same settings as a run has, and refusals in one line."""

import subprocess
import sys

import pytest

pytest.importorskip("streamlit")

from trainlab.app import model_service
from trainlab.config import compose
from trainlab.errors import RequestError
from trainlab.settings import RunSettings


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("activation=sigmoid", "depth=12", "optimizer=sgd_momentum", "trainer.max_steps=500"),
        ("model=resnet", "optimizer.lr=0.02", "norm_layer=batchnorm", "data=digits"),
    ],
)
def test_settings_are_those_of_the_command_line(overrides):
    assert model_service.compose_settings(overrides) == compose(overrides)


@pytest.mark.parametrize("wrong", ["activation=reluu", "depth=-1", "a=b=[", "nonsense=1"])
def test_what_does_not_compose_is_refused_as_by_the_command_line(wrong):
    with pytest.raises(RequestError) as by_the_command_line:
        compose([wrong])
    with pytest.raises(RequestError) as by_the_app:
        model_service.compose_settings((wrong,))
    assert str(by_the_app.value) == str(by_the_command_line.value)


def test_it_is_said_where_the_data_are_not_those_of_the_run_any_more():
    settings = compose(["data=digits"])
    run = RunSettings.identified(settings, "a1b2c3d4e5f6", "of other images", "embedded", {})
    mismatch = model_service.test_images(run).mismatch
    assert mismatch is not None and "of other images" in mismatch
    found = mismatch.rpartition("those that are there have ")[2].split()[0]
    assert model_service.test_images(run.replace(fingerprint=found)).mismatch is None


def test_the_module_needs_no_torch_before_it_is_called():
    code = "import sys, trainlab.app.model_service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0
