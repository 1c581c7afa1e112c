"""Learning rates that an optimizer usually bears: no remedy goes beyond them, whatever the evidence asks
for."""

from trainlab.diagnosis.setup import Setup

USUAL_RATES = {
    "sgd": 0.01, "sgd_momentum": 0.01, "sgd_nesterov": 0.01,
    "adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3,
}  # fmt: skip
"""The defaults of conf/optimizer/, which a test holds against it."""

MOST_TIMES = 10.0
"""Times the optimizer's usual rate: the highest that is ever proposed."""

HIGHEST_UNKNOWN = 0.1
"""The same where the optimizer is not known: what plain SGD bears."""


def higher_rate(setup: Setup, factor: float | None = None) -> float | None:
    """The rate to try where a run's is too low; None where it is as high as its optimizer bears, or not
    known.

    The optimizer's usual rate, or ten times the run's own where that is not much lower. Where the optimizer
    is not known, `factor` times the run's own (ten, if the evidence gives none), up to HIGHEST_UNKNOWN.
    """
    if not setup.lr:
        return None
    usual = USUAL_RATES.get(str(setup.axes.get("optimizer")))
    if usual is not None and setup.lr <= usual / 10:
        return usual
    highest = HIGHEST_UNKNOWN if usual is None else MOST_TIMES * usual
    higher = min(setup.lr * ((factor if usual is None else None) or 10.0), highest)
    return higher if higher >= 2 * setup.lr else None
