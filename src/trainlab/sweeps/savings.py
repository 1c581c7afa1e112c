"""What pruning has saved, and what it may have cost: the runs that were spared, and those run to check."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from trainlab.runs.record import RunFolder
from trainlab.runs.result import DONE, BrokenRun, Result
from trainlab.sweeps.display import duration
from trainlab.sweeps.plan import Plan


@dataclass(frozen=True)
class Savings:
    """Runs asked whether they are worth it: how many were pruned, run whole, run whole against the advice.

    `saved_seconds`: what the pruned would have taken if they were like those run whole, less what they took.
    None where nothing was run whole.
    """

    pruned: int
    asked: int
    saved_seconds: float | None
    audited: int
    audited_learned: int

    def lines(self) -> list[str]:
        """For people; empty where nothing was pruned or audited."""
        said = []
        if self.pruned:
            saved = "" if self.saved_seconds is None else f", {_saved(self.saved_seconds)}"
            said.append(f"pruned {self.pruned} of {self.asked} runs{saved}")
        if self.audited:
            said.append(
                f"audit: {self.audited} that would have been pruned were run; "
                f"{self.audited_learned} of them learned"
            )
        return said


def _saved(seconds: float) -> str:
    how = "saved" if seconds >= 0 else "cost"
    return f"which {how} about {duration(abs(seconds))} of one slot"


def savings(plan: Plan) -> Savings:
    """What the records of a plan's runs say of pruning."""
    results = [result for run_id in plan.run_ids if (result := _result(plan, run_id)) and result.pruning]
    pruned = [result for result in results if result.status == "pruned"]
    whole = [result for result in results if result.status in DONE]
    audited = [result for result in whole if _would_be_pruned(result.pruning)]
    saved = None
    if pruned and whole:
        each = mean(result.seconds or 0.0 for result in whole)
        saved = len(pruned) * each - sum(result.seconds or 0.0 for result in pruned)
    learned = sum(result.verdict.learned is True for result in audited)
    return Savings(len(pruned), len(results), saved, len(audited), learned)


def _would_be_pruned(pruning: Mapping[str, Any] | None) -> bool:
    return bool(pruning and pruning.get("reason"))


def _result(plan: Plan, run_id: str) -> Result | None:
    try:
        return RunFolder(plan.runs / run_id).result()
    except BrokenRun:
        return None
