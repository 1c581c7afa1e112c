"""Overrides become typed settings.

- `composer`: `Composer`: overrides become settings; `compose`: the settings of one run, trusted
- `grid`: the grid of a command line, as a product of values
- `composition`: what Hydra has composed becomes settings, each value validated in plain words;
  `identify`: with their `run_id`
- `plain_merge`: merge, overrides and interpolations on plain dictionaries, where Hydra is not needed
- `overrides`: what people type, checked and quoted before Hydra sees it; `synonyms`, `presets` for it
- `options`: what can be chosen on each axis
- `command_line`: settings → the command line that makes them
- `user_code`: digests of the user's own classes
- `hydra_messages`, `hydra_internals`, `hydra_application`: what Hydra says, what it hides, and Hydra as an
  application
"""

from typing import TYPE_CHECKING

from trainlab.config.options import AXIS_DESCRIPTIONS, catalogue
from trainlab.lazy_imports import lazy_attributes

if TYPE_CHECKING:
    from trainlab.config.composer import Composer, compose
    from trainlab.config.composition import identify

__all__ = ["AXIS_DESCRIPTIONS", "Composer", "catalogue", "compose", "identify"]

# Hydra on first use: `--help` needs none of it
if not TYPE_CHECKING:  # else every missing name would be an object to a type checker
    __getattr__, __dir__ = lazy_attributes(
        __name__,
        {
            "trainlab.config.composer": ["Composer", "compose"],
            "trainlab.config.composition": ["identify"],
        },
    )
