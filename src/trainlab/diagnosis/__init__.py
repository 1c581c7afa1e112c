"""Why did it not learn? From what is recorded of a run to a verdict, the causes and their remedies.

- `evidence`: what is known of a run, as plain numbers; `run_diagnosis`: from its folder to its verdict
- `verdict`: did it learn, and how well; `known_causes`: the causes by name, and a finding
- `run_causes`, `loop_causes`, `data_causes`: the tables of causes, by where they lie; `cause`: the type
- `causes`: the checks, a group of causes a module; `explain`: the checks in order, the diagnosis;
  `consequences`: findings that only repeat another
- `remedy`: the overrides that mend a cause; `presentation`: a diagnosis in words

Needs no torch.
"""

from typing import TYPE_CHECKING

from trainlab.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from trainlab.forecast.answer import Forecast
    from trainlab.forecast.preflight import preflight

__all__ = ["Forecast", "preflight"]

# the names that were documented before `trainlab.preflight`; the forecast needs torch, this package does not
if not TYPE_CHECKING:  # else every missing name would be an object to a type checker
    __getattr__, __dir__ = lazy_attributes(
        __name__, {"trainlab.forecast.answer": ["Forecast"], "trainlab.forecast.preflight": ["preflight"]}
    )
