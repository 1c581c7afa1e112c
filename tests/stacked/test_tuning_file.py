"""Measurements of a stack's convolutions are found again in the cache folder; a broken file does no harm."""

import json

import pytest
import torch
from stacks import batch, networks

from trainlab.stacked import stack_networks, tune
from trainlab.stacked.recorded_work import milliseconds, recorded
from trainlab.stacked.triton_blocks import Blocks, convolution_blocks, recall_blocks
from trainlab.stacked.tuning_file import add_choices, read_choices, tuning_file

CPU = torch.device("cpu")


def by_layer():
    stack = stack_networks(networks("lenet5"))
    stack.order = "by_layer"
    return stack


@pytest.fixture(autouse=True)
def nothing_measured(monkeypatch):
    monkeypatch.setattr("trainlab.stacked.tuning._measured", {})


def as_in_a_new_process(monkeypatch):
    """Nothing is remembered, and what would be measured raises."""
    monkeypatch.setattr("trainlab.stacked.tuning._measured", {})
    monkeypatch.setattr("trainlab.stacked.tuning._times", None)


def test_the_next_process_measures_nothing(tmp_path, monkeypatch):
    first = tune(by_layer(), batch(), tmp_path)
    as_in_a_new_process(monkeypatch)
    stack = by_layer()
    assert tune(stack, batch(), tmp_path) == first and len(first) >= 2
    for name, choice in first.items():
        assert vars(stack.get_submodule(name))["implementation"] == choice.implementation


def test_another_batch_is_measured_and_added(tmp_path, monkeypatch):
    first = tune(by_layer(), batch(), tmp_path)
    small = batch()[:, :1]
    tune(by_layer(), small, tmp_path)
    as_in_a_new_process(monkeypatch)
    assert tune(by_layer(), batch(), tmp_path) == first
    assert tune(by_layer(), small, tmp_path).keys() == first.keys()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80{",
        b"[1]",
        b'{"convolutions": 3}',
        b'{"convolutions": {"a": 1, "b": {"implementation": "loop"}}, "blocks": {"k": {"rows": "x"}}}',
    ],
)
def test_a_corrupt_file_is_measured_anew_and_mended(tmp_path, content):
    path = tuning_file(tmp_path, CPU)
    path.write_bytes(content)
    found = tune(by_layer(), batch(), tmp_path)
    assert len(read_choices(path)["convolutions"]) >= len(found) >= 2


def test_a_choice_that_does_not_exist_here_is_measured_anew(tmp_path, monkeypatch):
    tune(by_layer(), batch(), tmp_path)
    path = tuning_file(tmp_path, CPU)
    content = json.loads(path.read_text())
    for choice in content["convolutions"].values():
        choice["implementation"], choice["milliseconds"]["triton"] = "triton", 0.001
    path.write_text(json.dumps(content))
    monkeypatch.setattr("trainlab.stacked.tuning._measured", {})
    assert all(choice.implementation != "triton" for choice in tune(by_layer(), batch(), tmp_path).values())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    assert tune(by_layer(), batch(), tmp_path / "file")


def test_sections_are_added_to(tmp_path):
    path = tuning_file(tmp_path / "new", CPU)
    add_choices(path, {"a": {"x": 1}})
    add_choices(path, {"a": {"y": 2}, "b": {}})
    assert read_choices(path) == {"a": {"x": 1, "y": 2}, "b": {}}


def test_tile_sizes_are_taken_from_the_file_where_they_are_tile_sizes(monkeypatch):
    recalled = {}
    monkeypatch.setattr("trainlab.stacked.triton_blocks._recalled", recalled)
    option = convolution_blocks(16, 16, 144, True, "tf32")[1]
    recall_blocks({"good": dict(vars(option)), "less": {"rows": 1}, "text": {**vars(option), "rows": "1"}})
    assert recalled == {"good": option} and isinstance(option, Blocks)


def test_time_is_of_the_work_done():
    done = []
    work = recorded(lambda: done.append(1), CPU)
    assert milliseconds(work, CPU, 5) > 0 and len(done) == 5
