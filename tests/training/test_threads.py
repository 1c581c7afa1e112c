"""One id, one result: the same number of threads alone and in a sweep."""

import pytest
import torch

from trainlab.build.data import load_data
from trainlab.training import threads
from trainlab.training.classifier import build_classifier
from trainlab.training.run import train


@pytest.mark.parametrize(("asked", "taken"), [("null", 1), (1, 1), (2, 2)])
def test_a_run_takes_one_thread_or_what_it_is_told_and_gives_them_back(settings, asked, taken):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        result = train(settings(f"trainer.threads={asked}", "trainer.max_steps=2", "trainer.max_epochs=null"))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert result.machine["threads"] == taken


@pytest.fixture
def long_run(settings):
    def make(*overrides: str):
        frozen = settings("trainer.threads=null", "trainer.max_epochs=1000", *overrides)
        images = load_data(frozen)
        return frozen, build_classifier(frozen, images), images

    return make


@pytest.mark.parametrize(
    ("seconds", "says"),
    [({1: 1.0, 8: 0.25}, "trainer.threads=8 would train this network 4.0 times"), ({1: 1.0, 8: 0.9}, None),
     ({1: 1e-4, 8: 1e-5}, None), ({1: 1.0, 8: 3.0}, None)],
)  # fmt: skip
def test_more_threads_are_advised_where_they_are_faster(long_run, monkeypatch, seconds, says):
    monkeypatch.setattr(threads, "available_cores", lambda: 16)
    monkeypatch.setattr(threads, "_time_step", lambda *given: seconds[given[-1]])
    advised = threads.suggest_threads(*long_run())
    assert advised is says if says is None else says in advised
    assert threads.suggest_threads(*long_run("trainer.threads=2")) is None


def test_to_be_timed_changes_nothing(long_run):
    """Weights, statistics, gradients, dice and threads stay as they were."""
    frozen, classifier, images = long_run("norm_layer=batchnorm")
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    dice, number = torch.get_rng_state(), torch.get_num_threads()
    assert threads._time_step(frozen, classifier, images, 2) > 0
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert torch.equal(torch.get_rng_state(), dice) and torch.get_num_threads() == number
