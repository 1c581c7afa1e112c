"""Each arm gets the setting that is best for it: found on validation, judged on test.

Candidates are tried on seeds of their own, from TUNING_SEED on: the seeds that an arm is judged by have had
no part in choosing its setting. A run that diverged or failed counts with the worst accuracy
(`runs.worst_values`). The values of one setting are a ladder: while the best of an arm is the first or the
last, the next value beyond is tried, up to as many as the claim allows; while the arm learned at none, the
next below and the next above in turn. An arm whose best is at an edge even then is not tuned, and what is
compared with it stays undecided. One that learned at none of them is tuned: there is nothing to choose by,
the middle one is taken, and the page says so.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

from trainlab.claims.execution import ExecutionContext, raise_where_all_failed, run_jobs
from trainlab.claims.jobs import ArmJob
from trainlab.claims.registry import ClaimFile
from trainlab.claims.spec import Tuning
from trainlab.runs.frozen_settings import class_count, read_settings
from trainlab.runs.result import CorruptRunError, Result
from trainlab.runs.run_folder import RunFolder
from trainlab.runs.worst_values import counted_value, guessing_accuracy, shared_guessing

TUNING_SEED = 1000
TUNING_METRIC = "val/acc"

Ladders = Mapping[str, Sequence[float]]
"""The values that are tried for each arm, in their order; empty where its candidates have none."""

Folders = dict[str, dict[int, Path]]
"""The folder of each tuning run, by the name of its arm and candidate, and its seed."""


class Trial(NamedTuple):
    """A candidate that was tried: its mean validation accuracy (−∞ where a run that finished has none).

    learned: of its runs. worst: how many diverged or failed, and count with the worst accuracy.
    """

    candidate: Sequence[str]
    accuracy: float
    learned: int
    seconds: float
    worst: int = 0


@dataclass(frozen=True)
class TuningOutcome:
    """What was tried for an arm, in the order of its values, and which was chosen (its index).

    setting: of a ladder; '' where candidates have no order. edge: where the best is still the first or the
    last value: the arm is not tuned. seeds: of each candidate.
    """

    trials: Sequence[Trial]
    chosen: int
    seeds: int
    setting: str = ""
    edge: Literal["low", "high"] | None = None

    @property
    def best(self) -> Sequence[str]:
        """The overrides of the chosen candidate."""
        return self.trials[self.chosen].candidate

    @property
    def seconds(self) -> float:
        """How long all its runs took together."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def none_learned(self) -> bool:
        """Whether there was nothing to choose by."""
        return not any(trial.learned for trial in self.trials)

    @property
    def note(self) -> str:
        """What the page says of an arm that learned at nothing that was tried; empty of others."""
        if not self.none_learned:
            return ""
        kind = "values" if self.setting else "candidates"
        return f"learned at none of {len(self.trials)} {kind}; the middle one was taken"

    @property
    def edge_text(self) -> str:
        """Why the arm is not tuned."""
        side = "smallest" if self.edge == "low" else "largest"
        return f"not tuned: {' '.join(self.best)} is the {side} of {len(self.trials)} values that were tried"


def tune_arms(entry: ClaimFile, context: ExecutionContext) -> tuple[ClaimFile, dict[str, TuningOutcome]]:
    """The claim with the best candidate added to each tuned arm, and how each was chosen.

    Raises:
        SweepFailed: all runs of an arm failed alike, or runs were interrupted.
    """
    ladders = first_ladders(entry)
    folders: Folders = {}
    while jobs := [job for job in tuning_jobs(entry, context, ladders) if job.arm not in folders]:
        folders |= run_jobs(entry, jobs, context)
        raise_where_all_failed(entry, _folders_by_arm(entry, folders, ladders))
        ladders = widened(entry, folders, ladders)
    return choose_candidates(entry, folders, ladders)


def _folders_by_arm(entry: ClaimFile, folders: Folders, ladders: Ladders) -> dict[str, list[Path]]:
    """The runs of each arm with all its candidates."""
    tune = entry.claim.tune
    return {
        arm: [
            folder
            for candidate in (_candidates(tune, values) if tune is not None else [])
            for folder in folders[_trial_name(arm, candidate)].values()
        ]
        for arm, values in ladders.items()
    }


def first_ladders(entry: ClaimFile) -> Ladders:
    """What every tuned arm begins with."""
    tune = entry.claim.tune
    return {arm: list((tune.values if tune is not None else None) or []) for arm in entry.claim.tuned_arms}


def tuning_jobs(entry: ClaimFile, context: ExecutionContext, ladders: Ladders) -> list[ArmJob]:
    """The runs that tuning takes; the arm of each names its candidate too. None where nothing is tuned."""
    tune, options = entry.claim.tune, context.options
    if tune is None:
        return []
    seeds = range(TUNING_SEED, TUNING_SEED + tune.seeds)
    return [
        replace(job, arm=_trial_name(arm, candidate))
        for arm in entry.claim.tuned_arms
        for candidate in _candidates(tune, ladders[arm])
        for job in context.composer.tuning_jobs(
            entry, options.profile, arm, candidate, seeds, *options.overrides()
        )
    ]


