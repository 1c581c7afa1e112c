"""One figure: what was measured, in which rounds, and whether it is enough."""

from dataclasses import asdict, dataclass, field


class Skipped(Exception):
    """A measure that cannot be taken here, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A figure and the rounds that it comes from.

    `value` is in `unit`; where contenders are compared it is the median of their ratio over the rounds, and
    `rounds` and `medians` hold what each of them did in `rounds_unit`. `at_least` or `at_most` is the
    threshold; a figure with neither is reported, no more. `details` is whatever explains the figure.
    """

    name: str
    question: str
    unit: str
    value: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    rounds: dict[str, list[float]] = field(default_factory=dict)
    rounds_unit: str | None = None
    medians: dict[str, float] = field(default_factory=dict)
    details: dict[str, object] = field(default_factory=dict)
    skipped: str | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the threshold is reached; None where there is none, or nothing was measured."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    def record(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return {**asdict(self), "reached": self.reached}
