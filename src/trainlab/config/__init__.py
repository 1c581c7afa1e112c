"""Overrides become plain settings.

- `compose`: a list of Hydra overrides → one validated plain dict, the frozen settings of a run
- `freeze`: the same for a config that Hydra has composed already
- `identify`: gives frozen settings their data fingerprint and `run_id`
- `options`: what can be chosen on each axis
- `schema`: the type and the range of every value
"""

from trainlab.config.compose import compose, freeze, identify, one_line
from trainlab.config.options import AXES, catalogue

__all__ = ["AXES", "catalogue", "compose", "freeze", "identify", "one_line"]
