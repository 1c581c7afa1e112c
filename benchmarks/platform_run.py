"""The platform as a contender: whole runs, with everything that a user's run has."""

import itertools
from collections.abc import Callable

from rich.console import Console


def trainer(overrides: list[str]) -> Callable[[], float]:
    """Does a run of these overrides a round, each with another seed; returns its training samples/s.

    The record's own clock: from the first batch of an epoch until its last step is done, with logging,
    metrics and display, without validation, test and checkpoints.
    """
    from trainlab.config import compose, identify
    from trainlab.training.environment import configure_process
    from trainlab.training.run import train

    configure_process()
    seeds = itertools.count()
    console = Console()

    def do_round() -> float:
        settings = identify(compose([*overrides, f"seed={next(seeds)}"]))
        rate = train(settings, console).samples_per_second
        assert rate is not None
        return rate

    return do_round
