"""A fair comparison lets each arm have the setting that is best for it: found on validation, judged on test.

Candidates are tried on seeds of their own, from TUNING_SEED on: what an arm is judged by has had no part in
choosing its setting.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from trainlab.claims.folder import Entry
from trainlab.claims.jobs import Job
from trainlab.claims.sweep import Bench, sweep
from trainlab.runs import RunFolder

TUNING_SEED = 1000
MEASURE = "val/acc"


@dataclass(frozen=True)
class Choice:
    """What was tried for an arm: each candidate with its mean validation accuracy, in the file's order.

    seconds: how long each candidate's runs took together.
    """

    candidates: Sequence[Sequence[str]]
    accuracies: Sequence[float]
    seconds: float

    @property
    def best(self) -> Sequence[str]:
        """The candidate that was chosen; of equals the first."""
        return self.candidates[self.accuracies.index(max(self.accuracies))]


def tuned(entry: Entry, bench: Bench) -> tuple[Entry, dict[str, Choice]]:
    """The claim with the best candidate added to each tuned arm, and how each was chosen.

    Raises:
        SweepFailed: a run failed or was interrupted.
    """
    tune, arms = entry.claim.tune, entry.claim.tuned_arms
    if tune is None or not arms:
        return entry, {}
    seeds = range(TUNING_SEED, TUNING_SEED + tune.seeds)
    jobs = bench.composer.tuning_jobs(entry, bench.setup.profile, seeds, *bench.setup.overrides())
    measured = _measured(entry, jobs, bench)
    choices = {}
    for arm in arms:
        of_arm = [measured[arm, i] for i in range(len(tune.candidates))]
        choices[arm] = Choice(tune.candidates, [a for a, _ in of_arm], sum(s for _, s in of_arm))
    chosen = {
        arm: [*lines, *choices[arm].best] if arm in choices else lines
        for arm, lines in entry.claim.arms.items()
    }
    return replace(entry, claim=entry.claim.model_copy(update={"arms": chosen})), choices


def _measured(
    entry: Entry, jobs: Mapping[tuple[str, int], Sequence[Job]], bench: Bench
) -> dict[tuple[str, int], tuple[float, float]]:
    """Mean validation accuracy and seconds of each arm's candidate; what diverged is chosen last."""
    flat = [replace(job, arm=f"{arm}, candidate {i + 1}") for (arm, i), of in jobs.items() for job in of]
    folders = sweep(entry, flat, bench)
    found = {}
    for arm, i in jobs:
        results = [RunFolder(folder).result() for folder in folders[f"{arm}, candidate {i + 1}"].values()]
        done = [result for result in results if result is not None]
        values = [result.metrics.get(MEASURE) for result in done]
        is_sound = all(result.status == "finished" for result in done) and None not in values
        accuracy = fmean(value for value in values if value is not None) if is_sound else -math.inf
        found[arm, i] = (accuracy, sum(result.seconds or 0.0 for result in done))
    return found
