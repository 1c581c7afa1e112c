"""A watch that ends with its test."""

import pytest

import trainlab


@pytest.fixture
def watch():
    """`trainlab.watch` without a record; all are stopped at the end."""
    watches = []

    def begin(network, optimizer, budget=100, **options):
        watches.append(trainlab.watch(network, optimizer, budget=budget, runs=None, **options))
        return watches[-1]

    yield begin
    for one in watches:
        one.stop()
