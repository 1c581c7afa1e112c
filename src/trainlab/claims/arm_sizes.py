"""Parameters and steps of the arms of a claim. Called in a process of its own: torch is imported inside."""

from collections.abc import Sequence

from trainlab.errors import RequestError
from trainlab.settings import settings_from_json


def arm_parameters(frozen: Sequence[str]) -> list[int | None]:
    """How many parameters the network of each of these frozen settings has; None where it needs its data."""
    from trainlab.claims.network_facts import network_facts

    counts: list[int | None] = []
    for one in frozen:
        try:
            counts.append(sum(layer.parameters for layer in network_facts(one).layers))
        except RequestError:
            counts.append(None)
    return counts


def arm_steps(frozen: Sequence[str]) -> list[int | None]:
    """Steps of a run with each of these frozen settings; None of all where data are not here."""
    from trainlab.build.data import load_data
    from trainlab.build.optimizer import total_steps

    try:
        return [total_steps(one, load_data(one)) for one in map(settings_from_json, frozen)]
    except RequestError:
        return [None] * len(frozen)
