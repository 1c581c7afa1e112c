"""From measurements to a verdict: on a run that is over (`explain`), on one that is to come (`preflight`)."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainlab.forecast.answer import Forecast
    from trainlab.forecast.preflight import preflight

__all__ = ["Forecast", "preflight"]


def __getattr__(name: str) -> object:
    """The forecast on first use: causes and verdicts need no torch."""
    if name not in __all__:
        raise AttributeError(f"module 'trainlab.diagnosis' has no attribute '{name}'")
    from importlib import import_module

    home = {"Forecast": "answer", "preflight": "preflight"}[name]
    value = globals()[name] = getattr(import_module(f"trainlab.forecast.{home}"), name)
    return value
