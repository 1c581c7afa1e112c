"""What an item leaves behind: checks that hold or not, figures with or without a threshold, details."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import cast

from trainlab.json_types import Json, JsonObject
from trainlab.runs import json_nonfinite

STATUSES = ("passed", "FAILED", "measured", "skipped", "no time")
"""`no time`: it was not begun. A threshold that is missed is told, and is no failure."""


class Skipped(Exception):
    """An item that cannot be done here, with the reason."""


@dataclass(frozen=True)
class Check:
    """Something that must hold, and the numbers that show it."""

    name: str
    holds: bool
    shown_by: str


@dataclass(frozen=True)
class Figure:
    """A number, and the threshold that it is measured against, where there is one."""

    name: str
    value: float
    unit: str
    at_least: float | None = None

    @property
    def reached(self) -> bool | None:
        """None where there is no threshold."""
        return None if self.at_least is None else self.value >= self.at_least

    def text(self) -> str:
        """`12.3 × (≥ 10: reached)`."""
        number = f"{self.value:,.0f}" if abs(self.value) >= 1000 else f"{self.value:.3g}"
        text = f"{number} {self.unit}".strip()
        if self.at_least is None:
            return text
        return f"{text} (≥ {self.at_least:g}: {'reached' if self.reached else 'missed'})"


@dataclass
class Outcome:
    """How an item ended; `headline` is what its line says."""

    name: str
    question: str
    status: str = "no time"
    seconds: float = 0.0
    headline: str = ""
    checks: list[Check] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    details: dict[str, Json] = field(default_factory=dict)
    error: str | None = None

    def judge(self) -> None:
        """Sets the status of an item that came to its end, by its checks and figures."""
        if not all(check.holds for check in self.checks):
            self.status = "FAILED"
        else:
            self.status = "passed" if self.checks else "measured"

    def line(self) -> str:
        """Its line on the terminal."""
        said = self.headline
        if self.status == "FAILED":
            broken = [f"{check.name}: {check.shown_by}" for check in self.checks if not check.holds]
            said = "; ".join([*broken, *([self.error.splitlines()[-1]] if self.error else [])])
        elif self.error:
            said = self.error
        return f"{self.status:<9} {self.name:<20} {self.seconds:6.1f} s  {said}".rstrip()

    def record(self) -> JsonObject:
        """Plain values, for JSON."""
        figures = [{**asdict(figure), "reached": figure.reached} for figure in self.figures]
        return {**asdict(self), "figures": figures}


def read(path: Path, name: str, question: str) -> Outcome:
    """What an item's process has written so far; an empty outcome where that is nothing."""
    try:
        record = cast("dict", json_nonfinite.loads(path.read_bytes()))
        checks = [Check(**check) for check in record.pop("checks")]
        figures = [
            Figure(**{key: value for key, value in figure.items() if key != "reached"})
            for figure in record.pop("figures")
        ]
        return Outcome(**record, checks=checks, figures=figures)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Outcome(name, question)
