"""What a cause is: its name, its meaning, and what mends it, as PyTorch code and as our own overrides."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cause:
    """One cause: its name, one plain sentence, and what mends it.

    code: a line or two of PyTorch that mend it in a network and a loop of one's own. remedies: overrides that
    mend it in a run of the platform, the first choice first. They hold places that `suggest_remedy` fills
    from a run's own settings: {tenth_lr}, {higher_lr}, {half_depth}, {usual_momentum}; {more_epochs},
    {more_steps}: what the evidence asks for, or twice as many.
    """

    name: str
    sentence: str
    code: str
    remedies: tuple[str, ...] = ()


def by_name(*causes: Cause) -> Mapping[str, Cause]:
    """The causes under their names, in their order."""
    return {cause.name: cause for cause in causes}
