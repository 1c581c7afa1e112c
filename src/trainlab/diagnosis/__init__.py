"""From measurements to a verdict: on a run that is over (`explain`), on one that is to come (`preflight`)."""

from typing import TYPE_CHECKING

from trainlab.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from trainlab.forecast.answer import Forecast
    from trainlab.forecast.preflight import preflight

__all__ = ["Forecast", "preflight"]

# causes and verdicts need no torch, the forecast does
__getattr__, __dir__ = lazy_attributes(
    __name__, {"trainlab.forecast.answer": ["Forecast"], "trainlab.forecast.preflight": ["preflight"]}
)
