"""The processes that take turns, and what they train."""

import os
import sys

import pytest
from benchmarks import hand_loop
from benchmarks.contender import Contender

from trainlab.config import compose


def surroundings():
    """Threads that libraries are told of, and whether there is a terminal."""
    return lambda: (os.environ.get("OMP_NUM_THREADS"), sys.stdout.isatty(), os.getpid())


def broken():
    """A round that fails."""

    def do_round():
        raise ValueError("planted")

    return do_round


@pytest.mark.parametrize("threads,terminal", [(2, True), (None, False)])
def test_a_contender_has_its_own_process_threads_and_terminal(tmp_path, threads, terminal):
    with Contender(surroundings, log=tmp_path / "log", threads=threads, terminal=terminal) as contender:
        told, has_terminal, process = contender.round()
        assert contender.round()[2] == process != os.getpid()
    assert told == (None if threads is None else str(threads)) and has_terminal is terminal


def test_a_round_that_fails_says_why(tmp_path):
    with (
        Contender(broken, log=tmp_path / "log") as contender,
        pytest.raises(RuntimeError, match="ValueError: planted"),
    ):
        contender.round()


@pytest.mark.parametrize(
    "by_hand,overrides",
    [
        (hand_loop.lenet5, ["model=lenet5", "data=mnist"]),
        (hand_loop.plain_cnn, ["model=plain_cnn", "depth=4", "width=16", "data=cifar10"]),
    ],
)
def test_the_networks_by_hand_are_the_platforms(by_hand, overrides):
    from trainlab.build import networks

    settings = compose(overrides)
    ours = networks.build_network(settings, networks.input_shape_CHW(settings), 10)
    assert [p.shape for p in by_hand().parameters()] == [p.shape for p in ours.parameters()]
