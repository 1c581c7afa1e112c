"""The forecast that a user gets: probability, answer, expected cause; its numbers in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypedDict

from trainlab.forecast.logistic_model import WILL_LEARN, answer_for, decision_threshold
from trainlab.units import format_probability


@dataclass(frozen=True)
class LayerReport:
    """One layer as measured at initialization; None where it cannot be.

    scale: root mean square of what enters the activation. correlation: of different images there.
    gradient: norm of the loss gradient there, over that at the last hidden layer. moves: how far its weights
    can go in all the steps, in units of their own length. saturated, dead: shares 0..1.
    """

    name: str
    scale: float | None = None
    correlation: float | None = None
    gradient: float | None = None
    moves: float | None = None
    saturated: float | None = None
    dead: float | None = None


class TheoryLayer(TypedDict):
    """What theory predicts of a layer, under the names of `LayerReport`."""

    name: str
    scale: float
    correlation: float | None
    gradient: float | None


class TheoryReport(TypedDict):
    """What `chain_theory.ChainTheory` holds, as plain values."""

    chi1: float
    reach_layers: float
    depth: int
    notes: list[str]
    layers: list[TheoryLayer]


ProbabilityByStep = Sequence[tuple[int, float]]
"""(steps, probability of learning within them), both rising."""


@dataclass(frozen=True)
class Forecast:
    """`learns`: probability 0..1 that it learns within its steps with its optimizer, by the platform's rule
    (`diagnosis.verdict`). The rest says why not, and is None or empty where it is expected to learn.

    cause: a name of `diagnosis.known_causes`. layer: where. evidence: the numbers that show it. says: these
    in words. remedy: overrides that mend it. `features` and `layers` are always there, unless the answer was
    certain without them; `theory` is None where the network is no chain. notes: what was assumed, and what is
    worth knowing whatever comes.

    by_steps: (steps, probability) of this and of longer runs, where it is not expected to learn in these;
    needs_steps: the fewest of them with which it is, None where it is now or where none is enough.
    """

    learns: float
    says: str = ""
    cause: str | None = None
    layer: str | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)
    remedy: str | None = None
    features: Mapping[str, float] = field(default_factory=dict)
    layers: Sequence[LayerReport] = ()
    theory: TheoryReport | None = None
    by_steps: ProbabilityByStep = ()
    needs_steps: int | None = None
    notes: Sequence[str] = ()

    @property
    def answer(self) -> str:
        """ "will learn", "will not learn", or "cannot tell" where the probability is between the two."""
        return answer_for(self.learns)

    @property
    def will_learn(self) -> bool:
        """Whether the probability reaches the threshold that was fixed with the fit."""
        return self.learns >= decision_threshold()

    def to_dict(self) -> dict[str, object]:
        return {**asdict(self), "answer": self.answer, "will_learn": self.will_learn}


def steps_needed(by_steps: ProbabilityByStep) -> int | None:
    """The fewest of these steps with which it is expected to learn; None where none is enough."""
    return next((steps for steps, chance in by_steps if answer_for(chance) == WILL_LEARN), None)


def format_by_steps(by_steps: ProbabilityByStep) -> str:
    """ "64% in 180 steps, 95% in 720": of the shortest and the longest of these runs."""
    first, last = by_steps[0], by_steps[-1]
    text = f"{format_probability(first[1])} in {first[0]:,} steps"
    return text if first == last else f"{text}, {format_probability(last[1])} in {last[0]:,}"
