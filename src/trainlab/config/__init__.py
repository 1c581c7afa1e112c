"""Overrides become plain settings.

- `compose`: a list of Hydra overrides → one validated plain dict, the frozen settings of a run
- `freeze`: the same for a config that Hydra has composed already
- `identify`: gives frozen settings their data fingerprint and `run_id`
- `bulk`: many jobs at once, without Hydra's fifth of a second for each
- `options`: what can be chosen on each axis
- `command`: frozen settings → the command line that makes them
- `schema`: the type and the range of every value
"""

from typing import TYPE_CHECKING

from trainlab.config.options import AXES, catalogue

if TYPE_CHECKING:
    from trainlab.config.composition import compose, freeze, identify
    from trainlab.config.hydra_messages import one_line

__all__ = ["AXES", "catalogue", "compose", "freeze", "identify", "one_line"]


def __getattr__(name: str) -> object:
    """Hydra on first use: `--help` needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module 'trainlab.config' has no attribute '{name}'")
    import importlib

    module = importlib.import_module("trainlab.config.composition")
    value = globals()[name] = getattr(module, name)
    return value