def widened(entry: ClaimFile, folders: Folders, ladders: Ladders) -> Ladders:
    """The ladders with one more value where the best is at an edge, or none learned; `folders`: of their
    runs, all done."""
    tune = entry.claim.tune
    if tune is None or tune.setting is None:
        return ladders
    return {
        arm: _widened(values, _outcome(tune, arm, values, folders), tune) for arm, values in ladders.items()
    }


def _widened(values: Sequence[float], outcome: TuningOutcome, tune: Tuning) -> list[float]:
    if len(values) >= tune.most or not (outcome.edge or outcome.none_learned):
        return list(values)
    side = outcome.edge or ("low" if (len(values) - len(tune.values or [])) % 2 == 0 else "high")
    return [next_below(values), *values] if side == "low" else [*values, next_above(values)]


def next_above(values: Sequence[float]) -> float:
    """The next value of a ladder: that two before the last, times the ratio over two steps (1, 3, 10: 30)."""
    return _rounded(values[-2] * values[-1] / values[-3])


def next_below(values: Sequence[float]) -> float:
    """The value before the first of a ladder."""
    return _rounded(values[1] * values[0] / values[2])


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def choose_candidates(
    entry: ClaimFile, folders: Folders, ladders: Ladders
) -> tuple[ClaimFile, dict[str, TuningOutcome]]:
    """What tuning has found, by the folders of its runs, all of which are done."""
    tune = entry.claim.tune
    if tune is None:
        return entry, {}
    outcomes = {arm: _outcome(tune, arm, ladders[arm], folders) for arm in entry.claim.tuned_arms}
    return with_candidates(entry, {arm: outcome.best for arm, outcome in outcomes.items()}), outcomes


def with_candidates(entry: ClaimFile, chosen: Mapping[str, Sequence[str]]) -> ClaimFile:
    """The claim with these settings added to its arms."""
    arms = {arm: [*lines, *chosen.get(arm, ())] for arm, lines in entry.claim.arms.items()}
    return replace(entry, claim=entry.claim.model_copy(update={"arms": arms}))


def _candidates(tune: Tuning, values: Sequence[float]) -> list[list[str]]:
    return tune.candidates if tune.candidates is not None else tune.rungs(values)


def _trial_name(arm: str, candidate: Sequence[str]) -> str:
    return f"{arm}, {' '.join(candidate)}"


def _outcome(tune: Tuning, arm: str, values: Sequence[float], folders: Folders) -> TuningOutcome:
    candidates = _candidates(tune, values)
    by_candidate = [folders[_trial_name(arm, candidate)] for candidate in candidates]
    guessing = _guessing([folder for by_seed in by_candidate for folder in by_seed.values()])
    trials = [_trial(*one, guessing) for one in zip(candidates, by_candidate, strict=True)]
    chosen = _choose(trials)
    outcome = TuningOutcome(trials, chosen, tune.seeds, tune.setting or "")
    if not outcome.setting or outcome.none_learned or 0 < chosen < len(trials) - 1:
        return outcome
    return replace(outcome, edge="low" if chosen == 0 else "high")


def _choose(trials: Sequence[Trial]) -> int:
    """The best trial; of equals, and of all that trained to the end where none learned, the middlemost."""
    indices = range(len(trials))
    if any(trial.learned for trial in trials):
        most = max(trial.accuracy for trial in trials)
        best = [i for i in indices if trials[i].accuracy == most]
    else:
        best = [i for i in indices if not trials[i].worst] or [*indices]
    return min(best, key=lambda i: abs(i - (len(trials) - 1) / 2))


def _trial(candidate: Sequence[str], folders: Mapping[int, Path], guessing: float) -> Trial:
    """What came of a candidate's runs; `guessing`: the accuracy of one that diverged or failed."""
    done = _results(folders.values())
    counted = [counted_value(result, TUNING_METRIC, guessing=guessing) for result in done]
    values = [value for value, _ in counted if value is not None]
    return Trial(
        candidate,
        fmean(values) if values and len(values) == len(done) else -math.inf,
        sum(result.verdict.learned is True for result in done),
        sum(result.seconds or 0.0 for result in done),
        sum(reason is not None for _, reason in counted),
    )


def _results(folders: Iterable[Path]) -> list[Result]:
    return [result for folder in folders if (result := RunFolder(folder).result()) is not None]


def _guessing(folders: Sequence[Path]) -> float:
    """The accuracy of guessing of an arm's runs, which have one data set; 0 where nothing says what it is."""
    if (known := shared_guessing(_results(folders))) is not None:
        return known
    with suppress(CorruptRunError):
        return guessing_accuracy({}, class_count(read_settings(folders[0]))) or 0.0
    return 0.0
